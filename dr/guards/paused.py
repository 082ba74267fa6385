"""A pause: what the clock or an alarm asks for is refused; a person may still start a run."""

from __future__ import annotations

from dr.guard import Facts, Ruling, Verdict
from dr.journal.pause import EVERYTHING
from dr.journal.run import Run

NAME = "paused"
BY_ITSELF = frozenset({"schedule", "alarm"})
MINUTE_S = 60
HOUR_S = 3600


def paused(run: Run, facts: Facts, step: str | None, now: float) -> Verdict:
    """Refuse runs that no person asked for while a pause covers the system."""
    del step
    pauses = [pause for pause in facts.pauses if pause.system in {run.system, EVERYTHING} and now < pause.expires_at]
    if not pauses:
        return Verdict(NAME, Ruling.ALLOW, "not-paused", f"no pause covers {run.system}")
    longest = max(pauses, key=lambda pause: pause.expires_at)
    what = "everything" if longest.system == EVERYTHING else run.system
    said = f"{longest.owner} has paused {what} for another {_span(longest.expires_at - now)}: {longest.reason}"
    if run.origin in BY_ITSELF:
        sentence = f"{said}. If it is needed now, start it yourself: a person may, and the pause stays in force."
        return Verdict(NAME, Ruling.REFUSE, "paused", sentence)
    return Verdict(
        NAME, Ruling.ALLOW, "person-despite-pause", f"{said}; {run.requester} asked for the run all the same"
    )


def _span(seconds: float) -> str:
    if seconds < MINUTE_S:
        return "minute"
    if seconds < 2 * HOUR_S:
        return f"{seconds / MINUTE_S:.0f} min"
    return f"{seconds / HOUR_S:.1f} h"
