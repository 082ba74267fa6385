"""What is taken back of a run, in which order, and what is not: pure questions that ``transition`` asks.

Nothing is taken back by the machine alone beneath what may still stand: a step that could not be undone, or one of
which nobody can tell whether it happened, holds everything that it was built upon (``needs``, directly or not).
Branches that it was not built upon are undone all the same. A person is asked where somebody attends the run, or has
asked for the undo: retry it, pass over it, or leave it. Any other run (a backup, a drill at night) leaves it, cleans
up and says so: waiting, it would keep its system from a failover that is needed meanwhile.

Steps that succeeded and can never be undone by a machine hold nothing: that is known from the plan, before it begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dr.journal.run import Run, StepRecord, StepState
from dr.playbook.model import ancestors


def wanted(run: Run) -> bool:
    """Tell whether the playbook or a person wants what was done taken back; never once a promotion may stand.

    Whether an attended run has failed at all, where that cannot be told, is a person's question, and so is its undo.
    """
    if any(record.plan.promotes and record.attempt for record in run.steps.values()):
        return False
    return run.undo_begun or run.undo_asked or any(_sets_off(run, record) for record in _main(run))


def next_of(run: Run) -> StepRecord | None:
    """Return the step to undo next: the last one of the plan that nothing left to undo, or standing, was built upon."""
    main = _main(run)
    left = {record.plan.id: record for record in main if _to_undo(record)}
    built_upon = _beneath(run, (*left, *(record.plan.id for record in main if record.stands)))
    return next((left[step] for step in reversed(left) if step not in built_upon), None)


def left_in_place(run: Run, above: Sequence[StepRecord] | None = None) -> list[str]:
    """Return what is not undone because something may stand upon it (``above``: one of these), the last one first."""
    if not wanted(run):
        return []
    main = _main(run)
    held = _beneath(run, [record.plan.id for record in main if record.stands and (above is None or record in above)])
    return [record.plan.id for record in reversed(main) if record.plan.id in held and _to_undo(record)]


def asks(run: Run) -> str:
    """Say what a person is asked, once nothing more can be undone without one; empty: nobody is (any more)."""
    if not (run.plan.attended or run.undo_asked):
        return ""
    open_ = [record for record in _main(run) if record.stands and not record.left_by]
    return "; ".join(said for record in open_ if (said := _question(record, ", ".join(left_in_place(run, [record])))))


def _question(record: StepRecord, left: str) -> str:
    if record.stuck:
        what = f"step '{record.plan.id}': it cannot be told whether it happened ({record.reason}; {record.evidence})"
        again = "resume (look again)"
    else:
        what = f"step '{record.plan.id}' could not be undone: {record.reason.rstrip('.')}"
        again = "retry (undo it again)"
    if left:
        return (
            f"{what}; what it was built upon is therefore left in place: {left}. Look, then: {again}, "
            f"ignore (pass over it: {left} will be undone all the same) or cancel (leave it all as it is)"
        )
    return "" if record.stuck else f"{what}. Look, then: {again} or cancel (leave it as it is)"


def _main(run: Run) -> list[StepRecord]:
    return [run.steps[step.id] for step in run.plan.steps if not step.final]


def _sets_off(run: Run, record: StepRecord) -> bool:
    failed = record.state.failed or (record.stuck and not run.plan.attended)
    return failed and record.plan.on_failure == "undo"


def _to_undo(record: StepRecord) -> bool:
    return record.state is StepState.SUCCEEDED and record.plan.undoable


def _beneath(run: Run, steps: Iterable[str]) -> set[str]:
    plans = {record.plan.id: record.plan for record in run.steps.values()}
    return {need for step in steps for need in ancestors(plans, step)}
