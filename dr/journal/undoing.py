"""The handlers of ``fold`` for what is taken back, and for the stop and the end that come of it. Pure.

That a step could not be undone stays said, whatever people decide then: they retry it, pass over it (what it was built
upon may then be undone), or end the run, which leaves it and all of that as it is.
"""

from __future__ import annotations

from types import MappingProxyType

from dr.errors import IllegalEvent
from dr.journal.event import (
    CancelAsked,
    Paused,
    RetryAsked,
    StepIgnored,
    UndoFailed,
    UndoStarted,
    UndoSucceeded,
)
from dr.journal.fold_parts import after, changed, require, step_of, with_step
from dr.journal.people import UndoAsked
from dr.journal.run import MOVING, Run, RunState, StepRecord, StepState


def undo_asked(run: Run, event: UndoAsked) -> Run:
    """Wind down, and take back what can be."""
    require(run, event, {RunState.IN_PROGRESS, RunState.PAUSED})
    if run.undo_barred:
        raise IllegalEvent(f"run {run.id} cannot be undone: {run.undo_barred}")
    return after(run, state=RunState.CANCELING, cancel_by=event.by, cancel_reason=event.reason, undo_asked=True)


def undo_started(run: Run, event: UndoStarted) -> Run:
    """Note the intent. What it is built upon is not looked at: earlier versions undid beneath a failed undo."""
    require(run, event, MOVING)
    record = step_of(run, event, {StepState.SUCCEEDED})
    if not record.plan.undoable or record.undoing or event.token < run.token:
        raise IllegalEvent(f"run {run.id}: step '{event.step}' cannot be undone (again, or under an old token)")
    return with_step(changed(run, token=event.token, undo_begun=True), record, undoing=True)


def undo_succeeded(run: Run, event: UndoSucceeded) -> Run:
    """Note that the effect is gone."""
    record = _undoing(run, event)
    return with_step(run, record, state=StepState.UNDONE, undoing=False, ended_at=event.at)


def undo_failed(run: Run, event: UndoFailed) -> Run:
    """Note that the effect may still be there."""
    record = _undoing(run, event)
    return with_step(run, record, state=StepState.UNDO_FAILED, undoing=False, reason=event.reason)


def undo_retried(run: Run, event: RetryAsked) -> Run:
    """Let a step that could not be undone be undone again, before the final steps have begun."""
    return with_step(run, _not_undone(run, event), state=StepState.SUCCEEDED, reason="", left_by="")


def undo_passed_over(run: Run, event: StepIgnored) -> Run:
    """Let a step that could not be undone no longer hold what it was built upon."""
    record = _not_undone(run, event)
    reason = record.passed_over(event.by, event.reason)
    return with_step(run, record, ignored_by=event.by, left_by="", reason=reason)


def paused(run: Run, event: Paused) -> Run:
    """Stop. A run that winds down stops only for what could not be taken back."""
    held = run.state is RunState.CANCELING and any(record.stands for record in run.steps.values())
    require(run, event, {RunState.CANCELING} if held else {RunState.IN_PROGRESS})
    return after(run, state=RunState.PAUSED, pause_reason=event.reason, paused_by=event.by)


def canceled(run: Run, event: CancelAsked) -> Run:
    """Wind down. Of a run that has stopped, what could not be taken back is left as it is, and what is beneath it."""
    require(run, event, {RunState.ACCEPTED, RunState.WAITING, RunState.IN_PROGRESS, RunState.PAUSED})
    steps = run.steps
    if run.state is RunState.PAUSED and any(record.stands for record in steps.values()):
        left = {key: changed(one, left_by=event.by) if one.stands else one for key, one in steps.items()}
        steps = MappingProxyType(left)
    return after(run, state=RunState.CANCELING, cancel_by=event.by, cancel_reason=event.reason, steps=steps)


def _undoing(run: Run, event: UndoSucceeded | UndoFailed) -> StepRecord:
    record = step_of(run, event, {StepState.SUCCEEDED})
    if not record.undoing:
        raise IllegalEvent(f"run {run.id}: step '{event.step}' is not being undone")
    return record


def _not_undone(run: Run, event: RetryAsked | StepIgnored) -> StepRecord:
    record = step_of(run, event, {StepState.UNDO_FAILED})
    if record.ignored_by or run.finishing:
        raise IllegalEvent(f"run {run.id}: step '{event.step}' is left as it is; {type(event).__name__} cannot follow")
    return record
