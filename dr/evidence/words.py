"""A journal's events in words, for a timeline that a person reads in the morning, and what people decided in it."""

from __future__ import annotations

from dataclasses import dataclass

from dr.journal.calendar import JobSeen, SlotClaimed, SlotSettled
from dr.journal.event import (
    ApprovalAsked,
    Approved,
    CancelAsked,
    Denied,
    Event,
    GuardRuled,
    Interrupted,
    LossAccepted,
    Paused,
    Recovered,
    Resumed,
    RetryAsked,
    RunAccepted,
    RunEnded,
    RunStarted,
    StepFailed,
    StepIgnored,
    StepProbed,
    StepSkipped,
    StepStarted,
    StepSucceeded,
    StepUnknown,
    UndoFailed,
    UndoStarted,
    UndoSucceeded,
    VotesHeard,
)
from dr.journal.finding import (
    ActionAgreed,
    ActionDone,
    FindingAccepted,
    FindingClosed,
    FindingEntered,
    FindingReopened,
    FindingSeenAgain,
)
from dr.journal.joint import JointAccepted, JointApproved, JointCancelAsked, JointDenied, JointEnded, JointWentOn
from dr.journal.overriding import OverrideAsked, OverrideConfirmed, OverrideEnded
from dr.journal.pausing import PauseBegun, PauseLifted
from dr.journal.people import QuestionAnswered, UndoAsked

HOLDS = {"yes": "it happened", "no": "it did not happen", "cannot-tell": "it cannot be told"}
NOTHING_TO_JUDGE = frozenset({"no-promotion", "no-rule", "lease-held"})


@dataclass(frozen=True, slots=True)
class PersonsAct:
    """Something that a person decided in this run."""

    at: float
    by: str
    what: str
    comment: str


@dataclass(frozen=True, slots=True)
class Moment:
    """One event in words; ``step`` is empty when the whole run is meant."""

    at: float
    step: str
    text: str


def sentence(event: Event) -> str:
    """Return the event in one sentence; empty for what is of no interest (a step's guard that had nothing to judge)."""
    found = _of_run(event) or _of_step(event) or _of_override(event) or _of_joint(event)
    return found or _of_finding(event) or _of_calendar(event)


def _of_run(event: Event) -> str:  # noqa: C901, PLR0911, PLR0912 - a table: one case for each word
    match event:
        case RunAccepted(requester=requester, reason=reason, origin=origin, origin_ref=ref, automatic=automatic):
            by = {"alarm": f"alarm {ref}", "schedule": f"the schedule ({ref})"}.get(origin, requester)
            by += ", to begin by itself if nothing speaks against it" if automatic else ""
            return f"asked for by {by}" + (f": {reason}" if reason else "")
        case VotesHeard(site=site, votes=votes):
            said = ", ".join(f"{point} {vote['word']}" for point, vote in votes.items())
            return f"asked who else sees {site} down: {said}"
        case GuardRuled(guard=guard, ruling=ruling, reason=reason, sentence=said):
            return "" if reason in NOTHING_TO_JUDGE else f"guard '{guard}': {ruling}; {said}"
        case ApprovalAsked(plan_hash=plan_hash):
            return f"waits for a second person to approve plan {plan_hash[:12]}"
        case Approved(by=by, comment=comment):
            return f"approved by {by}" + (f": {comment}" if comment else "")
        case Denied(by=by, reason=reason):
            return f"refused by {by}: {reason}"
        case LossAccepted(by=by, up_to_s=up_to_s, stated=stated, reason=reason):
            return f"{by} accepts that up to {up_to_s:g} s are lost ({stated}): {reason}"
        case RunStarted(token=token):
            return f"begun, with fencing token {token}"
        case Paused(by=by, reason=reason):
            return f"paused by {by}: {reason}"
        case Resumed(by=by, reason=reason):
            return f"resumed by {by}: {reason}"
        case UndoAsked(by=by, reason=reason):
            return f"what was done is to be taken back, said {by}: {reason}"
        case CancelAsked(by=by, reason=reason):
            return f"canceled by {by}: {reason}"
        case Interrupted():
            return "Karaula itself was down; what was under way is asked of the world again"
        case Recovered():
            return "Karaula is back and goes on"
        case RunEnded(state=state, reason=reason):
            return f"ended: {state}" + (f"; {reason}" if reason else "")
        case _:
            return ""


def _of_step(event: Event) -> str:  # noqa: C901, PLR0911, PLR0912 - likewise
    match event:
        case StepStarted(step=step, attempt=attempt):
            return f"{step}: begun" + (f", attempt {attempt}" if attempt > 1 else "")
        case StepSucceeded(step=step, evidence=evidence):
            return f"{step}: done" + (f"; seen: {evidence}" if evidence else "")
        case StepFailed(step=step, reason=reason, timed_out=timed_out):
            return f"{step}: {'timed out' if timed_out else 'failed'}: {reason}"
        case StepUnknown(step=step, reason=reason):
            return f"{step}: whether it happened is not known: {reason}"
        case StepProbed(step=step, holds=holds, evidence=evidence):
            return f"{step}: looked whether it happened: {HOLDS.get(holds, holds)}; {evidence}"
        case StepSkipped(step=step, reason=reason):
            return f"{step}: left out: {reason}"
        case StepIgnored(step=step, by=by, reason=reason):
            return f"{step}: passed over by {by}: {reason}"
        case RetryAsked(step=step, by=by, reason=reason):
            return f"{step}: to be tried again, says {by}: {reason}"
        case QuestionAnswered(step=step, by=by, answer=answer, comment=comment):
            return f"{step}: '{answer}', answers {by}" + (f": {comment}" if comment else "")
        case UndoStarted(step=step):
            return f"{step}: being taken back"
        case UndoSucceeded(step=step):
            return f"{step}: taken back"
        case UndoFailed(step=step, reason=reason):
            return f"{step}: could not be taken back: {reason}"
        case _:
            return ""


def _of_override(event: Event) -> str:
    match event:
        case OverrideAsked(by=by, rule=rule, system=system, reason=reason):
            return f"{by} overrides '{rule}' for {system}: {reason}"
        case OverrideConfirmed(by=by, comment=comment):
            return f"the override is confirmed by {by}" + (f": {comment}" if comment else "")
        case OverrideEnded(by=by, reason=reason):
            return f"the override is ended by {by}" + (f": {reason}" if reason else "")
        case _:
            return ""


def _of_joint(event: Event) -> str:  # noqa: PLR0911 - likewise
    match event:
        case JointAccepted(requester=requester, reason=reason):
            return f"asked for by {requester}, several systems" + (f": {reason}" if reason else "")
        case JointApproved(by=by, comment=comment):
            return f"all approved by {by}" + (f": {comment}" if comment else "")
        case JointDenied(by=by, reason=reason):
            return f"all refused by {by}: {reason}"
        case JointWentOn(system=system, by=by, reason=reason):
            return f"those that wait for {system} go on, says {by}: {reason}"
        case JointCancelAsked(by=by, reason=reason):
            return f"all canceled by {by}: {reason}"
        case JointEnded(state=state, reason=reason):
            return f"all ended: {state}" + (f"; {reason}" if reason else "")
        case _:
            return ""


def _of_finding(event: Event) -> str:  # noqa: PLR0911 - likewise
    match event:
        case FindingEntered(by=by, severity=severity, system=system, what=what):
            return f"{severity} finding about {system}, entered by {by}: {what}"
        case FindingSeenAgain(run=run):
            return f"found again by {run}"
        case ActionAgreed(by=by, owner=owner, what=what):
            return f"agreed by {by}: {owner} is to do it: {what}"
        case ActionDone(by=by, evidence=evidence):
            return f"done by {by}: {evidence}"
        case FindingClosed(by=by, comment=comment):
            return f"closed by {by}" + (f": {comment}" if comment else "")
        case FindingAccepted(by=by, reason=reason):
            return f"taken as it is by {by}: {reason}"
        case FindingReopened(by=by, reason=reason):
            return f"opened again by {by}: {reason}"
        case _:
            return ""


def _of_calendar(event: Event) -> str:
    match event:
        case JobSeen():
            return "on the calendar from now on"
        case SlotClaimed(due=due, state=state, reason=reason):
            return f"due at {due:.0f}: {state}" + (f"; {reason}" if reason else "")
        case SlotSettled(due=due, state=state, run_id=run_id, reason=reason):
            return f"due at {due:.0f}: {state}" + "".join(f"; {each}" for each in (run_id, reason) if each)
        case PauseBegun(owner=owner, system=system, reason=reason):
            return f"{owner} lets nothing start by itself for {system}: {reason}"
        case PauseLifted(by=by):
            return f"the pause was lifted by {by}"
        case _:
            return ""
