"""The calendar's ledger, as it lies in the journal: which due times were entered, and what became of them.

A slot that cannot be read counts for nothing and spoils no other; `karaula evidence verify` names it. Methods block, as
the journal's do, and are called in its thread.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from dr.errors import IllegalEvent
from dr.journal.calendar import CLAIMED, PREFIX, CalendarEvent, JobLedger, JobSeen, Slot, SlotClaimed, SlotSettled
from dr.journal.event import Event, decode
from monitor.errors import StateError

log = logging.getLogger(__name__)


class Stories(Protocol):
    """Where the events lie (``dr.journal.sqlite.SqliteJournal``)."""

    def append(self, run_id: str, seq: int, events: Sequence[Event]) -> None:
        """Write ``events`` as numbers ``seq`` and following. Raises StateError."""
        ...

    def rows(self, story_id: str) -> list[tuple[int, str, bytes]]:
        """Return number, word and body of each event of one story. Raises StateError."""
        ...

    def names(self, prefix: str) -> list[str]:
        """Return the stories whose names begin with ``prefix``. Raises StateError."""
        ...


class CalendarLedger:
    """Every job's slots; read from the journal when a job is first asked about."""

    def __init__(self, stories: Stories) -> None:
        """Read nothing yet."""
        self._stories = stories
        self._jobs: dict[str, JobLedger] = {}

    def job_since(self, job: str, now: float) -> float:
        """Return from when on the job's slots count: the first time it was seen. Raises StateError."""
        ledger = self._job(job)
        if ledger.since is None or now < ledger.since:
            self._note(ledger, JobSeen(now))
        return now if ledger.since is None else ledger.since

    def last_slot(self, job: str, now: float) -> float | None:
        """Return the newest due time in the job's ledger that has come. Raises StateError."""
        return self._job(job).newest(now)

    def claim(self, job: str, due: float, state: str, now: float, reason: str = "") -> bool:
        """Enter the slot; False when it was entered before. Raises StateError."""
        ledger = self._job(job)
        if not ledger.free(due, now):
            return False
        if ledger.since is None:
            self._note(ledger, JobSeen(now))
        self._note(ledger, SlotClaimed(now, due, state, reason))
        return True

    def settle(self, slot: Slot, now: float) -> None:
        """Write what became of a claimed slot; of any other nothing is written. Raises StateError."""
        ledger = self._job(slot.job)
        known = ledger.slots.get(slot.due)
        if known is not None and known.state == CLAIMED:
            self._note(ledger, SlotSettled(now, slot.due, slot.state, slot.run_id, slot.reason))

    def slots(self, limit: int = 1000) -> list[Slot]:
        """Return the newest slots, newest first. Raises StateError."""
        jobs = [self._job(name.removeprefix(PREFIX)) for name in self._stories.names(PREFIX)]
        found = [slot for job in jobs for slot in job.slots.values()]
        return sorted(found, key=lambda slot: (-slot.due, slot.job))[:limit]

    def _job(self, job: str) -> JobLedger:
        if job in self._jobs:
            return self._jobs[job]
        ledger = JobLedger(job)
        for seq, word, body in self._stories.rows(f"{PREFIX}{job}"):
            try:
                ledger.take(decode(word, body.decode()))
            except (IllegalEvent, UnicodeDecodeError) as error:
                log.error("event %d of %s%s counts for nothing: %s", seq, PREFIX, job, error)  # noqa: TRY400 - foreseen
            ledger.seq = seq + 1
        self._jobs[job] = ledger
        return ledger

    def _note(self, ledger: JobLedger, event: CalendarEvent) -> None:
        """Make the event durable, then true. Raises StateError; whether it stands is then read anew."""
        try:
            self._stories.append(f"{PREFIX}{ledger.job}", ledger.seq, (event,))
        except StateError:
            self._jobs.pop(ledger.job, None)
            raise
        ledger.take(event)
