"""Four eyes: what changes production waits for a second person, who is not the one that asked.

A person asks, and approves, only where the inventory's rights let that person; a drill's right is not a failover's.
One thing alone begins without one: a failover whose response says ``automatic``, with a quorum, by a verified playbook.
"""

from __future__ import annotations

from dr.guard import Facts, Ruling, Verdict
from dr.journal.names import same_person
from dr.journal.run import Run
from dr.readiness.lights import NEEDED_ALONE, said
from dr.rights import Deed, by_right, holders, lacking, listed, others
from monitor.inventory.recovery import EVERYBODY

NAME = "approval"
AUTOMATIC = "failover"
PERSON = "person"


def approval(run: Run, facts: Facts, step: str | None, now: float) -> Verdict:
    """Wait until the run is approved. Refuse who has no right to it, its own requester, and what has run out."""
    del step
    if run.origin == PERSON and (lack := lacking(facts.rights, run.requester, Deed.REQUEST, *_what(run))):
        return Verdict(NAME, Ruling.REFUSE, "requester-may-not", lack)
    if not run.plan.attended:
        sentence = f"a {run.plan.kind} does not change production{_asked_by_right(run, facts)}"
        return Verdict(NAME, Ruling.ALLOW, "not-needed", sentence)
    if run.automatic and not run.approved_by:
        return _by_itself(run, facts)
    return _approved(run, facts, now) if run.approved_by else _asked_for(run, facts)


def _approved(run: Run, facts: Facts, now: float) -> Verdict:
    """Allow what somebody else has approved, in time and by right."""
    if same_person(run.approved_by, run.requester):
        sentence = (
            f"{run.approved_by} asked for this {run.plan.kind} and cannot approve it too; "
            "ask for it again and let another person approve"
        )
        return Verdict(NAME, Ruling.REFUSE, "approver-is-requester", sentence)
    if lack := lacking(facts.rights, run.approved_by, Deed.APPROVE, *_what(run)):
        return Verdict(NAME, Ruling.REFUSE, "approver-may-not", lack)
    if run.approval_expires_at is not None and now > run.approval_expires_at:
        sentence = (
            f"the approval by {run.approved_by} was good for a start that did not come in time; "
            f"look how things stand now, then ask for the {run.plan.kind} again"
        )
        return Verdict(NAME, Ruling.REFUSE, "approval-expired", sentence)
    right = by_right(facts.rights, run.approved_by, Deed.APPROVE, run.plan.kind, run.system)
    sentence = f"approved by {run.approved_by}{right}{_asked_by_right(run, facts)}"
    return Verdict(NAME, Ruling.ALLOW, "approved", sentence)


def _asked_by_right(run: Run, facts: Facts) -> str:
    """Say by which right a person has asked for the run; empty where nobody needed one."""
    right = by_right(facts.rights, run.requester, Deed.REQUEST, run.plan.kind, run.system)
    return f"; asked for by {run.requester}{right}" if right and run.origin == PERSON else ""


def _what(run: Run) -> tuple[str, tuple[str, ...]]:
    return run.plan.kind, (run.system,)


def _asked_for(run: Run, facts: Facts) -> Verdict:
    """Let it wait for a person who may approve it; refuse where there is none."""
    who = others(facts.rights, Deed.APPROVE, run.plan.kind, run.system, run.requester)
    if not who:
        sentence = (
            f"a {run.plan.kind} changes production, and the inventory lets nobody but {run.requester} approve one of "
            f"{run.system}; let another person ask for it (karaula rights {run.system})"
        )
        return Verdict(NAME, Ruling.REFUSE, "nobody-may-approve", sentence)
    person = f"a person other than {run.requester}" if EVERYBODY in who else f"one of those who may ({listed(who)})"
    sentence = f"a {run.plan.kind} changes production: {person} {_must_say(run)}"
    return Verdict(NAME, Ruling.WAIT, "approval-missing", sentence)


def _must_say(run: Run) -> str:
    return f"must read the plan and say 'karaula run approve {run.id}' or 'karaula run deny {run.id}'"


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
    who = holders(facts.rights, Deed.APPROVE, run.plan.kind, run.system)
    person = "A person" if EVERYBODY in who else f"One of those who may ({listed(who)})"
    sentence = f"this {run.plan.kind} was to begin by itself and does not: {missing}. {person} {_must_say(run)}"
    return Verdict(NAME, Ruling.WAIT, "not-by-itself", sentence)
