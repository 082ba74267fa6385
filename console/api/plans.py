"""Plans (what a run would do, changing nothing) and pauses."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from console.api.actor import actor_of, looker_of
from console.api.desk import desk_of
from console.api.plan_views import AheadView, PlanView, plan_view
from console.api.views import PauseView, pause_view
from dr.engine.ahead import look_ahead
from dr.journal.pause import Pause
from dr.playbook.parameters import Wish

router = APIRouter(prefix="/api")
Name = Annotated[str, Field(min_length=1, max_length=63)]


class PlanAsk(BaseModel):
    """Which playbook for which system."""

    model_config = ConfigDict(extra="forbid")

    playbook: Name
    system: Name
    forced: bool = False
    settings: dict[str, str] = {}


class PauseAsk(BaseModel):
    """What to pause (a system or ``all``), why, and for how long."""

    model_config = ConfigDict(extra="forbid")

    system: Name
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
    for_s: Annotated[float, Field(gt=0, le=7 * 86400)]


@router.post("/plans")
async def plan(request: Request, ask: PlanAsk) -> PlanView:
    """Return the plan with every argument resolved and the guards' present answers; changes nothing."""
    desk = desk_of(request)
    made = desk.orchestrator.plan(ask.playbook, ask.system, wish=Wish(ask.settings, ask.forced))
    requester = looker_of(request)
    verdicts = desk.orchestrator.verdicts(made, requester)
    return plan_view(made, verdicts, desk.past.forecast(made), desk.clock.now(), desk.readying.of_plan(made))


@router.post("/looks")
async def looks(request: Request, ask: PlanAsk) -> list[AheadView]:
    """Look at what each step of the plan would meet now, side by side and for seconds at most; changes nothing."""
    desk = desk_of(request)
    made = desk.orchestrator.plan(ask.playbook, ask.system, wish=Wish(ask.settings, ask.forced))
    token = desk.orchestrator.tokens.above(made.system)
    found = await look_ahead(desk.orchestrator.performer, made, token, desk.clock.now())
    steps = {step.id: step for step in made.steps}
    return [
        AheadView(
            step=one.step, action=steps[one.step].action, site=steps[one.step].site, met=one.met, sentence=one.sentence
        )
        for one in found
    ]


@router.get("/pauses")
async def pauses(request: Request) -> list[PauseView]:
    """Return the pauses in force."""
    return [pause_view(pause) for pause in desk_of(request).orchestrator.standing.pauses()]


@router.post("/pauses", status_code=201)
async def pause(request: Request, ask: PauseAsk) -> PauseView:
    """Start nothing by itself for the system until the pause expires."""
    desk = desk_of(request)
    actor = actor_of(request)
    now = desk.clock.now()
    made = Pause(ask.system, actor.name, actor.said(ask.reason), now, now + ask.for_s)
    await desk.orchestrator.standing.pause(made)
    return pause_view(made)


@router.delete("/pauses/{system}")
async def lift(request: Request, system: str) -> dict[str, int]:
    """End the pauses of the system; says how many there were."""
    desk = desk_of(request)
    return {"lifted": await desk.orchestrator.standing.lift_pause(system, actor_of(request).name)}
