"""What the calendar asks of the recovery half."""

from __future__ import annotations

from dr.engine.orchestrator import Orchestrator, Request
from dr.schedule import DueRun


async def start_due(orchestrator: Orchestrator, due: DueRun) -> str:
    """Ask for the run that is due; return its id. Raises what ``submit`` raises."""
    request = Request(
        playbook=due.schedule.playbook,
        system=due.schedule.system,
        requester="karaula",
        reason=f"scheduled: {due.job}",
        origin="schedule",
        origin_ref=due.ref,
    )
    return (await orchestrator.submit(request)).id


def started_by(orchestrator: Orchestrator, ref: str) -> str | None:
    """Return the run that the slot ``ref`` has started."""
    return next((run.id for run in orchestrator.runs() if run.origin_ref == ref), None)
