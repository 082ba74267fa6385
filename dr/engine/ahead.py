"""What a run would meet if it began now: every step's look at the world, and nothing else. For a dry run.

Of a step that changes something its effect is looked for. One that only looks and comes before any change is what the
run goes by, so it is done. What comes later looks at what the run itself has made by then, and cannot be asked before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from dr.action import Action, Holds
from dr.engine.perform import Performer
from dr.engine.transition import resolve
from dr.journal.event import RunAccepted
from dr.journal.fold import begin
from dr.journal.run import Run
from dr.playbook.model import ANY_RUN, Plan, PlannedStep, ancestors

LIMIT_S = 15.0  # for each of them; they are asked side by side


class Met(StrEnum):
    """What was met."""

    HOLDS = "holds-already"
    TO_DO = "to-do"
    AS_WANTED = "as-wanted"
    IN_THE_WAY = "in-the-way"
    NOT_KNOWN = "not-known"
    NOT_ASKED = "not-asked"


@dataclass(frozen=True, slots=True)
class Ahead:
    """One step: what was met, and the evidence in words."""

    step: str
    met: Met
    sentence: str


async def look_ahead(performer: Performer, plan: Plan, token: int, now: float) -> tuple[Ahead, ...]:
    """Return what each step of ``plan`` would meet under ``token``. Changes nothing, raises nothing of a target's."""
    run = begin(ANY_RUN, RunAccepted(now, plan.to_json(), "", "", "person", "", 0.0, 0.0))
    run = replace(run, steps={key: replace(record, token=token) for key, record in run.steps.items()})
    return tuple(await asyncio.gather(*(_met(performer, run, step) for step in plan.steps)))


async def _met(performer: Performer, run: Run, step: PlannedStep) -> Ahead:
    if why := _later(run, step, performer.actions):
        return Ahead(step.id, Met.NOT_ASKED, why)
    seen = await performer.look(run, step.id, LIMIT_S)
    words = {
        Holds.YES: Met.AS_WANTED if step.reads_only else Met.HOLDS,
        Holds.NO: Met.IN_THE_WAY if step.reads_only else Met.TO_DO,
        Holds.CANNOT_TELL: Met.NOT_KNOWN,
    }
    return Ahead(step.id, words[seen.holds], seen.evidence.replace(ANY_RUN, "RUN"))


def _later(run: Run, step: PlannedStep, actions: Mapping[str, Action]) -> str:
    """Say why the step cannot be asked before the run; empty: it can."""
    try:
        resolve(run, run.steps[step.id])
    except KeyError as error:
        return f"it goes by what an earlier step yields: {error.args[0]}"
    if step.final:
        return "it comes at the end, whatever became of the others"
    if not step.reads_only:
        return ""
    if step.asks:
        return "a person is asked"
    if not getattr(actions.get(step.action), "at_once", False):
        return "it takes its time, or tells people, and so is left to the run"
    plans = {each.id: each for each in run.plan.steps}
    changed = any(not plans[need].reads_only for need in ancestors(plans, step.id))
    return f"it looks at what has come about by then: it comes after {', '.join(step.needs)}" if changed else ""
