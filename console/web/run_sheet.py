"""What the page of one run says beside its steps: what a decision means, what can be decided. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dr.engine.commands import IGNORE, RETRY, choices_at
from dr.journal.override import FENCING, SAFETY
from dr.journal.run import Run, RunState, StepRecord, StepState
from dr.loss import counted, seen
from monitor.inventory.recovery import SafetyRule
from monitor.probe import Observation
from monitor.status.board import Evidence

STATE_SENTENCES: Mapping[RunState, str] = {
    RunState.ACCEPTED: "Asked for; the guards are being heard.",
    RunState.WAITING: "Nothing has been done yet. It waits for a person's approval.",
    RunState.IN_PROGRESS: "Under way.",
    RunState.PAUSED: "Stopped where it is. It waits for a person.",
    RunState.CANCELING: "Being cancelled: what runs is let end, then it is cleaned up.",
    RunState.INTERRUPTED: "Karaula was restarted under it and is finding out what became of its steps.",
    RunState.CANCELED: "Cancelled.",
    RunState.SUCCEEDED: "Done.",
    RunState.SUCCEEDED_WITH_WARNINGS: "Done, with something to look at.",
    RunState.FAILED: "Failed.",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """A button: what is sent, what it says, whether it is the likely way on."""

    value: str
    text: str
    likely: bool = False


def troubled(run: Run) -> list[StepRecord]:
    """Return the steps that a person can retry or pass over."""
    return [record for record in (run.steps[step.id] for step in run.plan.steps) if choices_at(run, record)]


def step_choices(run: Run, record: StepRecord, *, unfenced: bool = False) -> list[Choice]:
    """Return what can be decided about one troubled step. A fence is passed over once two people have overridden it."""
    step, words = record.plan.id, choices_at(run, record)
    again, over = f"Run “{step}” again", f"Go on without “{step}”"
    if record.state is StepState.UNDO_FAILED or RETRY not in words:
        again, over = f"Undo “{step}” again", f"Leave “{step}” alone, and undo what it was built upon all the same"
    elif record.state is StepState.UNKNOWN:
        again, over = f"It did not happen: run “{step}” again", f"It did happen: go on after “{step}”"
    elif record.plan.fences:
        over = f"Go on WITHOUT the proof of “{step}”, as two people have decided"
    passable = IGNORE in words and (unfenced or not record.plan.fences)
    return [
        *([Choice(f"retry:{step}", again, likely=True)] if RETRY in words else []),
        *([Choice(f"ignore:{step}", over)] if passable else []),
    ]


def results(record: StepRecord) -> str:
    """Return what the step found out, moments left out: ``lost: 1, rpa: 1.2 s``."""
    found = []
    for name, value in record.outputs.items():
        if value in ("", None) or name.endswith("_at"):
            continue
        shown = f"{value:.6g}" if isinstance(value, float) else str(value)
        found.append(f"{name.removesuffix('_s').replace('_', ' ')}: {shown}{' s' if name.endswith('_s') else ''}")
    return ", ".join(found)


def rules_about(run: Run, safety: Mapping[str, SafetyRule]) -> list[str]:
    """Return the rules that may come to stand in the way of this run, and that people may override."""
    found = [FENCING] if any(step.promotes for step in run.plan.steps) else []
    return [*found, *(f"{SAFETY}{key}" for key, rule in safety.items() if rule.concerns(run.plan.kind, run.system))]


def loss_waits(run: Run) -> str:
    """Return the guard's sentence while a person must accept the loss; else nothing."""
    said = [note for note in run.guards if note.guard == "rpo" and note.reason != "no-promotion"]
    return said[-1].sentence if said and said[-1].ruling == "wait" else ""


def resumable(run: Run) -> bool:
    """Tell whether going on as a whole is another thing than running the one troubled step again."""
    found = troubled(run)
    return len(found) != 1 or found[0].state is StepState.UNKNOWN


def consequence(run: Run) -> str:
    """Say in plain words what an approval sets off."""
    system, here, there = run.system.upper(), run.plan.from_site, run.plan.to_site
    return {
        "failover": f"The power of {system} at {here} is cut and that is proven; then {there} takes over. "
        f"Declarations that had not reached {there} are lost. The way back is a failback.",
        "switchover": f"{system} stops at {here} for a short time and goes on at {there}; nothing is lost.",
        "failback": f"{system} stops at {here} for a short time and goes on at {there}. "
        f"What only {there} still holds from before the failover is discarded there.",
        "reprotect": f"{system} goes on at {here}. {there} gets its power back and becomes the standby; "
        f"what only {there} still holds from before the failover is discarded there.",
        "drill": f"{system} is tried out at {there} on copies, cut off from production; they are removed at the end.",
    }.get(run.plan.kind, "")


def expected_loss(run: Run, evidence: Evidence, standby: Observation | None) -> str:
    """Say what a failover would lose as far as was seen; empty when it does not apply."""
    if run.plan.kind != "failover" or run.started_at is not None:
        return ""
    loss = seen(evidence, standby, run.plan.from_site)
    if loss.declarations is None:
        return f"What would be lost is not known: {loss.known}."
    if loss.declarations > 0:
        return f"At least {counted(loss.declarations)} would be lost: {loss.known}."
    return f"Nothing that was seen would be lost: {loss.known}. What came in after that may be."
