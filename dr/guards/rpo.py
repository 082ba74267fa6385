"""The recovery point: more than the objective is lost only when a named person has accepted it, stated in minutes.

Asked of the run by what the monitor has seen, and again of each promotion by what the run has measured after its fence:
only then can nothing more be accepted on the old side. Of what it could not measure, what was seen counts on: its count
stands also where it knows no time. A loss that is not known at all is left to the person who approves.
"""

from __future__ import annotations

from dr.guard import Facts, Ruling, Verdict
from dr.journal.run import Run
from dr.loss import Loss, counted, measured, span
from dr.playbook.model import MAY_LOSE
from dr.rights import Deed, by_right, holders, listed, may
from monitor.inventory.recovery import EVERYBODY

NAME = "rpo"


def rpo(run: Run, facts: Facts, step: str | None, now: float) -> Verdict:
    """Wait while more would be lost than may be and nobody has accepted it."""
    del now
    if step is not None and not run.steps[step].plan.promotes:
        return Verdict(NAME, Ruling.ALLOW, "no-promotion", "nothing is promoted here")
    if run.plan.kind not in MAY_LOSE:
        return Verdict(NAME, Ruling.ALLOW, "loses-nothing", _harmless(run))
    own = None if step is None else measured(run)
    loss = _together(own, facts.loss)
    if loss is None or loss.seconds is None:
        return _not_known(run, loss)
    said = f"{loss.words()} would be lost: {loss.known}"
    limit = f"the {span(run.plan.rpo_s)} that may be"
    if loss.seconds <= run.plan.rpo_s:
        return Verdict(NAME, Ruling.ALLOW, "within-objective", f"{said}; no more than {limit}")
    right = (facts.rights, run.loss_accepted_by, Deed.APPROVE, run.plan.kind, run.system)
    lost = ""
    if run.loss_accepted_s >= loss.seconds:
        if may(*right):
            accepted = f"{run.loss_accepted_by} has accepted {span(run.loss_accepted_s)}{by_right(*right)}"
            return Verdict(NAME, Ruling.ALLOW, "loss-accepted", f"{said}; more than {limit}. {accepted}")
        lost = f"{run.loss_accepted_by} has accepted it, and has no right to any more. "
    who = holders(facts.rights, *right[2:])
    person = "A person" if EVERYBODY in who else f"One of those who may ({listed(who)})"
    sentence = (
        f"{said}; more than {limit}. {lost}{person} must accept that: 'karaula run accept-loss {run.id} --reason …', "
        "or get the standby to catch up first"
    )
    return Verdict(NAME, Ruling.WAIT, "loss-not-accepted", sentence)


def _together(own: Loss | None, before: Loss | None) -> Loss | None:
    """Return what the run has measured, its time by what was seen before where it knows none."""
    if own is None or (own.seconds is None and own.declarations is None):
        return own if before is None else before
    if own.seconds is not None:
        return own
    if before is None or before.seconds is None:
        return own
    return Loss(before.seconds, own.declarations, f"{own.known}; the time is what was seen before ({before.known})")


def _harmless(run: Run) -> str:
    waits = "waits until everything has arrived" if run.plan.attended else "promotes nothing"
    return f"a {run.plan.kind} {waits}"


def _not_known(run: Run, loss: Loss | None) -> Verdict:
    why = "no step has measured it" if loss is None else loss.known
    count = None if loss is None else loss.declarations
    what = "what would be lost" if count is None else f"how much time would be lost ({counted(count)})"
    said = f"{what} is not known: {why}"
    if run.origin == "person" or run.approved_by or run.loss_accepted_by:
        by = run.loss_accepted_by or run.approved_by or run.requester
        return Verdict(NAME, Ruling.ALLOW, "loss-not-known", f"{said}; {by} goes on all the same")
    return Verdict(NAME, Ruling.WAIT, "loss-not-known", f"{said}; a person decides")
