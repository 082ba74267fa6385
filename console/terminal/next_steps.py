"""What a person can do about a run, as the exact commands to type. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from console.terminal.shapes import Override, Run, Step
from dr.journal.names import same_person
from dr.journal.override import FENCING

ACCEPTED = "accept what would be lost, as the guard rpo states it"
UNFENCED = "two people take it upon themselves that the old side cannot write any more"
WITHOUT_PROOF = "go on WITHOUT the proof of the fence, as override {} says"
AGREE = "agree to it, as another person than {}; only then the fence can be passed over"
AGAIN = {"UNKNOWN": "it did not happen: do it again", "UNDO_FAILED": "undo it again"}
BENEATH = "leave it alone, and undo what it was built upon all the same"
OVER = {"UNKNOWN": "it did happen: go on", "UNDO_FAILED": BENEATH}


@dataclass(frozen=True, slots=True)
class Choice:
    """A command that can be typed, and what it does."""

    command: str
    effect: str


def choices(run: Run, overrides: Sequence[Override] = ()) -> list[Choice]:
    """Return what can be done to ``run`` as it stands, the likeliest first; ``overrides`` stand for its system."""
    if run["state"] == "WAITING":
        loss = [Choice(f"karaula run accept-loss {run['id']} --reason …", ACCEPTED)] if loss_waits(run) else []
        approval = Choice(
            f"karaula run approve {run['id']} --as NAME", f"{run['may_approve']} may; shows the plan first"
        )
        return [
            *([] if run["approved_by"] else [approval]),
            *loss,
            Choice(f"karaula run deny {run['id']} --reason …", "end it, nothing is done"),
        ]
    asked = [
        Choice(f"karaula run answer {run['id']} {shlex.quote(choice)} --step {one['step']}", one["question"])
        for one in run["questions"]
        for choice in one["choices"]
    ]
    if run["state"] == "PAUSED":
        return [*asked, *_paused(run, overrides)]
    if asked and run["state"] != "CANCELING":
        return asked
    if run["final"]:
        return [Choice(f"karaula run report {run['id']}", "what happened, with the times that were measured")]
    return []


def loss_waits(run: Run) -> bool:
    """Tell whether the guard's last word is that a person must accept the loss."""
    said = [verdict for verdict in run["guards"] if verdict["guard"] == "rpo" and verdict["reason"] != "no-promotion"]
    return bool(said) and said[-1]["ruling"] == "wait"


def troubled(run: Run) -> list[Step]:
    """Return the steps that wait for a person's word."""
    named = {step for step, _ in run["decisions"]}
    return [step for step in run["steps"] if step["id"] in named]


def _paused(run: Run, overrides: Sequence[Override]) -> list[Choice]:
    found: list[Choice] = []
    bad = troubled(run)
    if loss_waits(run):
        found.append(Choice(f"karaula run accept-loss {run['id']} --reason …", ACCEPTED))
    for step in bad:
        words = {word for name, word in run["decisions"] if name == step["id"]}
        if "retry" in words:
            again = AGAIN.get(step["state"], "do it again")
            found.append(Choice(f"karaula run retry {run['id']} {shlex.quote(step['id'])}", again))
        if fences(step):
            found.append(_unproven(run, step, overrides))
        elif "ignore" in words:
            over = OVER.get(step["state"], "go on without it") if "retry" in words else BENEATH
            found.append(Choice(f"karaula run ignore {run['id']} {shlex.quote(step['id'])} --reason …", over))
    if len(bad) != 1 or bad[0]["state"] == "UNKNOWN":
        found.insert(0, Choice(f"karaula run resume {run['id']}", "go on: failed steps again, unknown ones looked at"))
    if not run["undo_refused"]:
        found.append(Choice(f"karaula run undo {run['id']} --reason …", "end it and take back what was done"))
    stays = any(step["state"] == "UNDO_FAILED" for step in bad)
    end = "end it, and leave in place what could not be undone and what it was built upon" if stays else "end it"
    found.append(Choice(f"karaula run cancel {run['id']} --reason …", end))
    return found


def _unproven(run: Run, step: Step, overrides: Sequence[Override]) -> Choice:
    """Return the next of the three steps past a fence that cannot be proven: override it, agree, pass over it."""
    mine = [each for each in overrides if each["rule"] == FENCING]
    for each in mine:
        if each["in_force"] and not same_person(each["confirmed_by"], run["requester"]):
            command = f"karaula run ignore {run['id']} {shlex.quote(step['id'])} --reason …"
            return Choice(command, WITHOUT_PROOF.format(each["id"]))
    for each in mine:
        if not each["in_force"]:
            names = dict.fromkeys((each["by"], *([] if run["requester"] == "karaula" else [run["requester"]])))
            return Choice(f"karaula override --confirm {each['id']} --as NAME", AGREE.format(" and ".join(names)))
    return Choice(f"karaula override fencing {run['system']} --for 30m --reason …", UNFENCED)


def fences(step: Step) -> bool:
    """Tell whether the step is a fence, which only two people together can pass over."""
    return any(effect[1:] == ["fence", "on"] for effect in step["effects"])
