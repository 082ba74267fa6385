"""What people may do to a run, as pure functions: the run and the time in, the events to write out.

Each raises RunRefused with a sentence that says what can be done instead. Two commands at once are no race: the
runner takes one after the other, and the second is judged by what the first has left.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil

from dr.engine.transition import DAEMON, uses
from dr.errors import RunRefused
from dr.journal.event import (
    Approved,
    CancelAsked,
    Denied,
    Event,
    GuardRuled,
    LossAccepted,
    Paused,
    Resumed,
    RetryAsked,
    StepIgnored,
)
from dr.journal.names import same_person
from dr.journal.override import Override
from dr.journal.people import QuestionAnswered, UndoAsked
from dr.journal.run import Run, RunState, StepRecord, StepState
from dr.loss import Loss, measured
from dr.playbook.model import MAY_LOSE, ancestors, arrivals, brings_up_again

RETRY, IGNORE = "retry", "ignore"


def approve(run: Run, by: str, comment: str, plan_hash: str, now: float) -> Sequence[Event]:
    """Approve a waiting run; ``plan_hash`` (or its first 8 digits or more) is what the person saw, empty: any."""
    _waiting(run)
    person(by)
    if run.approved_by:
        raise RunRefused(
            "approval",
            f"{run.approved_by} has approved {run.id} already; it waits for a person to accept the loss: "
            f"karaula run accept-loss {run.id} --reason …",
        )
    if run.approval_expires_at is not None and now >= run.approval_expires_at:
        raise RunRefused(
            "approval", f"the time to approve {run.id} is over; look how things stand, then ask for it anew"
        )
    if same_person(by, run.requester):
        raise RunRefused("approval", f"{by} asked for this run; somebody else must approve it")
    if plan_hash and (len(plan_hash) < 8 or not run.plan_hash.startswith(plan_hash)):  # noqa: PLR2004 - a prefix
        raise RunRefused("approval", f"what was approved is not the plan of {run.id}; look at it again")
    note = GuardRuled(now, "approval", "allow", "approved", f"approved by {by}", "")
    return (note, Approved(now, by, comment, run.plan_hash))


def accept_loss(run: Run, by: str, reason: str, loss: Loss | None, up_to_s: float, now: float) -> Sequence[Event]:
    """Accept that up to ``up_to_s`` seconds are lost (0: as much as is stated), and go on where only that stops.

    ``loss`` is what is known of it now; the run's own measurement, where there is one, counts before it.
    """
    if run.state not in {RunState.WAITING, RunState.PAUSED} or run.plan.kind not in MAY_LOSE:
        raise RunRefused("state", f"run {run.id} is a {run.plan.kind} and {run.state}; there is no loss to accept")
    person(by)
    if not reason.strip():
        raise RunRefused("reason", "accepting a loss needs a reason")
    stated = measured(run) or loss
    if up_to_s <= 0 and (stated is None or stated.seconds is None):
        raise RunRefused("rpo", "what would be lost is not known; say how much you accept: --up-to 30m")
    said, seconds = ("not known", None) if stated is None else (stated.words(), stated.seconds)
    accepted = LossAccepted(now, by, reason, up_to_s if up_to_s > 0 else float(ceil(seconds or 0.0)), said)
    stopped = run.paused_by not in {"", DAEMON} or any(each.state.failed or each.stands for each in run.steps.values())
    return (accepted,) if run.state is RunState.WAITING or stopped else (accepted, Resumed(now, by, reason))


def deny(run: Run, by: str, reason: str, now: float) -> Sequence[Event]:
    """Refuse a waiting run; it ends."""
    _waiting(run)
    person(by)
    return (Denied(now, by, reason or "no reason given"),)


def pause(run: Run, by: str, reason: str, now: float) -> Sequence[Event]:
    """Let no new step begin; what is under way is let end."""
    person(by)
    if run.state is not RunState.IN_PROGRESS:
        raise RunRefused("state", f"run {run.id} is {run.state}; only one under way can be paused")
    return (Paused(now, by, reason or "no reason given"),)


def answer(run: Run, step: str, by: str, said: str, comment: str, now: float) -> Sequence[Event]:
    """Answer the question that a step asks; ``step`` may be empty when there is only one."""
    person(by)
    asking = [record for record in run.steps.values() if record.plan.asks and record.state is StepState.IN_PROGRESS]
    if not asking:
        raise RunRefused("state", f"run {run.id} is {run.state} and asks nothing now")
    found = [record for record in asking if record.plan.id == step or (not step and len(asking) == 1)]
    if not found:
        known = ", ".join(record.plan.id for record in asking)
        raise RunRefused("step", f"say which question is meant; run {run.id} asks: {known}")
    record = found[0]
    choices = [str(choice) for choice in record.plan.args.get("choices", ())]
    if said not in choices:
        raise RunRefused("answer", f"'{said}' is no answer to '{record.plan.id}'; answer one of: {', '.join(choices)}")
    return (QuestionAnswered(now, record.plan.id, record.attempt, by, said, comment),)


def undo(run: Run, by: str, reason: str, now: float) -> Sequence[Event]:
    """End the run and take back what was done and can be; never beneath a promotion."""
    person(by)
    if run.state not in {RunState.IN_PROGRESS, RunState.PAUSED}:
        raise RunRefused("state", f"run {run.id} is {run.state}; there is nothing to take back")
    if run.undo_refused:
        why = f"run {run.id} is {run.state} and cannot be undone: {run.undo_refused}; cancelled, it ends as it stands"
        raise RunRefused("undo", why)
    return (UndoAsked(now, by, reason or "no reason given"),)


def resume(run: Run, by: str, reason: str, now: float) -> Sequence[Event]:
    """Let a paused run go on from where it failed: failed steps and undos are tried again, unknown ones probed again.

    What somebody has passed over or left stays so.
    """
    _paused(run)
    person(by)
    failed = [
        key
        for key, record in run.steps.items()
        if record.state is not StepState.UNKNOWN and not record.left_by and RETRY in choices_at(run, record)
    ]
    retries = [RetryAsked(now, step, by, reason or "resumed") for step in failed]
    return (*retries, Resumed(now, by, reason))


def retry(run: Run, step: str, by: str, reason: str, now: float) -> Sequence[Event]:
    """Run one failed or unknown step again, or undo again one that could not be undone, and go on."""
    _paused(run)
    person(by)
    _troubled(run, step, RETRY)
    return (RetryAsked(now, step, by, reason or "retry"), Resumed(now, by, reason))


def ignore(
    run: Run, step: str, by: str, reason: str, now: float, unfenced: Override | None = None, aside: str = ""
) -> Sequence[Event]:
    """Pass over one failed or unknown step, or one that could not be undone, and go on; needs a reason.

    A fence cannot be passed over unless two people have overridden it (``unfenced``; ``aside`` says why one that stands
    does not count), nor a step whose outputs a later one is going to use. What is known not to have happened cannot be
    passed over where the run is built upon it: a promotion, the proof that clients reach the promoted side, in a
    planned hand-over the wait until everything has arrived, and what holds a side down that a later step brings up
    (else two sites could be active at once).
    """
    _paused(run)
    person(by)
    record = _troubled(run, step, IGNORE)
    if not reason.strip():
        raise RunRefused("reason", f"passing over step '{step}' needs a reason")
    if record.state is StepState.UNDO_FAILED:
        return (StepIgnored(now, step, by, reason), Resumed(now, by, reason))
    if record.plan.fences and unfenced is None:
        raise RunRefused(
            "fencing",
            f"step '{step}' is the fence; it cannot be passed over: retry it, or cancel the run. Where it cannot be "
            f"proven and somebody has seen with their own eyes that {run.system} at {record.plan.site} cannot write, "
            f"two people may override it: karaula override fencing {run.system} --for 30m --reason ….{aside}",
        )
    if record.state.failed:
        _not_built_upon(run, record)
    users = [
        other.plan.id for other in run.steps.values() if other.state is StepState.QUEUED and uses(other.plan, step)
    ]
    if users:
        raise RunRefused(
            "step",
            f"step '{step}' cannot be passed over: '{users[0]}' works with what it yields; retry it, or cancel the run",
        )
    return (StepIgnored(now, step, by, reason), Resumed(now, by, reason))


def _not_built_upon(run: Run, record: StepRecord) -> None:
    """Refuse to pass over a failed step that later ones take for granted. Raises RunRefused."""
    step = record.plan.id
    if record.plan.cleans_up:
        raise RunRefused(
            "clean-up",
            f"step '{step}' removes what the run has set up, and did not: retry it, or cancel the run, which then says "
            "that it is still there",
        )
    if record.plan.promotes:
        raise RunRefused(
            "promotion",
            f"step '{step}' did not promote {record.plan.site}; what follows would lead clients to a side "
            "that is not active: retry it, or cancel the run",
        )
    plans = {key: other.plan for key, other in run.steps.items()}
    if record.plan.proves_service and any(plans[need].promotes for need in ancestors(plans, step)):
        raise RunRefused(
            "proof",
            f"step '{step}' is the proof that clients reach {record.plan.site}; without it no run is called a "
            "success: retry it, or cancel the run, which then ends as it stands",
        )
    ahead = [plan for key, plan in plans.items() if plan.promotes and run.steps[key].state is StepState.QUEUED]
    if run.plan.kind not in MAY_LOSE and any(step in arrivals(plans, promotion) for promotion in ahead):
        raise RunRefused(
            "arrival",
            f"step '{step}' sees that {record.plan.site} has everything; passed over, the {run.plan.kind} would lose "
            "the rest, and nobody would have accepted that: retry it, or cancel the run and ask for a failover",
        )
    for other in brings_up_again(plans, step):
        if run.steps[other].state is StepState.QUEUED:
            raise RunRefused(
                "held-down",
                f"step '{step}' holds {run.system} at {record.plan.site} down and did not; step '{other}' "
                "would bring it up beside the active side: retry it, or cancel the run",
            )


def cancel(run: Run, by: str, reason: str, now: float) -> Sequence[Event]:
    """End a run: what is under way is let end, then its final steps run. What could not be undone is left as it is."""
    person(by)
    if run.state not in {RunState.ACCEPTED, RunState.WAITING, RunState.IN_PROGRESS, RunState.PAUSED}:
        raise RunRefused("state", f"run {run.id} is {run.state}; there is nothing to cancel")
    return (CancelAsked(now, by, reason or "no reason given"),)


def withdraw(run: Run, by: str, reason: str, now: float) -> Sequence[Event]:
    """End a run that still waits for its approval. One that was approved meanwhile is left alone."""
    _waiting(run)
    return (CancelAsked(now, by, reason),)


def unknown_decision(word: str, known: Iterable[str]) -> RunRefused:
    """Return the refusal of a decision that does not exist."""
    return RunRefused("decision", f"'{word}' is not a decision; known: {', '.join(known)}")


def person(by: str) -> None:
    """See that a decision has a name. Raises RunRefused."""
    if not by.strip():
        raise RunRefused("person", "a decision needs the name of the person who takes it")


def _waiting(run: Run) -> None:
    if run.state is not RunState.WAITING:
        raise RunRefused("state", f"run {run.id} is {run.state}; it does not wait for an approval")


def _paused(run: Run) -> None:
    if run.state is not RunState.PAUSED:
        raise RunRefused("state", f"run {run.id} is {run.state}, not PAUSED")


def choices_at(run: Run, record: StepRecord) -> tuple[str, ...]:
    """Return what a person can decide about this one step of a paused run: ``retry``, ``ignore``, both or neither."""
    if run.state is not RunState.PAUSED:
        return ()
    if record.state is StepState.UNDO_FAILED:
        return () if record.ignored_by or run.finishing else (RETRY, IGNORE)
    if not (record.state.failed or record.state is StepState.UNKNOWN):
        return ()
    if record.plan.final or not (run.undo_begun or run.undo_asked):
        return (RETRY, IGNORE)
    return (IGNORE,) if record.state is StepState.UNKNOWN and not run.finishing else ()


def _troubled(run: Run, step: str, word: str) -> StepRecord:
    record = run.steps.get(step)
    if record is None:
        raise RunRefused("step", f"run {run.id} has no step '{step}'; its steps: {', '.join(run.steps)}")
    if not (record.state.failed or record.state is StepState.UNKNOWN):
        said = f"step '{step}' is {record.state}"
        if record.state is not StepState.UNDO_FAILED:
            raise RunRefused("step", f"{said}; only a failed or unknown one can be retried or ignored")
        if record.ignored_by or run.finishing:
            why = f"{record.ignored_by} has passed over it" if record.ignored_by else "the final steps have begun"
            raise RunRefused("step", f"{said} and stays so: {why}; what has to be done there is done by hand")
        return record
    if word not in choices_at(run, record):
        raise RunRefused(
            "undo",
            f"step '{step}' is {record.state}, and what was done is being taken back: it is not run again, nor gone on "
            f"from; resume the run, or cancel it, which leaves the rest as it is",
        )
    if record.state is StepState.UNKNOWN and not record.cannot_tell:
        raise RunRefused("step", f"the world is just being asked what became of step '{step}'; try again in a moment")
    return record
