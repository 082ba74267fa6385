"""Quorum: a side is lost only when enough independent vantage points say so, and none says that it answers.

An alarm's failover without it waits for a person, who reads who said what; a person's own is told and goes on. The
votes are those that the run's journal holds, heard just before the guards were asked.
"""

from __future__ import annotations

from dr.guard import Facts, Ruling, Verdict
from dr.journal.run import Run
from monitor.status.votes import FEWEST, Word

NAME = "quorum"


def quorum(run: Run, facts: Facts, step: str | None, now: float) -> Verdict:
    """Let an alarm's failover wait for a person unless the vantage points agree that the side to leave is down."""
    del facts, step, now
    if run.plan.kind != "failover":
        return Verdict(NAME, Ruling.ALLOW, "no-failover", f"a {run.plan.kind} takes no site for lost")
    reason, said = _found(run)
    if reason == "quorum":
        return Verdict(NAME, Ruling.ALLOW, reason, said)
    if run.origin != "alarm":
        return Verdict(NAME, Ruling.ALLOW, f"{reason}-person", f"{said}. {run.requester} asked for it all the same")
    if run.approved_by:
        return Verdict(NAME, Ruling.ALLOW, "person-decided", f"{said}. {run.approved_by} approved it all the same")
    return Verdict(NAME, Ruling.WAIT, reason, f"{said}. A person who knows more decides")


def _found(run: Run) -> tuple[str, str]:
    """Return what the votes come to, as a named reason, and who said what."""
    poll = run.poll
    if poll is None:
        return "no-votes", "no vantage point was asked whether the site is lost"
    needed = max(poll.needed, FEWEST)
    if poll.reached:
        return "quorum", f"{poll}; {needed} are needed"
    if len(poll.votes) == 1:
        return "own-word-alone", f"{poll}; {needed} are needed, and the inventory names no other (vantage.points)"
    if poll.saying(Word.UP) and poll.saying(Word.DOWN):
        return "contradicted", f"the vantage points contradict one another: {poll}"
    return "no-quorum", f"{poll}; {needed} are needed"
