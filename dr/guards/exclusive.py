"""One unfinished run a system: another is refused, never queued, because what it found may no longer be true later."""

from __future__ import annotations

from dr.guard import Facts, Ruling, Verdict
from dr.journal.run import Run, RunState

NAME = "exclusive"


def exclusive(run: Run, facts: Facts, step: str | None, now: float) -> Verdict:
    """Refuse while another run of the system is unfinished, also one that only waits for its approval."""
    del step, now
    for run_id, promise in facts.promised.items():
        if promise.system == run.system and run_id != run.id:
            sentence = (
                f"{run.system} is part of joint run {promise.joint}, and its turn is still to come. Look at it with "
                f"'karaula run show {promise.joint}'; let it go on, or end it with "
                f"'karaula run cancel {promise.joint}', then ask again."
            )
            return Verdict(NAME, Ruling.REFUSE, "joint-run-ahead", sentence)
    for other in facts.runs:
        if other.id != run.id and other.system == run.system and not other.state.final and _rank(other) < _rank(run):
            sentence = (
                f"{run.system} already has an unfinished run: {other.plan.kind} {other.id} is {_plainly(other)}. "
                f"Look at it with 'karaula run show {other.id}'; let it end, or end it with "
                f"'karaula run cancel {other.id}', then ask again."
            )
            return Verdict(NAME, Ruling.REFUSE, "other-run-active", sentence)
    return Verdict(NAME, Ruling.ALLOW, "no-other-run", f"no other run of {run.system} is unfinished")


def _rank(run: Run) -> tuple[bool, float, str]:
    """Order runs so that of any two exactly one gives way: who has been let in, then who came first.

    The clock alone would not do: set back, it could let a newcomer stand before a run under way.
    """
    newcomer = run.state is RunState.ACCEPTED and not run.approved_by
    return (newcomer, run.accepted_at, run.id)


def _plainly(run: Run) -> str:
    words = {
        RunState.ACCEPTED: "about to begin",
        RunState.WAITING: "waiting for its approval",
        RunState.IN_PROGRESS: "under way",
        RunState.PAUSED: f"paused ({run.pause_reason})",
        RunState.CANCELING: "being canceled",
        RunState.INTERRUPTED: "being recovered after a restart",
    }
    return words[run.state]
