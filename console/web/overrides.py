"""Overrides on the pages: what people have put out of force, agreed to and taken back, by the rules of the API."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from console.api.actor import actor_of
from console.api.desk import Desk, desk_of
from console.api.overrides import agreed
from console.web.render import page
from console.web.run_sheet import rules_about
from dr.engine.standing import OverrideAsk
from dr.errors import RunRefused

router = APIRouter(include_in_schema=False)
Line = Annotated[str, Form(max_length=500)]
MINUTE_S = 60.0


@router.get("/overrides", response_class=HTMLResponse)
async def overrides(request: Request, run: Annotated[str, Query(max_length=200)] = "") -> HTMLResponse:
    """Show every override that stands; with ``run`` what can be overridden for it, and lead back there."""
    return _page(request, run)


@router.get("/overrides/decide")
async def reloaded() -> Response:
    """Lead back: a browser asks for this when somebody reloads the answer to a decision."""
    return RedirectResponse("/overrides", 303)


@router.post("/overrides/decide")
async def decide(
    request: Request,
    decision: Line,
    run: Line = "",
    name: Line = "",
    reason: Line = "",
    rule: Line = "",
    minutes: Annotated[int, Form(ge=1, le=1440)] = 30,
) -> Response:
    """Take a person's decision: ``give`` (of ``SYSTEM RULE``), ``confirm:ID`` or ``end:ID``; lead back to ``run``."""
    desk = desk_of(request)
    try:
        await _decided(request, desk, decision, (rule, minutes * MINUTE_S), name.strip(), reason.strip())
    except RunRefused as error:
        return _page(request, run, f"Not done: {error.reason}", 409, name, reason)
    except HTTPException as error:
        return _page(request, run, f"Not done: {error.detail}", error.status_code, name, reason)
    return RedirectResponse(f"/runs/{desk.orchestrator.run(run).id}" if run else "/overrides", 303)


async def _decided(
    request: Request, desk: Desk, decision: str, wanted: tuple[str, float], name: str, reason: str
) -> None:
    """Do what was decided. Raises RunRefused, and HTTPException for who has no name."""
    actor, standing = actor_of(request, name), desk.orchestrator.standing
    word, _, which = decision.partition(":")
    if word == "confirm":
        await agreed(desk, which, actor, reason)
    elif word == "end":
        await standing.end(which, actor.name, actor.said(reason))
    elif word == "give":
        system, _, rule = wanted[0].partition(" ")
        said = actor.said(reason) if reason else ""
        await standing.override(OverrideAsk(system, rule, actor.name, said, wanted[1]))
    else:
        raise RunRefused("decision", f"'{word}' is not a decision about an override; known: give, confirm, end")


def _page(
    request: Request, run_id: str = "", error: str = "", status: int = 200, name: str = "", reason: str = ""
) -> HTMLResponse:
    desk = desk_of(request)
    standing, systems = desk.orchestrator.standing, desk.inventory.systems
    run = desk.orchestrator.run(run_id) if run_id else None
    rules = [(system, rule) for system in systems for rule in standing.rules()]
    if run is not None:
        rules = [(run.system, rule) for rule in rules_about(run, desk.inventory.safety)]
    return page(
        request,
        "overrides.html",
        status,
        run=run.id if run is not None else "",
        overrides=[each for each in standing.overrides() if run is None or each.system == run.system],
        rules=rules,
        error=error,
        typed_name=name,
        typed_reason=reason,
    )
