"""Where each system is, by what the journal says. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dr.journal.run import Run, RunState, StepState

SUCCEEDED = frozenset({RunState.SUCCEEDED, RunState.SUCCEEDED_WITH_WARNINGS})


def placement(runs: Iterable[Run], protected: Mapping[str, str]) -> dict[str, str]:
    """Return where each system belongs: the site that its last hand-over that succeeded has promoted.

    ``protected`` maps each system to its protected site, where it belongs until then.
    """
    placed = dict(protected)
    moved = [run for run in runs if run.plan.attended and run.state in SUCCEEDED and run.system in placed]
    for run in sorted(moved, key=lambda run: run.ended_at or 0.0):
        if _promotes(run):
            placed[run.system] = run.plan.to_site
    return placed


def _promotes(run: Run) -> bool:
    """Tell whether the run was to make its goal primary; a reprotect, for example, leaves the primary where it is."""
    return any(step.promotes and step.site == run.plan.to_site for step in run.plan.steps)


def promoted(runs: Iterable[Run], system: str, protected_site: str) -> str:
    """Return the site of the system's newest promotion that holds, whatever became of its run.

    One that a person has passed over holds when the run succeeded all the same: traffic was then seen there.
    """
    site, newest = protected_site, 0.0
    for run in runs:
        for record in run.steps.values() if run.system == system else ():
            holds = record.state is StepState.SUCCEEDED or (
                record.state is StepState.FAILED_IGNORED and run.state in SUCCEEDED
            )
            if record.plan.promotes and holds and (record.ended_at or 0.0) > newest:
                site, newest = record.plan.site, record.ended_at or 0.0
    return site
