"""Sharing an estate among daemons: everything once, what is judged together together, few moves."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from watch_kit import estate

from monitor.inventory.dependencies import any_of, depends_on, parts
from monitor.inventory.model import Inventory
from monitor.inventory.planning import Group, PlannedDowntime
from monitor.inventory.shard import MOST, RECOVERY, WHOLE, Shard, home, lots, part, shard
from monitor.targets import targets

INVENTORY = estate()
SAMPLE = INVENTORY.crossings["blace"], INVENTORY.links["blace"]
counts = st.integers(1, 9)


def with_crossings(number: int) -> Inventory:
    """Return the inventory with further crossings."""
    names = [f"crossing-{each}" for each in range(number)]
    crossing, pair = SAMPLE
    return INVENTORY.model_copy(
        update={
            "crossings": {**INVENTORY.crossings, **dict.fromkeys(names, crossing)},
            "links": {**INVENTORY.links, **dict.fromkeys(names, pair)},
        }
    )


LARGE = with_crossings(400)


@settings(deadline=None, max_examples=20)
@given(counts)
def test_every_subject_and_target_is_watched_by_exactly_one_but_anchors_by_all(count: int) -> None:
    found = [part(INVENTORY, Shard(number, count)) for number in range(1, count + 1)]
    subjects = Counter(subject for each in found for subject in depends_on(each))
    wanted = {subject: count if subject.startswith("anchor/") else 1 for subject in depends_on(INVENTORY)}
    assert subjects == wanted
    asked = Counter((each.subject, each.params) for one in found for each in targets(one))
    assert asked == {(each.subject, each.params): wanted[each.subject] for each in targets(INVENTORY)}


@settings(deadline=None, max_examples=20)
@given(counts)
def test_what_is_judged_or_explained_together_is_together(count: int) -> None:
    for number in range(1, count + 1):
        mine = part(INVENTORY, Shard(number, count))
        own = depends_on(mine).keys()
        for joined in (parts(mine), depends_on(mine)):
            for subject, others in joined.items():
                assert subject in own
                assert {*others} <= own
        assert {vm for sets in any_of(mine).values() for each in sets for vm in each} <= own
        assert parts(mine) == {key: each for key, each in parts(INVENTORY).items() if key in own}
        assert depends_on(mine) == {key: each for key, each in depends_on(INVENTORY).items() if key in own}


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 12))
def test_one_more_shard_takes_its_share_and_moves_nothing_else(count: int) -> None:
    names = set(lots(LARGE).values())
    before = {lot: home(lot, count) for lot in names}
    after = {lot: home(lot, count + 1) for lot in names}
    moved = {lot for lot in names if before[lot] != after[lot]}
    assert {after[lot] for lot in moved} <= {count + 1}
    share = len(names) / (count + 1)
    assert 0.6 * share < len(moved) < 1.5 * share, (count, len(moved), share)
    assert before[RECOVERY] == after[RECOVERY] == 1


def test_the_shares_are_fair() -> None:
    found = Counter(home(lot, 5) for lot in set(lots(LARGE).values()))
    assert min(found.values()) > 0.7 * 420 / 5, found


def test_the_hash_is_the_same_for_ever() -> None:
    """A changed hash would move half of a country's links at the next upgrade."""
    assert [home(f"crossing/{key}", 5) for key in ("blace", "dojran", "tabanovce", "kjafasan", "stenje")] == PINNED


PINNED = [3, 1, 2, 1, 5]


def test_key_systems_and_their_sites_are_the_first_ones() -> None:
    first = part(INVENTORY, Shard(1, 4))
    assert first.systems == INVENTORY.systems
    assert first.sites == INVENTORY.sites
    assert first.vcenters == INVENTORY.vcenters
    second = part(INVENTORY, Shard(2, 4))
    assert (second.systems, second.sites, second.sensors, second.hosts) == ({}, {}, {}, {})
    assert second.operators == INVENTORY.operators


def test_a_site_without_key_systems_is_a_lot_of_its_own() -> None:
    office = INVENTORY.sites["dr"].model_copy(update={"name": "Office"})
    host = INVENTORY.hosts["vault-dr"].model_copy(update={"site": "office"})
    more = INVENTORY.model_copy(
        update={"sites": {**INVENTORY.sites, "office": office}, "hosts": {**INVENTORY.hosts, "desk": host}}
    )
    found = lots(more)
    assert found["site/office"] == found["host/desk"] == "site/office"
    assert found["site/main"] == found["sensor/main-water"] == RECOVERY


def test_a_group_joins_what_it_is_made_of() -> None:
    group = Group.model_validate(
        {"name": "Both", "members": ["crossing/blace", "crossing/jazince"], "needed_by": ["crossing/dojran"]}
    )
    found = lots(INVENTORY.model_copy(update={"groups": {"both": group}}))
    assert {
        found[f"{kind}"] for kind in ("crossing/blace", "link/jazince/backup", "group/both", "link/dojran/primary")
    } == {"crossing/blace"}


def test_a_planned_downtime_is_kept_where_its_subject_is() -> None:
    work = {"cron": "0 22 * * 6", "duration_s": 3600, "owner": "ana", "reason": "patches"}
    subjects = {"stray": "vm/vc-main/nobody-listed-it", "blace": "link/blace/primary", "all": "site/dr"}
    planned = {key: PlannedDowntime.model_validate({**work, "subject": each}) for key, each in subjects.items()}
    more = INVENTORY.model_copy(update={"downtimes": planned})
    found = [part(more, Shard(number, 3)) for number in (1, 2, 3)]
    assert Counter(key for each in found for key in each.downtimes) == dict.fromkeys(subjects, 1)
    assert {"stray", "all"} <= found[0].downtimes.keys()


def test_one_daemon_alone_has_the_inventory_as_it_is() -> None:
    assert part(INVENTORY, WHOLE) is INVENTORY
    assert str(shard("2/5")) == "2/5"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "'' is not NUMBER/COUNT, such as 2/5"),
        ("2", "'2' is not NUMBER/COUNT, such as 2/5"),
        ("2/5\n", "'2/5\n' is not NUMBER/COUNT, such as 2/5"),
        ("\u0662/\u0665", "'\u0662/\u0665' is not NUMBER/COUNT, such as 2/5"),
        ("0/5", "the number of a shard is from 1 to 5, found 0"),
        ("6/5", "the number of a shard is from 1 to 5, found 6"),
        ("1/0", f"an estate is shared by 1 to {MOST} daemons, found 0"),
        ("1/65", f"an estate is shared by 1 to {MOST} daemons, found 65"),
    ],
)
def test_what_is_no_shard_is_said(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        shard(text)
    assert str(caught.value) == sentence
