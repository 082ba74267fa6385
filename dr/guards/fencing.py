"""Nothing is promoted until the other side is *proven* fenced, by this run and since it began.

The guard of steps that would make a site primary. Only a fence step that SUCCEEDED with proof ``PROVEN`` counts: one
that was passed over, undone, or opened again by a later ``unfence`` does not. Where the proof cannot be had, two people
may take it upon themselves (an override of ``fencing``); the verdict says so, and the report.
"""

from __future__ import annotations

from dr.guard import Facts, Ruling, Verdict
from dr.journal.run import Run, StepRecord, StepState
from dr.playbook.model import PlannedStep

NAME = "fencing"
PROVEN = "PROVEN"
NOT_PROVEN = "fence-not-proven"


def fencing(run: Run, facts: Facts, step: str | None, now: float) -> Verdict:
    """Refuse a promotion without a proven fence of the system's other site."""
    if step is None or not _promotes(run.steps[step].plan):
        return Verdict(NAME, Ruling.ALLOW, "no-promotion", "nothing is promoted here")
    site = run.steps[step].plan.site
    if site not in {run.plan.from_site, run.plan.to_site}:
        sentence = (
            f"step '{step}' would promote {site}, which is neither side of this run; nobody could fence the other"
        )
        return Verdict(NAME, Ruling.REFUSE, "unknown-side", sentence)
    other = run.plan.to_site if site == run.plan.from_site else run.plan.from_site
    fences = [record for record in run.steps.values() if _switches(run, record.plan, other, "on")]
    opened_at = max(
        (
            record.started_seq
            for record in run.steps.values()
            if _switches(run, record.plan, other, "off") and record.attempt
        ),
        default=None,
    )
    holding = [record for record in fences if _proven(record)]
    for record in holding:
        if opened_at is None or record.started_seq > opened_at:
            sentence = f"step '{record.plan.id}' proved {run.system} at {other} fenced: {record.evidence or PROVEN}"
            return Verdict(NAME, Ruling.ALLOW, "fence-proven", sentence)
    reason, sentence = _why(run, site, other, fences, opened=bool(holding))
    override = facts.overridden(NAME, run, now) if reason == NOT_PROVEN else None
    if override is not None:
        said = f"WITHOUT A PROVEN FENCE: {sentence} {override.words()}"
        return Verdict(NAME, Ruling.ALLOW, "overridden", said)
    if reason == NOT_PROVEN:
        again = f"Get the outlet group to read Off and 0 W, then 'karaula run retry {run.id} {fences[-1].plan.id}'."
        sentence = f"{sentence} {again}{facts.left_aside(NAME, run, now)}"
    return Verdict(NAME, Ruling.REFUSE, reason, sentence)


def _promotes(step: PlannedStep) -> bool:
    return any(field == "role" and value == "primary" for _, field, value in step.effects)


def _switches(run: Run, step: PlannedStep, site: str, value: str) -> bool:
    return (f"system/{run.system}/{site}", "fence", value) in step.effects


def _proven(record: StepRecord) -> bool:
    """Tell whether this run itself has proved the fence. Order is the journal's, which no clock set back can turn."""
    return record.state is StepState.SUCCEEDED and record.outputs.get("proof") == PROVEN and record.attempt > 0


def _why(run: Run, site: str, other: str, fences: list[StepRecord], *, opened: bool) -> tuple[str, str]:
    danger = f"If {run.system} at {other} still writes, promoting {site} would give two writable sites."
    if not fences:
        return "no-fence", f"this run has no step that fences {run.system} at {other}. {danger} Correct the playbook."
    if opened:
        return "fence-opened", f"{run.system} at {other} was fenced, but this run has opened the fence again. {danger}"
    record = fences[-1]
    state = record.reason or record.state.value.lower()
    return (
        NOT_PROVEN,
        f"the fence of {run.system} at {other} is not proven (step '{record.plan.id}': {state}). {danger}",
    )
