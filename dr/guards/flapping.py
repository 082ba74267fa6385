"""No failover after a failover by itself: what fails twice in a day has a cause that a person should look at."""

from __future__ import annotations

from dr.guard import Facts, Ruling, Verdict
from dr.journal.run import Run

NAME = "flapping"
QUIET_S = 3600.0
MEMORY_S = 24 * 3600.0
MINUTE_S = 60
MOVES = frozenset({"failover", "switchover"})


def flapping(run: Run, facts: Facts, step: str | None, now: float) -> Verdict:
    """Refuse a run that an alarm asked for within an hour after a failover ended; within a day leave it to a person."""
    del step
    if run.origin != "alarm":
        return Verdict(NAME, Ruling.ALLOW, "not-by-alarm", f"{run.requester} asked for it, not an alarm")
    ended = [
        (other.ended_at, other.id)
        for other in facts.runs
        if other.id != run.id
        and other.system == run.system
        and other.plan.kind in MOVES
        and other.started_at is not None
        and other.ended_at is not None
    ]
    ended_at, other_id = max(ended, default=(float("-inf"), ""))
    ago_s = now - ended_at
    if ago_s >= MEMORY_S:
        return Verdict(NAME, Ruling.ALLOW, "calm", f"{run.system} had no failover in the last 24 h")
    ago = f"{max(ago_s, 0.0) / MINUTE_S:.0f} min"
    if ago_s < QUIET_S:
        sentence = (
            f"{run.system} had failover {other_id}, which ended {ago} ago; for an hour after one, alarms start none. "
            f"Find out why it failed again; if moving it is right, start it: 'karaula {run.plan.kind} {run.system}'."
        )
        return Verdict(NAME, Ruling.REFUSE, "just-failed-over", sentence)
    sentence = f"the second failover of {run.system} within 24 h (the last was {other_id}, {ago} ago): a person decides"
    if run.approved_by:
        return Verdict(NAME, Ruling.ALLOW, "person-decided", f"{sentence}; {run.approved_by} did")
    return Verdict(NAME, Ruling.WAIT, "second-within-a-day", sentence)
