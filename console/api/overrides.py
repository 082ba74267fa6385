"""Overrides: which rules people have put out of force for a system, until when, and who agreed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from console.api.actor import Actor, actor_of
from console.api.desk import Desk, desk_of
from console.api.views import View
from dr.engine.standing import OverrideAsk
from dr.errors import RunRefused
from dr.journal.names import same_person
from dr.journal.override import PREFIX, Override

router = APIRouter(prefix="/api/overrides")
Line = Annotated[str, Field(max_length=500)]


class Ask(BaseModel):
    """Which rule (``blackout``, ``fencing``, ``safety/KEY``) for which system, why, and for how long."""

    model_config = ConfigDict(extra="forbid")

    rule: Annotated[str, Field(min_length=1, max_length=80)]
    system: Annotated[str, Field(min_length=1, max_length=63)]
    reason: Annotated[str, Field(min_length=1, max_length=500)]
    for_s: Annotated[float, Field(gt=0, le=24 * 3600)]


class Word(BaseModel):
    """What a second person, or who takes it back, has to say."""

    model_config = ConfigDict(extra="forbid")

    reason: Line = ""


class OverrideView(View):
    """An override; one that stands and is not ``in_force`` waits for its second person."""

    id: str
    system: str
    rule: str
    by: str
    reason: str
    asked_at: float
    expires_at: float
    confirmed_by: str
    confirmed_at: float | None
    needs_second: bool
    in_force: bool
    ended_by: str
    ended_at: float | None


@router.get("")
async def overrides(request: Request) -> list[OverrideView]:
    """Return the overrides that stand, oldest first."""
    desk = desk_of(request)
    now = desk.clock.now()
    return [override_view(each, now) for each in desk.orchestrator.standing.overrides()]


@router.post("", status_code=201)
async def override(request: Request, ask: Ask) -> OverrideView:
    """Override a rule for a system. 409 with a sentence when that cannot be."""
    desk, actor = desk_of(request), actor_of(request)
    said = actor.said(ask.reason) if ask.reason.strip() else ""
    wanted = OverrideAsk(ask.system, ask.rule, actor.name, said, ask.for_s)
    return override_view(await desk.orchestrator.standing.override(wanted), desk.clock.now())


@router.post("/{number}/confirm")
async def confirm(request: Request, number: str, word: Word) -> OverrideView:
    """Agree to an override as the second person. 409 with a sentence when that may not be."""
    desk = desk_of(request)
    return override_view(await agreed(desk, number, actor_of(request), word.reason), desk.clock.now())


async def agreed(desk: Desk, number: str, actor: Actor, comment: str) -> Override:
    """Let ``actor`` agree to an override, unless it would count for nothing: for a run that the same person asked for.

    Raises RunRefused and StateError.
    """
    standing = desk.orchestrator.standing
    systems = {
        each.system for each in standing.overrides() if each.id.removeprefix(PREFIX) == number.removeprefix(PREFIX)
    }
    for run in desk.orchestrator.runs():
        if run.system in systems and not run.state.final and same_person(run.requester, actor.name):
            raise RunRefused(
                "override",
                f"{actor.name} asked for {run.id}, and cannot be the second person for it; let another agree",
            )
    return await standing.confirm(number, actor.name, actor.said(comment))


@router.post("/{number}/end")
async def end(request: Request, number: str, word: Word) -> OverrideView:
    """Take an override back. 409 when there is none."""
    desk, actor = desk_of(request), actor_of(request)
    made = await desk.orchestrator.standing.end(number, actor.name, actor.said(word.reason))
    return override_view(made, desk.clock.now())


def override_view(override: Override, now: float) -> OverrideView:
    """Return the view of an override."""
    return OverrideView(
        id=override.id.removeprefix(PREFIX),
        system=override.system,
        rule=override.rule,
        by=override.by,
        reason=override.reason,
        asked_at=override.asked_at,
        expires_at=override.expires_at,
        confirmed_by=override.confirmed_by,
        confirmed_at=override.confirmed_at,
        needs_second=override.needs_second,
        in_force=override.in_force(now),
        ended_by=override.ended_by,
        ended_at=override.ended_at,
    )
