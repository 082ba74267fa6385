"""A system is moved only from where it is: a failover to where it already runs would fence its working side."""

from __future__ import annotations

from dr.guard import Facts, Ruling, Verdict
from dr.journal.run import Run

NAME = "placement"
MOVES = frozenset({"failover", "switchover", "failback", "reprotect"})


def placement(run: Run, facts: Facts, step: str | None, now: float) -> Verdict:
    """Refuse to move a system to the site where the journal says it is active."""
    del step, now
    if run.plan.kind not in MOVES:
        return Verdict(NAME, Ruling.ALLOW, "no-move", f"a {run.plan.kind} moves nothing")
    active = facts.placement.get(run.system)
    if active is None:
        return Verdict(NAME, Ruling.ALLOW, "not-known", f"no earlier run says where {run.system} is active")
    if active == run.plan.to_site:
        other = "failback" if run.plan.kind in {"failover", "switchover"} else "failover"
        sentence = (
            f"{run.system} is already active at {active}; this {run.plan.kind} would only disturb it. "
            f"To move it to {run.plan.from_site} use 'karaula {other} {run.system}'."
        )
        return Verdict(NAME, Ruling.REFUSE, "already-there", sentence)
    return Verdict(NAME, Ruling.ALLOW, "elsewhere", f"{run.system} is active at {active}")
