"""Isolation: what a monitor that is cut off itself takes for an outage moves nothing."""

from __future__ import annotations

from dr.guard import Facts, Ruling, Verdict
from dr.journal.run import Run

NAME = "isolated"


def isolated(run: Run, facts: Facts, step: str | None, now: float) -> Verdict:
    """Refuse what an alarm asks for while the monitor is isolated; a person who knows better may go on."""
    del step, now
    if not facts.isolated:
        return Verdict(NAME, Ruling.ALLOW, "not-isolated", "the monitor sees the estate")
    said = f"the monitor itself is cut off from the estate: {facts.isolated}"
    if run.origin == "alarm":
        sentence = f"{said}. What it cannot see it takes for nothing; a person who sees more may start the run."
        return Verdict(NAME, Ruling.REFUSE, "isolated", sentence)
    return Verdict(NAME, Ruling.ALLOW, "despite-isolation", f"{said}; {run.requester} asked for the run all the same")
