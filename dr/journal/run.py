"""The states of a run and its steps, as the fold of a journal yields them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from dr.journal.event import GuardRuled, Scalar
from dr.playbook.model import Plan, PlannedStep
from monitor.status.votes import Poll

NOTHING_ACCEPTED = -1.0


class RunState(StrEnum):
    """Where a run stands."""

    ACCEPTED = "ACCEPTED"
    WAITING = "WAITING"
    IN_PROGRESS = "IN_PROGRESS"
    PAUSED = "PAUSED"
    CANCELING = "CANCELING"
    INTERRUPTED = "INTERRUPTED"
    CANCELED = "CANCELED"
    SUCCEEDED = "SUCCEEDED"
    SUCCEEDED_WITH_WARNINGS = "SUCCEEDED_WITH_WARNINGS"
    FAILED = "FAILED"

    @property
    def final(self) -> bool:
        """Tell whether nothing can follow."""
        return self in _FINAL_RUNS


_FINAL_RUNS = frozenset({RunState.CANCELED, RunState.SUCCEEDED, RunState.SUCCEEDED_WITH_WARNINGS, RunState.FAILED})
MOVING = frozenset({RunState.IN_PROGRESS, RunState.CANCELING})
ACTIVE = MOVING | {RunState.PAUSED}


class StepState(StrEnum):
    """Where a step stands."""

    QUEUED = "QUEUED"
    IN_PROGRESS = "IN_PROGRESS"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    FAILED_IGNORED = "FAILED_IGNORED"
    TIMED_OUT = "TIMED_OUT"
    UNKNOWN = "UNKNOWN"
    SKIPPED = "SKIPPED"
    CANCELED = "CANCELED"
    UNDONE = "UNDONE"
    UNDO_FAILED = "UNDO_FAILED"

    @property
    def failed(self) -> bool:
        """Tell whether the step needs a retry, a person or an undo before the run can succeed."""
        return self in _FAILED

    @property
    def passed(self) -> bool:
        """Tell whether steps that need this one may begin."""
        return self in _PASSED

    @property
    def settled(self) -> bool:
        """Tell whether nothing more happens to the step by itself."""
        return self not in _UNSETTLED


# Made once: of a run of a thousand steps each is asked again at every event.
_FAILED = frozenset({StepState.FAILED, StepState.TIMED_OUT})
PASSED_OVER = " (passed over by "
_PASSED = frozenset({StepState.SUCCEEDED, StepState.FAILED_IGNORED})
_UNSETTLED = frozenset({StepState.QUEUED, StepState.IN_PROGRESS, StepState.UNKNOWN})


@dataclass(frozen=True, slots=True)
class StepRecord:
    """A step of a run: its plan and what became of it.

    ``attempt`` counts from 1 (0: never started). ``retries_left`` falls with each automatic retry.
    ``cannot_tell`` is set once the world could not say whether the effect of an UNKNOWN step holds.
    ``started_at`` is of the newest attempt, ``first_started_at`` of the first: since then its effect may be there.
    ``started_seq`` is the place in the journal of the newest attempt's intent: order that no clock can turn round.
    ``crashed`` marks a step that the daemon's death made UNKNOWN: running it again costs no retry.
    ``token`` is the fencing token of the newest attempt, which a probe of it looks for. ``left_by`` is who has decided
    that a step which could not be undone, and all that it was built upon, stays as it is; ``ignored_by`` who has passed
    over it instead.
    """

    plan: PlannedStep
    state: StepState = StepState.QUEUED
    attempt: int = 0
    token: int = 0
    started_at: float | None = None
    first_started_at: float | None = None
    started_seq: int = 0
    ended_at: float | None = None
    outputs: Mapping[str, Scalar] = field(default_factory=dict)
    reason: str = ""
    evidence: str = ""
    output_sha256: str = ""
    retries_left: int = 0
    retry_helps: bool = False
    cannot_tell: bool = False
    crashed: bool = False
    ignored_by: str = ""
    answer: str = ""
    answered_by: str = ""
    undoing: bool = False
    left_by: str = ""

    @property
    def why(self) -> str:
        """What was said of a failure, without who has passed over it."""
        return self.reason.partition(PASSED_OVER)[0]

    def passed_over(self, by: str, because: str) -> str:
        """Return the reason with who has passed over it, and why."""
        return f"{self.reason}{PASSED_OVER}{by}: {because})"

    @property
    def stuck(self) -> bool:
        """Tell whether neither the action nor the world says what became of the step."""
        return self.state is StepState.UNKNOWN and self.cannot_tell

    @property
    def stands(self) -> bool:
        """Tell whether its effect may still be there although it should be gone, and nobody has passed over that."""
        return self.stuck or (self.state is StepState.UNDO_FAILED and not self.ignored_by)

    @property
    def over(self) -> bool:
        """Tell whether nothing more happens to the step by itself."""
        return self.state.settled or self.stuck


@dataclass(frozen=True, slots=True)
class Run:
    """Everything that is known of a run; the fold of its events.

    ``automatic`` is one that starts without an approval if nothing speaks against it; ``poll`` holds the votes of the
    vantage points as they were last heard. Once undoing has begun (``undo_begun``) the run only winds down.
    """

    id: str
    plan: Plan
    plan_hash: str
    state: RunState
    steps: Mapping[str, StepRecord]
    accepted_at: float
    requester: str
    reason: str
    origin: str
    origin_ref: str
    service_lost_at: float
    alarm_at: float
    seq: int = 1
    token: int = 0
    started_at: float | None = None
    ended_at: float | None = None
    end_reason: str = ""
    guards: tuple[GuardRuled, ...] = ()
    approval_expires_at: float | None = None
    approved_by: str = ""
    approved_at: float | None = None
    loss_accepted_s: float = NOTHING_ACCEPTED
    loss_accepted_by: str = ""
    pause_reason: str = ""
    paused_by: str = ""
    cancel_by: str = ""
    cancel_reason: str = ""
    undo_asked: bool = False
    undo_begun: bool = False
    interruptions: int = 0
    before_interruption: RunState | None = None
    automatic: bool = False
    poll: Poll | None = None

    @property
    def by_itself(self) -> str:
        """Say how it came about that it began, or did not begin, by itself; empty where that was never asked for."""
        if not self.automatic:
            return ""
        if self.approved_by:
            return f"it was to begin by itself and did not; {self.approved_by} was asked"
        if self.started_at is not None:
            return "it began by itself, with a quorum; nobody was asked"
        return "it was to begin by itself and has not"

    @property
    def finishing(self) -> bool:
        """Tell whether its final steps have begun."""
        return any(record.plan.final and record.state is not StepState.QUEUED for record in self.steps.values())

    @property
    def undo_refused(self) -> str:
        """Say why a person cannot ask now for what was done to be taken back; empty when they can."""
        if self.undo_begun or self.undo_asked:
            return "what was done is being taken back already"
        if self.finishing:
            return "its final steps have begun"
        return self.undo_barred

    @property
    def undo_barred(self) -> str:
        """Say why nothing of this run can be taken back by a machine; empty when it can."""
        begun = [key for key, record in self.steps.items() if record.attempt and record.plan.hands_over]
        if begun:
            return f"step '{begun[0]}' has begun to hand over, and what stands on that is not taken back by a machine"
        undoable = any(each.plan.undoable and each.state is StepState.SUCCEEDED for each in self.steps.values())
        return "" if undoable else "nothing that was done can be undone by a machine"

    @property
    def system(self) -> str:
        """Return the key of the system the run is about."""
        return self.plan.system

    def effects_now(self) -> list[tuple[str, str, str]]:
        """Return the declared effects of the steps that succeeded, in plan order."""
        return [
            effect
            for step in self.plan.steps
            if self.steps[step.id].state is StepState.SUCCEEDED
            for effect in step.effects
        ]
