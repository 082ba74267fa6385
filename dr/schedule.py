"""The calendar: which slots are due, each entered once in the journal's ledger, then asked of the orchestrator.

Due times come from cronsim in the estate's time zone: 02:30 happens once on the autumn night that has it twice,
and at 03:00 on the spring night that has it not. A slot is claimed before its run is asked for and settled
after; a daemon that died in between finds the claim and looks whether the run was journaled, so a nightly run is
neither lost nor doubled.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol, TypeVar

from dr.errors import PlaybookError, RunRefused
from dr.journal.calendar import Slot
from dr.journal.ledger import CalendarLedger
from monitor.clock import Clock
from monitor.inventory.behaviour import Schedule
from monitor.status.calendar import due_times

log = logging.getLogger(__name__)
T = TypeVar("T")
ON_TIME_S = 60.0


class InThread(Protocol):
    """Runs a blocking journal call in the journal's thread."""

    def __call__(self, call: Callable[[], T]) -> Awaitable[T]:
        """Return the call's result."""
        ...


@dataclass(frozen=True, slots=True)
class DueRun:
    """A slot that asks for a run; ``ref`` names it for ever."""

    job: str
    due: float
    schedule: Schedule
    ref: str


def slot_ref(job: str, due: float) -> str:
    """Return the name of a slot: ``nightly-backup-ncts@2026-11-24T00:30:00+00:00``."""
    return f"{job}@{datetime.fromtimestamp(due, UTC).isoformat()}"


class Scheduler:
    """Ticked from outside; keeps no time of its own."""

    def __init__(
        self,
        ledger: CalendarLedger,
        in_thread: InThread,
        schedules: Mapping[str, Schedule],
        zone: str,
        clock: Clock,
        start: Callable[[DueRun], Awaitable[str]],
        started: Callable[[str], str | None],
    ) -> None:
        """``start`` asks for the run and returns its id; ``started(ref)`` finds the run that a slot led to."""
        self._ledger = ledger
        self._in_thread = in_thread
        self._schedules = schedules
        self._zone = zone
        self._clock = clock
        self._start = start
        self._started = started

    def reload(self, schedules: Mapping[str, Schedule], zone: str) -> None:
        """Keep another calendar from the next tick on; a job that it has anew has no past."""
        self._schedules = schedules
        self._zone = zone

    async def recover(self) -> None:
        """Settle claims that a dead daemon left: their run exists, or it is asked for now."""
        for slot in await self._in_thread(self._ledger.slots):
            if slot.state == "claimed":
                schedule = self._schedules.get(slot.job)
                run_id = self._started(slot_ref(slot.job, slot.due))
                if run_id is not None:
                    await self._settle(slot, "started", run_id, "")
                elif schedule is None:
                    await self._settle(slot, "missed", "", "the schedule is no longer in the inventory")
                else:
                    await self._ask(slot, schedule)

    async def tick(self) -> None:
        """Claim and start what is due now. Raises StateError; the next tick tries again."""
        now = self._clock.now()
        for job, schedule in self._schedules.items():
            since = await self._in_thread(lambda job=job: self._ledger.job_since(job, now))  # type: ignore[misc]  # a lambda with a default
            last = await self._in_thread(lambda job=job: self._ledger.last_slot(job, now))  # type: ignore[misc]  # likewise
            due = list(due_times(schedule.cron, self._zone, max(since, last or since), now))
            for moment in due:
                await self._take(job, schedule, moment, newest=moment == due[-1], now=now)

    def upcoming(self) -> dict[str, float]:
        """Return each job's next due time (Unix seconds)."""
        now = self._clock.now()
        return {
            job: next(iter(due_times(schedule.cron, self._zone, now, float("inf"))))
            for job, schedule in self._schedules.items()
        }

    async def _take(self, job: str, schedule: Schedule, due: float, *, newest: bool, now: float) -> None:
        late_s = now - due
        missed = ""
        if late_s > ON_TIME_S and (schedule.missed == "record" or late_s > schedule.late_by_s):
            missed = f"nobody looked then (the daemon was down, or the clock was set); found {late_s:.0f} s later"
        elif not newest:
            missed = "a later slot of the same job was due as well; one run makes up for both"
        state = "missed" if missed else "claimed"
        fresh = await self._in_thread(lambda: self._ledger.claim(job, due, state, now, missed))
        if fresh and not missed:
            await self._ask(Slot(job, due, state, now, "", ""), schedule)

    async def _ask(self, slot: Slot, schedule: Schedule) -> None:
        due = DueRun(slot.job, slot.due, schedule, slot_ref(slot.job, slot.due))
        try:
            run_id = await self._start(due)
        except (RunRefused, PlaybookError) as error:
            log.warning("slot %s was refused: %s", due.ref, error)
            await self._settle(slot, "refused", self._started(due.ref) or "", str(error))
        else:
            await self._settle(slot, "started", run_id, "")

    async def _settle(self, slot: Slot, state: str, run_id: str, reason: str) -> None:
        settled, now = replace(slot, state=state, run_id=run_id, reason=reason), self._clock.now()
        await self._in_thread(lambda: self._ledger.settle(settled, now))
