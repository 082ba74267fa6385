"""What retention removes: never what the last proof stands on, and nothing while a clock is in doubt."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from dr.backups.catalog import Backup, newest_kept, newest_proven
from dr.backups.retention import doubt, expendable
from monitor.inventory.backups import Retention

DAY_S = 86400.0
ONE = Backup("b", "ncts", 0.0, 5, 9, "d9", 1000, "ab", "run")
POLICIES = st.builds(
    Retention, newest=st.integers(1, 5), days=st.integers(0, 5), weeks=st.integers(0, 5), months=st.integers(0, 5)
)


def shelf(*proven: int, days: int) -> list[Backup]:
    """Return a backup for each day; those of ``proven`` were."""
    return [
        replace(ONE, id=f"b{day}", taken_at=day * DAY_S, verified_at=day * DAY_S + 1 if day in proven else None)
        for day in range(days)
    ]


@st.composite
def shelves(draw: st.DrawFn) -> list[Backup]:
    times = draw(st.lists(st.floats(0, 4e8), unique=True, max_size=40))
    return [
        replace(
            ONE,
            id=f"b{number}",
            taken_at=at,
            verified_at=draw(st.none() | st.just(at)),
            removed_at=draw(st.none() | st.none() | st.just(at)),
        )
        for number, at in enumerate(times)
    ]


@given(shelves(), POLICIES)
def test_the_newest_proven_backup_and_what_is_newer_stays_whatever_the_policy(
    backups: list[Backup], policy: Retention
) -> None:
    gone = expendable(backups, policy)
    proven = newest_proven(backups)
    if proven is None:
        assert gone == []
        return
    assert all(one.taken_at < proven.taken_at for one in gone)
    kept = [one for one in backups if one.removed_at is None]
    assert len(kept) - len(gone) >= min(policy.newest, len(kept))
    assert all(one.removed_at is None for one in gone)


@given(shelves(), POLICIES)
def test_removing_is_settled_at_once_and_proves_as_much_as_before(backups: list[Backup], policy: Retention) -> None:
    gone = {one.id for one in expendable(backups, policy)}
    left = [replace(one, removed_at=1.0) if one.id in gone else one for one in backups]
    assert expendable(left, policy) == []
    assert newest_proven(left) == newest_proven(backups)
    assert newest_kept(left) == newest_kept(backups)


def test_the_newest_that_was_proven_to_more_stays_when_less_is_required_for_a_while() -> None:
    whole = [replace(one, level="L4", required="L4") for one in shelf(0, 1, days=2)]
    later = [replace(one, id=f"l{one.id}", taken_at=one.taken_at + 10 * DAY_S) for one in shelf(0, 1, 2, days=3)]
    less = [replace(one, level="L1", required="L1") for one in later]
    gone = expendable([*whole, *less], Retention(newest=1, days=0, weeks=0, months=0))
    assert [one.id for one in gone] == ["b0", "lb0", "lb1"]


def test_days_weeks_and_months_keep_the_last_of_each() -> None:
    policy = Retention(newest=1, days=2, weeks=2, months=2)
    gone = {one.id for one in expendable(shelf(69, days=70), policy)}
    # 1970-03-11 and -10; the Sunday before, -08; the last of February.
    assert {f"b{day}" for day in range(70)} - gone == {"b69", "b68", "b66", "b58"}


def test_without_a_proof_nothing_goes() -> None:
    assert expendable(shelf(days=400), Retention(newest=1, days=0, weeks=0, months=0)) == []


def test_a_clock_in_doubt_stops_it() -> None:
    backups = shelf(9, days=10)
    newest = 9 * DAY_S
    assert doubt(backups, newest + 3600, DAY_S, newest + 3601) == ""
    assert "clock was set back" in doubt(backups, newest - 3600, DAY_S, newest - 3600)
    assert "jumped ahead" in doubt(backups, newest + 2 * DAY_S, DAY_S, newest + 2 * DAY_S)
    assert "differ by 7200 s" in doubt(backups, newest + 7300, DAY_S, newest + 100)
    assert doubt([], 0, DAY_S, 0) == "the journal knows no backup"
