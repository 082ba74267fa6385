"""The calendar: every slot once, over restarts, missed hours and the clock changes of Europe/Skopje."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dr.errors import RunRefused
from dr.journal.sqlite import SqliteJournal
from dr.schedule import DueRun, Scheduler, due_times
from monitor.clock import ManualClock
from monitor.inventory.behaviour import Schedule

ZONE = "Europe/Skopje"
T = TypeVar("T")


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(ZONE)).timestamp()


def utc(moments: list[float]) -> list[str]:
    return [datetime.fromtimestamp(moment, UTC).strftime("%d %H:%M") for moment in moments]


def test_the_autumn_night_with_two_half_past_twos_has_one_slot() -> None:
    due = list(due_times("30 2 * * *", ZONE, at("2026-10-24T12:00"), at("2026-10-26T12:00")))
    assert len(due) == 2
    assert len({datetime.fromtimestamp(moment, ZoneInfo(ZONE)).date() for moment in due}) == 2


def test_the_spring_night_without_half_past_two_has_its_slot_at_three() -> None:
    due = list(due_times("30 2 * * *", ZONE, at("2026-03-28T12:00"), at("2026-03-29T12:00")))
    assert utc(due) == ["29 01:00"]


@given(
    st.floats(at("2026-01-01T00:00"), at("2027-12-31T00:00")),
    st.lists(st.floats(1, 86400 * 3), min_size=1, max_size=12),
)
@settings(max_examples=60, deadline=None)
def test_however_time_is_cut_the_slots_are_the_same(start: float, cuts: list[float]) -> None:
    pieces, moment = [], start
    for cut in cuts:
        pieces += due_times("30 2 * * *", ZONE, moment, moment + cut)
        moment += cut
    assert pieces == list(due_times("30 2 * * *", ZONE, start, moment))


class Estate:
    """A scheduler on a real journal, with the runs that it asked for; may die between claim and run."""

    def __init__(self, folder: Path, clock: ManualClock, schedule: Schedule) -> None:
        self.path = folder / "journal.sqlite"
        self.clock = clock
        self.schedule = schedule
        self.runs: dict[str, str] = {}
        self.die = False
        self.open()

    def open(self) -> None:
        self.journal = SqliteJournal(self.path)

        async def in_thread(call: Callable[[], T]) -> T:
            return call()

        async def start(due: DueRun) -> str:
            if self.die:
                self.die = False
                raise asyncio.CancelledError
            assert due.ref not in self.runs, "a slot led to two runs"
            self.runs[due.ref] = f"run-{len(self.runs)}"
            return self.runs[due.ref]

        self.scheduler = Scheduler(
            self.journal.calendar, in_thread, {"nightly": self.schedule}, ZONE, self.clock, start, self.runs.get
        )

    def restart(self) -> None:
        self.journal.close()
        self.open()

    def tick(self) -> None:
        asyncio.run(self._tick())

    async def _tick(self) -> None:
        try:
            await self.scheduler.tick()
        except asyncio.CancelledError:
            self.restart()
            await self.scheduler.recover()


def nightly(**changes: object) -> Schedule:
    return Schedule.model_validate({"playbook": "backup", "system": "ncts", "cron": "30 1 * * *", **changes})


def test_one_run_a_night_and_none_before_the_job_was_known(tmp_path: Path) -> None:
    estate = Estate(tmp_path, ManualClock(at("2026-11-24T12:00")), nightly())
    estate.tick()
    assert estate.runs == {}
    for _ in range(3 * 24 * 60):
        estate.clock.advance(60)
        estate.tick()
    assert len(estate.runs) == 3
    estate.journal.close()


def test_a_missed_night_is_caught_up_or_written_down(tmp_path: Path) -> None:
    for missed, runs, states in (("catch-up", 1, ["started", "missed"]), ("record", 0, ["missed", "missed"])):
        folder = tmp_path / missed
        folder.mkdir()
        estate = Estate(folder, ManualClock(at("2026-11-24T12:00")), nightly(missed=missed))
        estate.tick()
        estate.clock.jump(at("2026-11-26T03:00") - estate.clock.now())
        estate.restart()
        estate.tick()
        assert len(estate.runs) == runs
        assert [slot.state for slot in estate.journal.calendar.slots()] == states
        assert all(slot.reason for slot in estate.journal.calendar.slots() if slot.state == "missed")
        estate.journal.close()


def test_too_late_to_catch_up_is_written_down(tmp_path: Path) -> None:
    estate = Estate(tmp_path, ManualClock(at("2026-11-24T12:00")), nightly(late_by_s=3600))
    estate.tick()
    estate.clock.jump(at("2026-11-25T09:00") - estate.clock.now())
    estate.tick()
    assert estate.runs == {}
    assert [slot.state for slot in estate.journal.calendar.slots()] == ["missed"]
    estate.journal.close()


def test_a_daemon_that_dies_between_claim_and_run_neither_loses_nor_doubles_it(tmp_path: Path) -> None:
    estate = Estate(tmp_path, ManualClock(at("2026-11-24T12:00")), nightly())
    estate.tick()
    estate.die = True
    estate.clock.jump(at("2026-11-25T01:30:05") - estate.clock.now())
    estate.tick()
    assert len(estate.runs) == 1
    estate.restart()
    asyncio.run(estate.scheduler.recover())
    estate.tick()
    assert len(estate.runs) == 1
    assert [slot.state for slot in estate.journal.calendar.slots()] == ["started"]
    estate.journal.close()


def test_a_refused_run_settles_its_slot_with_the_reason(tmp_path: Path) -> None:
    estate = Estate(tmp_path, ManualClock(at("2026-11-24T12:00")), nightly())
    estate.tick()

    async def refuse(_due: DueRun) -> str:
        raise RunRefused("exclusive", "another run is under way")

    estate.scheduler._start = refuse
    estate.clock.jump(at("2026-11-25T01:30:05") - estate.clock.now())
    estate.tick()
    (slot,) = estate.journal.calendar.slots()
    assert slot.state == "refused"
    assert "another run is under way" in slot.reason
    estate.journal.close()


@pytest.mark.parametrize("back_s", [3600, 7200])
def test_a_clock_set_back_doubles_nothing(tmp_path: Path, back_s: float) -> None:
    estate = Estate(tmp_path, ManualClock(at("2026-11-24T12:00")), nightly())
    estate.tick()
    estate.clock.jump(at("2026-11-25T01:30:05") - estate.clock.now())
    estate.tick()
    estate.clock.jump(-back_s)
    estate.tick()
    estate.clock.jump(back_s)
    estate.tick()
    assert len(estate.runs) == 1
    estate.journal.close()


@given(start=st.floats(0, 86_400), jump_s=st.floats(-40 * 86_400, 40 * 86_400), away_s=st.integers(1, 3000))
@example(start=0.0, jump_s=70_201.0, away_s=1)  # late enough to write the night off
@settings(max_examples=5)
def test_a_clock_that_was_wrong_for_a_while_stops_no_later_night(start: float, jump_s: float, away_s: int) -> None:
    """However far it was set: each night after it was set right has its run, and none has two."""
    with tempfile.TemporaryDirectory() as folder:
        estate = Estate(Path(folder), ManualClock(at("2026-11-24T12:00") + start), nightly())
        estate.tick()
        estate.clock.jump(jump_s)
        estate.tick()
        estate.clock.advance(away_s)
        estate.tick()
        estate.clock.jump(-jump_s)
        right = estate.clock.now()
        for _ in range(3 * 24):
            estate.clock.advance(3600)
            estate.tick()
        nights = [slot for slot in estate.journal.calendar.slots(5000) if right < slot.due <= estate.clock.now()]
        assert len(nights) == 3
        assert {slot.state for slot in nights} == {"started"}
        estate.journal.close()
