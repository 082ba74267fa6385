"""A finding and its corrective action: what should not happen again, who sees to it until when, and who has looked.

It is journaled in the same chain as the runs, as a story of its own (``finding/7``), and is the fold of its events
(ISO 22301:2019, 10.1: nonconformity and corrective action).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import get_args

from dr.errors import IllegalEvent
from dr.journal.names import same_person

PREFIX = "finding/"
SEVERITIES = ("critical", "warning")


@dataclass(frozen=True, slots=True)
class FindingEntered:
    """A run's report found something (``by`` is then ``karaula``), or a person did. ``run`` may be empty."""

    at: float
    by: str
    run: str
    system: str
    severity: str
    what: str


@dataclass(frozen=True, slots=True)
class FindingSeenAgain:
    """Another run found the same before it was closed."""

    at: float
    run: str


@dataclass(frozen=True, slots=True)
class ActionAgreed:
    """What will be done against it, by whom (``owner``), until when (Unix seconds); the newest one counts."""

    at: float
    by: str
    owner: str
    due_at: float
    what: str


@dataclass(frozen=True, slots=True)
class ActionDone:
    """It was done; ``evidence`` says where that can be seen."""

    at: float
    by: str
    evidence: str


@dataclass(frozen=True, slots=True)
class FindingClosed:
    """Another person has looked and found the action effective."""

    at: float
    by: str
    comment: str


@dataclass(frozen=True, slots=True)
class FindingAccepted:
    """A person takes the risk as it is, with a reason; nothing is done."""

    at: float
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class FindingReopened:
    """It was closed or accepted too early."""

    at: float
    by: str
    reason: str


FindingEvent = (
    FindingEntered | FindingSeenAgain | ActionAgreed | ActionDone | FindingClosed | FindingAccepted | FindingReopened
)
FINDING_WORDS = frozenset(word.__name__ for word in get_args(FindingEvent))


class FindingState(StrEnum):
    """Where a finding stands."""

    OPEN = "open"
    AGREED = "action-agreed"
    DONE = "action-done"
    CLOSED = "closed"
    ACCEPTED = "accepted"

    @property
    def over(self) -> bool:
        """Tell whether nobody needs to do anything."""
        return self in {FindingState.CLOSED, FindingState.ACCEPTED}


@dataclass(frozen=True, slots=True)
class TrackedFinding:
    """A finding with what became of it. ``runs`` are those that found it, the first one first."""

    id: str
    severity: str
    system: str
    what: str
    entered_at: float
    entered_by: str
    runs: tuple[str, ...]
    state: FindingState = FindingState.OPEN
    owner: str = ""
    due_at: float | None = None
    action: str = ""
    done_by: str = ""
    done_at: float | None = None
    evidence: str = ""
    over_by: str = ""
    over_at: float | None = None
    comment: str = ""
    events: int = 1

    def overdue(self, now: float) -> bool:
        """Tell whether an action was agreed and is not done in time."""
        return self.state is FindingState.AGREED and self.due_at is not None and now > self.due_at


def fold_finding(finding_id: str, events: Iterable[object]) -> TrackedFinding:
    """Return the finding of a whole story. Raises IllegalEvent for what cannot have been written."""
    found: TrackedFinding | None = None
    for event in events:
        found = after(finding_id, found, event)
    if found is None:
        raise IllegalEvent(f"{finding_id} has no events")
    return found


def after(finding_id: str, found: TrackedFinding | None, event: object) -> TrackedFinding:
    """Return the finding once ``event`` has followed. Raises IllegalEvent where it cannot."""
    if found is None:
        if not isinstance(event, FindingEntered) or event.severity not in SEVERITIES:
            raise IllegalEvent(f"{finding_id} does not begin with a finding of a known severity")
        runs = (event.run,) if event.run else ()
        return TrackedFinding(finding_id, event.severity, event.system, event.what, event.at, event.by, runs)
    changed = _changed(found, event)
    if changed is None:
        raise IllegalEvent(f"{finding_id}: {type(event).__name__} cannot follow while it is {found.state}")
    return replace(changed, events=found.events + 1)


def _changed(found: TrackedFinding, event: object) -> TrackedFinding | None:  # noqa: PLR0911 - one for each word
    match event:
        case FindingSeenAgain() if not found.state.over and event.run not in found.runs:
            return replace(found, runs=(*found.runs, event.run))
        case ActionAgreed() if not found.state.over:
            agreed = replace(found, state=FindingState.AGREED, owner=event.owner, due_at=event.due_at)
            return replace(agreed, action=event.what, done_by="", done_at=None, evidence="")
        case ActionDone() if found.state is FindingState.AGREED:
            done = replace(found, state=FindingState.DONE, done_by=event.by, done_at=event.at)
            return replace(done, evidence=event.evidence)
        case FindingClosed() if found.state is FindingState.DONE and not same_person(event.by, found.done_by):
            return replace(found, state=FindingState.CLOSED, over_by=event.by, over_at=event.at, comment=event.comment)
        case FindingAccepted() if not found.state.over:
            return replace(found, state=FindingState.ACCEPTED, over_by=event.by, over_at=event.at, comment=event.reason)
        case FindingReopened() if found.state.over:
            return replace(found, state=FindingState.OPEN, over_by="", over_at=None, comment=event.reason)
    return None
