"""Verification: what an alarm starts by itself was proven, as it stands written, and not too long ago.

A plan is VERIFIED while `karaula prove` has found every invariant to hold in it, for this fingerprint, by this version
of Karaula, with as many disturbances as the inventory demands. Without that an alarm only prepares a run and people are
called; a person's run goes on and says so, and so does what leaves production alone.
"""

from __future__ import annotations

from dr.guard import Facts, Ruling, Verdict
from dr.journal.run import Run
from dr.loss import span

NAME = "verification"


def verification(run: Run, facts: Facts, step: str | None, now: float) -> Verdict:
    """Leave to a person what is not VERIFIED."""
    del step
    lack = facts.unverified
    if not lack:
        proof = facts.proof
        age = (
            ""
            if proof is None
            else f"proven with up to {proof.faults} disturbances {span(max(0.0, now - proof.at))} ago"
        )
        return Verdict(NAME, Ruling.ALLOW, "verified", f"this plan is VERIFIED: {age}")
    said = f"this plan is not VERIFIED: {lack}; 'karaula prove {run.plan.playbook} --system {run.system}' proves it"
    if run.origin != "alarm" or not run.plan.attended:
        return Verdict(NAME, Ruling.ALLOW, "not-verified-told", f"{said}. It goes on: {_asker(run)} asked for it")
    if run.approved_by:
        return Verdict(NAME, Ruling.ALLOW, "person-decided", f"{said}. {run.approved_by} has decided all the same")
    return Verdict(NAME, Ruling.WAIT, "not-verified", f"{said}. It is prepared, and a person decides")


def _asker(run: Run) -> str:
    return {"schedule": "the calendar", "alarm": "an alarm"}.get(run.origin, run.requester)
