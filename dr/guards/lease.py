"""The lease: who does not hold it starts nothing. Its epoch is below every fencing token that goes with a step."""

from __future__ import annotations

from dr.guard import Facts, Ruling, Verdict
from dr.journal.run import Run

NAME = "lease"


def lease(run: Run, facts: Facts, step: str | None, now: float) -> Verdict:
    """Refuse while this daemon does not hold the lease."""
    del run, step, now
    tenancy = facts.tenancy
    if tenancy.held:
        return Verdict(NAME, Ruling.ALLOW, "lease-held", f"this daemon holds the lease, epoch {tenancy.epoch}")
    sentence = f"this daemon does not hold the lease: {tenancy.why}. What was under way goes on once it is held again"
    return Verdict(NAME, Ruling.REFUSE, "lease-not-held", sentence, again=True)
