"""Four eyes: what changes production waits for a second person, who is not the one that asked.

One thing alone begins without one: a failover whose response says ``automatic``, with a quorum, by a verified playbook.
"""

from __future__ import annotations

from dr.guard import Facts, Ruling, Verdict
from dr.journal.names import same_person
from dr.journal.run import Run
from dr.readiness.lights import NEEDED_ALONE, said

NAME = "approval"
AUTOMATIC = "failover"


def approval(run: Run, facts: Facts, step: str | None, now: float) -> Verdict:
    """Wait until the run is approved. Refuse an approval by its own requester, and one that has run out."""
    del step
    if not run.plan.attended:
        return Verdict(NAME, Ruling.ALLOW, "not-needed", f"a {run.plan.kind} does not change production")
    if run.automatic and not run.approved_by:
        return _by_itself(run, facts)
    if not run.approved_by:
        sentence = (
            f"a {run.plan.kind} changes production: a person other than {run.requester} must read the plan and say "
            f"'karaula run approve {run.id}' or 'karaula run deny {run.id}'"
        )
        return Verdict(NAME, Ruling.WAIT, "approval-missing", sentence)
    if same_person(run.approved_by, run.requester):
        sentence = (
            f"{run.approved_by} asked for this {run.plan.kind} and cannot approve it too; "
            "ask for it again and let another person approve"
        )
        return Verdict(NAME, Ruling.REFUSE, "approver-is-requester", sentence)
    if run.approval_expires_at is not None and now > run.approval_expires_at:
        sentence = (
            f"the approval by {run.approved_by} was good for a start that did not come in time; "
            f"look how things stand now, then ask for the {run.plan.kind} again"
        )
        return Verdict(NAME, Ruling.REFUSE, "approval-expired", sentence)
    return Verdict(NAME, Ruling.ALLOW, "approved", f"approved by {run.approved_by}")


def _by_itself(run: Run, facts: Facts) -> Verdict:
    """Let the run begin only where nothing is missing; else it is one that was prepared, and says why."""
    poll = run.poll
    if run.plan.kind != AUTOMATIC:
        missing = f"a {run.plan.kind} never does"
    elif run.origin != "alarm":
        missing = "no alarm asked for it"
    elif poll is None or not poll.reached:
        missing = f"no quorum: {poll}" if poll else "no vantage point was asked"
    elif facts.isolated:
        missing = f"the monitor itself is cut off: {facts.isolated}"
    elif facts.unverified:
        missing = facts.unverified
    elif facts.readiness is not None and (doubts := facts.readiness.uncertain(NEEDED_ALONE)):
        missing = f"that {facts.readiness.site} is ready for it is not certain: {said(doubts)}"
    else:
        sentence = f"the response to the alarm is automatic, and nothing speaks against it: {poll}"
        return Verdict(NAME, Ruling.ALLOW, "automatic", sentence)
    sentence = (
        f"this {run.plan.kind} was to begin by itself and does not: {missing}. A person must read the plan and say "
        f"'karaula run approve {run.id}' or 'karaula run deny {run.id}'"
    )
    return Verdict(NAME, Ruling.WAIT, "not-by-itself", sentence)
