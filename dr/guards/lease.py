"""The lease: who does not hold it starts nothing, nor who was overtaken. Its epoch is below every step's fencing token.

Overtaken is a run whose system's databases have seen a token that was not handed out here: somebody else has acted on
them since it began, and what it planned for is no more.
"""

from __future__ import annotations

from dr.guard import Facts, Ruling, Verdict
from dr.journal.run import Run

NAME = "lease"


def lease(run: Run, facts: Facts, step: str | None, now: float) -> Verdict:
    """Refuse while this daemon does not hold the lease, and a step of a run that was overtaken."""
    del now
    tenancy = facts.tenancy
    if not tenancy.held:
        sentence = (
            f"this daemon does not hold the lease: {tenancy.why}. What was under way goes on once it is held again"
        )
        return Verdict(NAME, Ruling.REFUSE, "lease-not-held", sentence, again=True)
    if step is not None and facts.overtaken:
        sentence = (
            f"the databases of {run.system} have seen fencing token {facts.overtaken}, which this daemon handed to "
            "nobody: somebody else has acted on them. Look how things stand, then cancel the run and ask for it again"
        )
        return Verdict(NAME, Ruling.REFUSE, "overtaken", sentence)
    return Verdict(NAME, Ruling.ALLOW, "lease-held", f"this daemon holds the lease, epoch {tenancy.epoch}")
