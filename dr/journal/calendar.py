"""The calendar's ledger in the journal: what became of each due time of a job, and since when the job is known.

A story a job (``calendar/nightly-backup-ncts``), in the same chain as the runs. A slot is claimed once and, unless it
was missed, settled once. What was written off, or first seen, at a time that is yet to come, a clock did that was
wrong: it does not count, and is entered anew when its time comes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from dr.errors import IllegalEvent

log = logging.getLogger(__name__)
PREFIX = "calendar/"
CLAIMED, MISSED = "claimed", "missed"


@dataclass(frozen=True, slots=True)
class JobSeen:
    """The calendar had this job for the first time: its slots count from now on."""

    at: float


@dataclass(frozen=True, slots=True)
class SlotClaimed:
    """A due time was entered; ``state`` other than ``claimed`` says that nothing follows it."""

    at: float
    due: float
    state: str
    reason: str


@dataclass(frozen=True, slots=True)
class SlotSettled:
    """What became of a claimed due time."""

    at: float
    due: float
    state: str
    run_id: str
    reason: str


CalendarEvent = JobSeen | SlotClaimed | SlotSettled


@dataclass(frozen=True, slots=True)
class Slot:
    """One due time of a scheduled job and what became of it.

    ``state`` is ``claimed`` (nothing is known to have started yet), ``started``, ``refused``, ``missed`` or ``sent``.
    """

    job: str
    due: float
    state: str
    at: float
    run_id: str
    reason: str


@dataclass(slots=True)
class JobLedger:
    """A job's slots by their due time; ``seq`` is the number of its next event, ``since`` None: not known yet."""

    job: str
    since: float | None = None
    slots: dict[float, Slot] = field(default_factory=dict)
    seq: int = 0

    def take(self, event: object) -> None:
        """Take the next event in. Raises IllegalEvent for one that cannot follow; then nothing has changed."""
        match event:
            case JobSeen(at) if self.since is None or at < self.since:
                self.since = at
            case SlotClaimed(at, due, state, reason) if self.since is not None and self.free(due, at):
                self.slots[due] = Slot(self.job, due, state, at, "", reason)
            case SlotSettled(_, due, state, run_id, reason) if self._open(due) and state != CLAIMED:
                self.slots[due] = replace(self.slots[due], state=state, run_id=run_id, reason=reason)
            case _:
                raise IllegalEvent(f"{PREFIX}{self.job}: {type(event).__name__} cannot follow")
        self.seq += 1

    def free(self, due: float, now: float) -> bool:
        """Tell whether the due time can be entered at ``now``."""
        slot = self.slots.get(due)
        return slot is None or (slot.state == MISSED and slot.at > now)

    def newest(self, now: float) -> float | None:
        """Return the newest due time that has come by ``now`` and is entered."""
        return max((due for due in self.slots if due <= now and not self.free(due, now)), default=None)

    def _open(self, due: float) -> bool:
        return due in self.slots and self.slots[due].state == CLAIMED


def fold_job(story_id: str, events: Iterable[object]) -> JobLedger:
    """Return the ledger of a whole story. Raises IllegalEvent for what cannot have been written."""
    ledger = JobLedger(story_id.removeprefix(PREFIX))
    for event in events:
        ledger.take(event)
    return ledger
