"""``fold(run, event)``: what a run is after one more event. Total: whatever may not follow raises IllegalEvent.

This is the one place that says what may follow what. It decides nothing (``engine.transition`` does) and reads
no clock. A journal that folds is a journal that this engine could have written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from dr.errors import IllegalEvent
from dr.journal.admission import (
    approval_asked,
    approved,
    denied,
    guards_ruled,
    loss_accepted,
    run_started,
    votes_heard,
)
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
from dr.journal.fold_parts import after, changed, require, step_of, steps_with, with_step
from dr.journal.people import QuestionAnswered, UndoAsked
from dr.journal.run import ACTIVE, MOVING, Run, RunState, StepRecord, StepState
from dr.journal.undoing import (
    canceled,
    paused,
    undo_asked,
    undo_failed,
    undo_passed_over,
    undo_retried,
    undo_started,
    undo_succeeded,
)
from dr.playbook.model import plan_from_json

E = TypeVar("E")


def begin(run_id: str, event: Event) -> Run:
    """Return the run that ``RunAccepted`` opens. Raises IllegalEvent for any other event or a damaged plan."""
    if not isinstance(event, RunAccepted):
        raise IllegalEvent(f"run {run_id} begins with {type(event).__name__}, not with RunAccepted")
    try:
        plan = plan_from_json(event.plan)
        plan_hash = plan.hash()
        steps = {step.id: StepRecord(plan=step, retries_left=step.retries) for step in plan.steps}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise IllegalEvent(f"run {run_id} has a damaged plan: {error}") from error
    return Run(
        id=run_id,
        plan=plan,
        plan_hash=plan_hash,
        state=RunState.ACCEPTED,
        steps=MappingProxyType(steps),
        accepted_at=event.at,
        requester=event.requester,
        reason=event.reason,
        origin=event.origin,
        origin_ref=event.origin_ref,
        service_lost_at=event.service_lost_at,
        alarm_at=event.alarm_at,
        automatic=event.automatic,
    )


def fold(run: Run, event: Event) -> Run:
    """Return ``run`` after ``event``. Raises IllegalEvent where it may not follow."""
    if run.state.final:
        raise IllegalEvent(f"run {run.id} is {run.state}; {type(event).__name__} cannot follow")
    handler = _HANDLERS.get(type(event))
    if handler is None:
        raise IllegalEvent(f"run {run.id}: {type(event).__name__} cannot follow the first event")
    return handler(run, event)


def fold_all(run_id: str, events: Iterable[Event]) -> Run:
    """Return the run of a whole journal. Raises IllegalEvent."""
    iterator = iter(events)
    first = next(iterator, None)
    if first is None:
        raise IllegalEvent(f"run {run_id} has no events")
    return folded(begin(run_id, first), iterator)


def folded(run: Run, events: Iterable[Event]) -> Run:
    """Return ``run`` after ``events``. Raises IllegalEvent."""
    answers: list[GuardRuled] = []  # most of a journal, several in a row: taken together
    final = run.state.final
    for event in events:
        if isinstance(event, GuardRuled) and not final:
            answers.append(event)
            continue
        if answers:
            run, answers = guards_ruled(run, answers), []
        run = fold(run, event)
        final = run.state.final
    return guards_ruled(run, answers) if answers else run


def _step_started(run: Run, event: StepStarted) -> Run:
    require(run, event, MOVING)
    record = step_of(run, event, {StepState.QUEUED})
    if event.attempt != record.attempt + 1 or event.token < run.token:
        raise IllegalEvent(f"run {run.id}: step '{event.step}' starts with a wrong attempt or token")
    if not record.plan.final and run.state is RunState.CANCELING:
        raise IllegalEvent(f"run {run.id}: step '{event.step}' starts while the run is being canceled")
    if any(not run.steps[need].over for need in record.plan.needs):
        raise IllegalEvent(f"run {run.id}: step '{event.step}' starts before what it needs")
    started = changed(
        record,
        state=StepState.IN_PROGRESS,
        attempt=event.attempt,
        token=event.token,
        started_at=event.at,
        first_started_at=event.at if record.first_started_at is None else record.first_started_at,
        started_seq=run.seq,
        ended_at=None,
        reason="",
        evidence="",
        answer="",
        answered_by="",
        crashed=False,
    )
    return after(run, token=event.token, steps=steps_with(run, started))


def _step_succeeded(run: Run, event: StepSucceeded) -> Run:
    record = step_of(run, event, {StepState.IN_PROGRESS})
    if record.plan.asks and not record.answered_by:
        raise IllegalEvent(f"run {run.id}: step '{event.step}' succeeds without an answer")
    return with_step(
        run,
        record,
        state=StepState.SUCCEEDED,
        ended_at=event.at,
        outputs=MappingProxyType(dict(event.outputs)),
        evidence=event.evidence,
        output_sha256=event.output_sha256,
    )


def _failure(
    run: Run, record: StepRecord, *, at: float, reason: str, retry_helps: bool, timed_out: bool, output_sha256: str
) -> Run:
    """Return the run with a failed step; back to QUEUED while automatic retries are left."""
    canceled = run.state is RunState.CANCELING and not record.plan.final
    again = not canceled and (record.crashed or (retry_helps and record.retries_left > 0))
    state = StepState.QUEUED if again else StepState.TIMED_OUT if timed_out else StepState.FAILED
    return with_step(
        run,
        record,
        state=state,
        ended_at=at,
        reason=reason,
        retry_helps=retry_helps,
        retries_left=record.retries_left - (1 if again and not record.crashed else 0),
        crashed=False,
        output_sha256=output_sha256,
    )


def _step_failed(run: Run, event: StepFailed) -> Run:
    record = step_of(run, event, {StepState.IN_PROGRESS})
    return _failure(
        run,
        record,
        at=event.at,
        reason=event.reason,
        retry_helps=event.retry_helps,
        timed_out=event.timed_out,
        output_sha256=event.output_sha256,
    )


def _step_unknown(run: Run, event: StepUnknown) -> Run:
    record = step_of(run, event, {StepState.IN_PROGRESS})
    return with_step(
        run,
        record,
        state=StepState.UNKNOWN,
        ended_at=event.at,
        reason=event.reason,
        cannot_tell=False,
        output_sha256=event.output_sha256,
    )


def _step_probed(run: Run, event: StepProbed) -> Run:
    record = step_of(run, event, {StepState.UNKNOWN})
    if event.holds == "yes":
        return with_step(
            run,
            record,
            state=StepState.SUCCEEDED,
            ended_at=event.at,
            outputs=MappingProxyType(dict(event.outputs)),
            evidence=event.evidence,
        )
    if event.holds == "no":
        reason = f"{record.reason}; then the probe found that it did not happen: {event.evidence}"
        kept = record.output_sha256
        return _failure(run, record, at=event.at, reason=reason, retry_helps=True, timed_out=False, output_sha256=kept)
    if event.holds == "cannot-tell":
        return with_step(run, record, cannot_tell=True, evidence=event.evidence)
    raise IllegalEvent(f"run {run.id}: a probe answered '{event.holds}'")


def _step_skipped(run: Run, event: StepSkipped) -> Run:
    require(run, event, MOVING)
    record = step_of(run, event, {StepState.QUEUED})
    state = StepState.CANCELED if run.state is RunState.CANCELING else StepState.SKIPPED
    return with_step(run, record, state=state, ended_at=event.at, reason=event.reason)


def _troubled(run: Run, event: StepIgnored | RetryAsked) -> StepRecord:
    """Return the record of a step that failed, or of which the world was asked and could not tell."""
    record = step_of(run, event, {StepState.FAILED, StepState.TIMED_OUT, StepState.UNKNOWN})
    if record.state is StepState.UNKNOWN and not record.cannot_tell:
        raise IllegalEvent(f"run {run.id}: step '{event.step}' is not probed yet; {type(event).__name__} cannot follow")
    return record


def _not_undone(run: Run, event: StepIgnored | RetryAsked) -> bool:
    record = run.steps.get(event.step)
    return record is not None and record.state is StepState.UNDO_FAILED


def _step_ignored(run: Run, event: StepIgnored) -> Run:
    require(run, event, ACTIVE)
    if _not_undone(run, event):
        return undo_passed_over(run, event)
    record = _troubled(run, event)
    return with_step(
        run,
        record,
        state=StepState.FAILED_IGNORED,
        ended_at=event.at,
        ignored_by=event.by,
        reason=record.passed_over(event.by, event.reason),
    )


def _retry_asked(run: Run, event: RetryAsked) -> Run:
    require(run, event, {RunState.PAUSED})
    if _not_undone(run, event):
        return undo_retried(run, event)
    record = _troubled(run, event)
    return with_step(run, record, state=StepState.QUEUED, cannot_tell=False, ended_at=None)


def _resumed(run: Run, event: Resumed) -> Run:
    """Go on, or on to the end where that was asked for; what could not be told before is asked of the world again."""
    require(run, event, {RunState.PAUSED})
    steps = {key: changed(record, cannot_tell=False) for key, record in run.steps.items()}
    state = RunState.CANCELING if run.cancel_by else RunState.IN_PROGRESS
    return after(run, state=state, pause_reason="", paused_by="", steps=MappingProxyType(steps))


def _question_answered(run: Run, event: QuestionAnswered) -> Run:
    record = step_of(run, event, {StepState.IN_PROGRESS})
    if not record.plan.asks or record.answered_by:
        raise IllegalEvent(f"run {run.id}: step '{event.step}' asks nothing (any more)")
    return with_step(run, record, answered_by=event.by, answer=event.answer)


def _interrupted(run: Run, event: Interrupted) -> Run:
    """Whatever was under way is UNKNOWN now: it is probed, never blindly repeated. A question still waits."""
    require(run, event, ACTIVE)
    steps = {
        key: changed(
            record, state=StepState.UNKNOWN, cannot_tell=False, crashed=True, reason="the daemon died while it ran"
        )
        if record.state is StepState.IN_PROGRESS and not record.plan.asks
        else changed(record, undoing=False)
        if record.undoing
        else record
        for key, record in run.steps.items()
    }
    return after(
        run,
        steps=MappingProxyType(steps),
        state=RunState.INTERRUPTED,
        before_interruption=run.state,
        interruptions=run.interruptions + 1,
    )


def _recovered(run: Run, event: Recovered) -> Run:
    require(run, event, {RunState.INTERRUPTED})
    return after(run, state=run.before_interruption or RunState.IN_PROGRESS, before_interruption=None)


def _run_ended(run: Run, event: RunEnded) -> Run:
    if event.state not in {state.value for state in RunState if state.final}:
        raise IllegalEvent(f"run {run.id} cannot end as '{event.state}'")
    if any(record.state is StepState.IN_PROGRESS or record.undoing for record in run.steps.values()):
        raise IllegalEvent(f"run {run.id} ends while a step is under way")
    passed = _SUCCESS.get(event.state)
    if passed is not None and not all(record.state in passed for record in run.steps.values()):
        raise IllegalEvent(f"run {run.id} ends as {event.state} with a step that did not succeed")
    return after(run, state=RunState(event.state), ended_at=event.at, end_reason=event.reason)


_SUCCESS: Mapping[str, frozenset[StepState]] = MappingProxyType(
    {
        RunState.SUCCEEDED.value: frozenset({StepState.SUCCEEDED}),
        RunState.SUCCEEDED_WITH_WARNINGS.value: frozenset({StepState.SUCCEEDED, StepState.FAILED_IGNORED}),
    }
)


_HANDLERS: Mapping[type, Callable[[Run, Any], Run]] = MappingProxyType(
    {
        GuardRuled: lambda run, event: guards_ruled(run, (event,)),
        VotesHeard: votes_heard,
        ApprovalAsked: approval_asked,
        Approved: approved,
        Denied: denied,
        LossAccepted: loss_accepted,
        RunStarted: run_started,
        StepStarted: _step_started,
        StepSucceeded: _step_succeeded,
        StepFailed: _step_failed,
        StepUnknown: _step_unknown,
        StepProbed: _step_probed,
        StepSkipped: _step_skipped,
        StepIgnored: _step_ignored,
        RetryAsked: _retry_asked,
        UndoStarted: undo_started,
        UndoSucceeded: undo_succeeded,
        UndoFailed: undo_failed,
        Paused: paused,
        Resumed: _resumed,
        CancelAsked: canceled,
        UndoAsked: undo_asked,
        QuestionAnswered: _question_answered,
        Interrupted: _interrupted,
        Recovered: _recovered,
        RunEnded: _run_ended,
    }
)
