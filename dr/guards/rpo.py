"""The recovery point: more than the objective is lost only when a named person has accepted it, stated in minutes.

Asked of the run by what the monitor has seen, and again of each promotion by what the run has measured after its fence:
only then can nothing more be accepted on the old side. Without a measurement what was seen counts on. A loss that is
not known at all is left to the person who approves.
"""

from __future__ import annotations

from dr.guard import Facts, Ruling, Verdict
from dr.journal.run import Run
from dr.loss import MAY_LOSE, Loss, measured, span

NAME = "rpo"


def rpo(run: Run, facts: Facts, step: str | None, now: float) -> Verdict:
    """Wait while more would be lost than may be and nobody has accepted it."""
    del now
    if step is not None and not run.steps[step].plan.promotes:
        return Verdict(NAME, Ruling.ALLOW, "no-promotion", "nothing is promoted here")
    if run.plan.kind not in MAY_LOSE:
        return Verdict(NAME, Ruling.ALLOW, "loses-nothing", _harmless(run))
    own = None if step is None else measured(run)
    loss = facts.loss if own is None or own.seconds is None else own
    if loss is None or loss.seconds is None:
        return _not_known(run, loss)
    said = f"{loss.words()} would be lost: {loss.known}"
    limit = f"the {span(run.plan.rpo_s)} that may be"
    if loss.seconds <= run.plan.rpo_s:
        return Verdict(NAME, Ruling.ALLOW, "within-objective", f"{said}; no more than {limit}")
    if run.loss_accepted_s >= loss.seconds:
        accepted = f"{run.loss_accepted_by} has accepted {span(run.loss_accepted_s)}"
        return Verdict(NAME, Ruling.ALLOW, "loss-accepted", f"{said}; more than {limit}. {accepted}")
    sentence = (
        f"{said}; more than {limit}. A person must accept that: 'karaula run accept-loss {run.id} --reason …', "
        "or get the standby to catch up first"
    )
    return Verdict(NAME, Ruling.WAIT, "loss-not-accepted", sentence)


def _harmless(run: Run) -> str:
    waits = "waits until everything has arrived" if run.plan.attended else "promotes nothing"
    return f"a {run.plan.kind} {waits}"


def _not_known(run: Run, loss: Loss | None) -> Verdict:
    why = "no step has measured it" if loss is None else loss.known
    said = f"what would be lost is not known: {why}"
    if run.origin == "person" or run.approved_by or run.loss_accepted_by:
        by = run.loss_accepted_by or run.approved_by or run.requester
        return Verdict(NAME, Ruling.ALLOW, "loss-not-known", f"{said}; {by} goes on all the same")
    return Verdict(NAME, Ruling.WAIT, "loss-not-known", f"{said}; a person decides")
