"""Planned downtimes: the calendar in the estate's zone, the record that survives everything, and what is covered."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.downtimes import INVENTORY, Downtimes
from monitor.errors import StateError
from monitor.inventory.dependencies import ties
from monitor.inventory.planning import PlannedDowntime
from monitor.status.calendar import windows
from monitor.status.downtime import Downtime, coverage, reach
from monitor.status.state import Health, Status
from tests.watch_kit import estate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

pytestmark = pytest.mark.anyio
ZONE = "Europe/Skopje"
HOUR_S = 3600.0
TIES = ties(estate())


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(ZONE)).timestamp()


def line(
    cron: str = "0 2 * * *", hours: float = 2.0, subject: str = "site/main", owner: str = "duty"
) -> PlannedDowntime:
    return PlannedDowntime(subject=subject, cron=cron, duration_s=hours * HOUR_S, owner=owner, reason="power works")


async def look(record: Downtimes, lines: Mapping[str, PlannedDowntime], now: float) -> None:
    record.tick(lines, ZONE, now)
    await record.save()


def told(start: float, end: float, subject: str = "system/ncts", name: str = "d1") -> Downtime:
    return Downtime(name, subject, start, end, end, "Ana", "new storage", start, "command")


@pytest.fixture
async def record(tmp_path: Path) -> AsyncIterator[Downtimes]:
    made = Downtimes(tmp_path / "downtimes.sqlite")
    yield made
    await made.close()


# -- the calendar ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "begins", "ends"),
    [
        ("2026-10-24", "2026-10-25T02:30:00+02:00", "2026-10-25T03:30:00+01:00"),  # the night that has 02:30 twice
        ("2026-03-28", "2026-03-29T03:00:00+02:00", "2026-03-29T05:00:00+02:00"),  # the night that has it not
        ("2026-07-01", "2026-07-02T02:30:00+02:00", "2026-07-02T04:30:00+02:00"),
    ],
)
def test_a_window_opens_once_and_lasts_its_seconds_whatever_the_wall_clock_does(day, begins, ends):
    start, end = datetime.fromisoformat(begins).timestamp(), datetime.fromisoformat(ends).timestamp()
    found = list(windows("30 2 * * *", ZONE, 2 * HOUR_S, at(f"{day}T12:00"), at(f"{day}T12:00") + 24 * HOUR_S))
    assert found == [(start, end)]


async def test_a_window_of_the_calendar_is_in_force_from_its_minute_to_its_end(record):
    lines = {"works": line()}
    begin = at("2026-11-02T02:00")
    for moment, holds in ((-1, False), (0, True), (2 * HOUR_S - 1, True), (2 * HOUR_S, False)):
        await look(record, lines, begin + moment)
        assert bool(record.in_force(begin + moment)) is holds, moment
    (kept,) = record.between(begin - HOUR_S, begin + 9 * HOUR_S)
    assert (kept.start, kept.end, kept.owner, kept.reason) == (begin, begin + 2 * HOUR_S, "duty", "power works")
    assert (kept.announced_at, kept.origin, kept.job) == (begin - 1, "calendar", "works")


async def test_a_line_that_is_read_in_the_middle_of_its_window_plans_from_then_on(record):
    begin = at("2026-11-02T02:00")
    await look(record, {"works": line()}, begin + HOUR_S)
    (found,) = record.in_force(begin + HOUR_S)
    assert (found.start, found.end) == (begin + HOUR_S, begin + 2 * HOUR_S)


async def test_windows_that_passed_while_no_daemon_ran_are_written_down(tmp_path):
    path, begin = tmp_path / "d.sqlite", at("2026-11-02T02:00")
    first = Downtimes(path)
    await look(first, {"works": line()}, begin - 60)
    await first.close()
    second = Downtimes(path)
    await look(second, {"works": line()}, begin + 50 * HOUR_S)
    kept = second.between(begin - HOUR_S, begin + 60 * HOUR_S)
    assert [each.start for each in kept] == [begin, begin + 24 * HOUR_S, begin + 48 * HOUR_S]
    assert {each.announced_at for each in kept} == {begin - 60}
    assert not second.in_force(begin + 50 * HOUR_S)
    await second.close()


async def test_a_window_ends_when_its_line_is_changed_or_taken_out(record):
    begin = at("2026-11-02T02:00")
    await look(record, {"works": line()}, begin - 1)
    await look(record, {"works": line()}, begin)
    await look(record, {"works": line(owner="others")}, begin + 60)
    (found,) = record.in_force(begin + 60)
    assert (found.owner, found.start) == ("others", begin + 60)
    await look(record, {}, begin + 90)
    assert not record.in_force(begin + 90)
    ended = [(each.start, each.end, each.ended_by) for each in record.between(begin, begin + HOUR_S)]
    assert ended == [(begin, begin + 60, INVENTORY), (begin + 60, begin + 90, INVENTORY)]


async def test_what_was_ended_early_is_not_begun_again_by_a_restart(tmp_path):
    path, begin = tmp_path / "d.sqlite", at("2026-11-02T02:00")
    first = Downtimes(path)
    await look(first, {"works": line()}, begin - 1)
    await look(first, {"works": line()}, begin)
    (ended,) = await first.end("site/main", "Ana", begin + 600)
    assert (ended.end, ended.ended_by, ended.planned_end) == (begin + 600, "Ana", begin + 2 * HOUR_S)
    await look(first, {"works": line()}, begin + 601)
    assert not first.in_force(begin + 601)
    await first.close()
    second = Downtimes(path)
    await look(second, {"works": line()}, begin + 602)
    assert not second.in_force(begin + 602)
    assert [each.end for each in second.between(begin, begin + HOUR_S)] == [begin + 600]
    await second.close()


async def test_a_clock_that_is_set_back_opens_nothing_twice(record):
    begin = at("2026-11-02T02:00")
    for moment in (begin - 1, begin, begin + 3 * HOUR_S, begin - 60, begin, begin + 1, begin + 3 * HOUR_S):
        await look(record, {"works": line()}, moment)
    assert len(record.between(begin - 24 * HOUR_S, begin + 24 * HOUR_S)) == 1


# -- what people announce ----------------------------------------------------------------------------------------------


async def test_what_was_announced_survives_a_restart_and_can_be_ended(tmp_path):
    path, now = tmp_path / "d.sqlite", at("2026-11-02T10:00")
    first = Downtimes(path)
    await first.announce(told(now, now + HOUR_S), now)
    await first.announce(told(now + HOUR_S, now + 2 * HOUR_S, "site/dr", "later"), now)
    await first.close()
    second = Downtimes(path)
    assert [each.id for each in second.in_force(now + 1)] == ["d1"]
    assert [each.id for each in second.upcoming({}, ZONE, now + 1)] == ["later"]
    assert [each.end for each in (await second.end("d1", "Boris", now + 60))] == [now + 60]
    assert [each.end for each in (await second.end("site/dr", "Boris", now + 60))] == [now + HOUR_S]
    assert (await second.end("d1", "Boris", now + 61)) == []
    assert not second.in_force(now + HOUR_S + 1), "what was called off before it began never begins"
    assert [each.id for each in second.between(now, now + 9 * HOUR_S)] == ["d1"]
    await second.close()


async def test_what_cannot_be_written_is_not_in_force(record):
    now = at("2026-11-02T10:00")
    record._db.execute("PRAGMA query_only=ON")
    with pytest.raises(StateError, match="record of downtimes"):
        await record.announce(told(now, now + HOUR_S), now)
    assert not record.in_force(now)


async def test_the_calendar_goes_on_over_a_failing_disk_and_is_written_when_it_works_again(record):
    begin = at("2026-11-02T02:00")
    await look(record, {"works": line()}, begin - 1)
    record._db.execute("PRAGMA query_only=ON")
    await look(record, {"works": line()}, begin)
    assert record.in_force(begin)
    assert "cannot be used" in record.error
    assert len(record.between(begin, begin + 1)) == 1
    record._db.execute("PRAGMA query_only=OFF")
    await look(record, {"works": line()}, begin + 1)
    assert not record.error
    assert len(record._rows("SELECT 1 FROM downtimes")) == 1


class Unreadable:
    """A reading connection to a damaged file."""

    def execute(self, *_: object) -> None:
        raise sqlite3.DatabaseError("database disk image is malformed")


async def test_a_record_that_cannot_be_read_holds_up_nothing_and_loses_nothing(tmp_path):
    path, begin = tmp_path / "d.sqlite", at("2026-11-02T02:00")
    lines, later = {"works": line(), "others": line(subject="site/dr")}, begin + 24 * HOUR_S
    first = Downtimes(path)
    await look(first, lines, begin - 1)
    await look(first, lines, later)
    (ended,) = await first.end("site/main", "Ana", later + 60)
    await first.close()
    record = Downtimes(path)
    reader, record._reader = record._reader, Unreadable()
    await look(record, lines, later + 120)
    assert "malformed" in record.error
    assert {each.subject for each in record.in_force(later + 120)} == {"site/main", "site/dr"}, "as the calendar says"
    with pytest.raises(StateError):
        await record.announce(told(later, later + HOUR_S), later + 120)
    record._reader = reader
    await look(record, lines, later + 121)
    assert not record.error
    assert [each.subject for each in record.in_force(later + 121)] == ["site/dr"], "the file knows that one was ended"
    kept = record.between(begin - 1, later + 9 * HOUR_S)
    assert len(kept) == 4
    assert ended in kept
    record._reader = Unreadable()
    await look(record, lines, later + 24 * HOUR_S)
    assert len(record.in_force(later + 24 * HOUR_S)) == 2
    assert "malformed" in record.error
    await look(record, lines, later + 27 * HOUR_S)
    assert not record.in_force(later + 27 * HOUR_S)
    record._reader = reader
    await look(record, lines, later + 27 * HOUR_S)
    assert len(record.between(begin - 1, later + 30 * HOUR_S)) == 6, "what opened meanwhile is written down"
    assert not record.error
    await record.close()


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_clock_that_jumps_ahead_and_comes_back_ends_no_downtime(tmp_path, restarted):
    begin, lines = at("2026-11-02T02:00"), {"works": line()}
    record = Downtimes(tmp_path / "d.sqlite")
    await look(record, lines, begin - 1)
    await record.announce(told(begin, begin + HOUR_S), begin - 1)
    await record.announce(told(begin, begin + HOUR_S, "site/dr", "called-off"), begin - 1)
    await look(record, lines, begin + 60)
    await record.end("called-off", "Ana", begin + 70)
    await look(record, lines, begin + 9 * HOUR_S)
    if restarted:
        await record.close()
        record = Downtimes(tmp_path / "d.sqlite")
        await look(record, lines, begin + 9 * HOUR_S)
    assert not record.in_force(begin + 9 * HOUR_S)
    await look(record, lines, begin + 62)
    assert [each.subject for each in record.in_force(begin + 62)] == ["system/ncts", "site/main"]
    await look(record, lines, begin + 2 * HOUR_S)
    assert not record.in_force(begin + 2 * HOUR_S)
    await record.close()


async def test_a_newer_file_is_refused(tmp_path):
    path = tmp_path / "d.sqlite"
    await Downtimes(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=9")
    with pytest.raises(StateError, match="schema version 9"):
        Downtimes(path)


@settings(max_examples=40, deadline=None)
@given(
    moments=st.lists(st.floats(min_value=0, max_value=72), min_size=1, max_size=8).map(sorted),
    stops=st.sets(st.integers(0, 7)),
)
async def test_whenever_the_daemon_looks_and_restarts_each_window_is_recorded_once(tmp_path_factory, moments, stops):
    path = tmp_path_factory.mktemp("law") / "d.sqlite"
    begin = at("2026-10-24T01:00")  # the clocks are set back in the second night
    record = Downtimes(path)
    await look(record, {"works": line()}, begin)
    for number, hours in enumerate(moments):
        if number in stops:
            await record.close()
            record = Downtimes(path)
        await look(record, {"works": line()}, begin + hours * HOUR_S)
    last = begin + moments[-1] * HOUR_S
    expected = list(windows("0 2 * * *", ZONE, 2 * HOUR_S, begin, last))
    assert [(each.start, each.end) for each in record.between(begin, last + 9 * HOUR_S)] == expected
    await record.close()


# -- what is covered ---------------------------------------------------------------------------------------------------


def covered(*subjects: str, down: tuple[str, ...] = ()) -> set[str]:
    statuses = {
        subject: Status(subject, Health.DOWN if subject in down else Health.OK, "", 0.0, 0.0)
        for subject in TIES.depends_on
    }
    downtimes = [told(0.0, 10.0, subject, f"d{number}") for number, subject in enumerate(subjects)]
    return set(coverage(downtimes, TIES, statuses))


def test_a_site_covers_everything_at_it():
    found = covered("site/main")
    assert {
        "site/main",
        "vcenter/vc-main",
        "host/ncts-db-main",
        "front/ncts/main",
        "dns/dns-main",
        "power/pdu-main",
    } <= found
    assert not {each for each in found if each.endswith("/dr") or each.startswith(("system/", "link/"))}


def test_a_system_covers_its_parts_and_what_depends_on_these():
    found = reach("system/ncts", TIES)
    assert {
        "front/ncts/main",
        "front/ncts/dr",
        "database/ncts/main",
        "vm/vc-main/ncts-web-1",
        "host/ncts-db-dr",
    } <= found
    assert not {each for each in found if "cdeps" in each or each.startswith("site/")}


def test_a_system_is_covered_while_all_that_is_not_up_of_it_is():
    front = "front/ncts/main"
    assert "system/ncts" not in covered("site/main")
    assert "system/ncts" in covered("site/main", down=(front,))
    assert "system/ncts" not in covered("site/main", down=(front, "front/ncts/dr"))


def test_works_on_one_link_do_not_cover_a_crossing_that_is_cut_off():
    one, other = "link/blace/primary", "link/blace/backup"
    assert "crossing/blace" in covered(one, down=(one,))
    assert "crossing/blace" not in covered(one, down=(one, other))
    assert "crossing/blace" in covered(one, other, down=(one, other))
    assert {one, other} <= covered("crossing/blace")
