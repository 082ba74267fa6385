"""Joint runs: several systems by one request. Ask for one, look at it, decide about it as a whole, watch it, report."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from console.api.actor import Actor, actor_of, looker_of
from console.api.desk import Desk, desk_of
from console.api.files import pdf_named, whole_page
from console.api.joint_views import JointPlanView, JointView, joint_plan_view, joint_view
from console.api.plan_views import plan_view
from console.api.streams import Streams
from dr.engine import commands, joint_course
from dr.engine.joint import JointCommand, JointRuns
from dr.evidence.joint import JointReport
from dr.evidence.render import to_data, to_html
from dr.journal.joint import Joint, JointEvent
from dr.journal.run import Run
from dr.playbook.joint import JointPlan
from dr.playbook.parameters import Wish
from dr.rights import demand_decision

router = APIRouter(prefix="/api")
Name = Annotated[str, Field(min_length=1, max_length=63)]
Text = Annotated[str, Field(max_length=2000)]


class JointAsk(BaseModel):
    """Which playbook for which systems (``all``: every one), and why."""

    model_config = ConfigDict(extra="forbid")

    playbook: Name
    systems: Annotated[list[Name], Field(min_length=1, max_length=100)]
    reason: Text = ""
    forced: bool = False
    settings: dict[str, str] = {}


class JointDecision(BaseModel):
    """A person's word on a joint run: ``system`` for go-on, ``plan_hash`` for approve (what was looked at)."""

    model_config = ConfigDict(extra="forbid")

    reason: Text = ""
    system: Annotated[str, Field(max_length=63)] = ""
    plan_hash: Annotated[str, Field(max_length=64)] = ""


@router.post("/joint-plans")
async def plan(request: Request, ask: JointAsk) -> JointPlanView:
    """Return what a joint run would do and in which order; changes nothing."""
    desk = desk_of(request)
    requester = looker_of(request)
    return whole_plan(desk, desk.joints.plan(ask.playbook, ask.systems, wish=Wish(ask.settings, ask.forced)), requester)


@router.get("/joint-runs")
async def joints(request: Request, limit: Annotated[int, Query(ge=1, le=10_000)] = 50) -> list[JointView]:
    """Return the newest joint runs, newest first."""
    found = desk_of(request).joints
    return [joint_view(joint, found.runs(joint), desk_of(request).inventory.rights) for joint in found.joints()[:limit]]


@router.post("/joint-runs", status_code=201)
async def submit(request: Request, ask: JointAsk) -> JointView:
    """Ask for a joint run. It waits for an approval, or starts, or is refused (409) with everything against it."""
    actor, found = actor_of(request), desk_of(request).joints
    joint = await found.submit(
        ask.playbook, ask.systems, actor.name, actor.said(ask.reason), Wish(ask.settings, ask.forced)
    )
    return joint_view(joint, found.runs(joint), desk_of(request).inventory.rights)


@router.get("/joint-runs/{joint_id}")
async def joint(request: Request, joint_id: str) -> JointView:
    """Return a joint run with its members; a unique beginning of its id is enough."""
    found = desk_of(request).joints
    known = found.joint(joint_id)
    return joint_view(known, found.runs(known), desk_of(request).inventory.rights)


@router.get("/joint-runs/{joint_id}/plan")
async def its_plan(request: Request, joint_id: str) -> JointPlanView:
    """Return what it does, member by member: what is approved."""
    desk = desk_of(request)
    known = desk.joints.joint(joint_id)
    return whole_plan(desk, known.plan, known.requester, known.replaces)


@router.get("/joint-runs/{joint_id}/report.json")
async def report(request: Request, joint_id: str) -> dict[str, Any]:
    """Return its report: each system's recovery time and that of all of them together."""
    return to_data(desk_of(request).reporting.joint(joint_id))


@router.get("/joint-runs/{joint_id}/report.html", response_class=HTMLResponse)
async def report_html(request: Request, joint_id: str) -> HTMLResponse:
    """Return its report as one self-contained page."""
    return whole_page(to_html(desk_of(request).reporting.joint(joint_id)))


@router.get("/joint-runs/{joint_id}/report.pdf", response_class=Response)
async def report_pdf(request: Request, joint_id: str) -> Response:
    """Return its report as PDF."""
    made = desk_of(request).reporting.joint(joint_id)
    return pdf_named(made.id, await asyncio.to_thread(_printed, made))


def _printed(made: JointReport) -> bytes:
    from dr.evidence.joint_pdf import joint_to_pdf  # noqa: PLC0415 - reportlab loads for a fifth of a second

    return joint_to_pdf(made)


@router.get("/joint-runs/{joint_id}/stream")
async def stream(request: Request, joint_id: str) -> StreamingResponse:
    """Send the joint run at each change as server-sent events until it is final."""
    found = desk_of(request).joints
    streams: Streams = request.app.state.streams
    return StreamingResponse(streams.of_joint(found, found.joint(joint_id).id), media_type="text/event-stream")


@router.post("/joint-runs/{joint_id}/{decision}")
async def decide(request: Request, joint_id: str, decision: str, word: JointDecision) -> JointView:
    """Approve, deny, cancel the whole, or let those go on that wait for a system. 409 when that cannot be done now."""
    found = desk_of(request).joints
    joint = await found.command(joint_id, decision_command(decision, word, actor_of(request), found))
    return joint_view(joint, found.runs(joint), desk_of(request).inventory.rights)


def decision_command(decision: str, word: JointDecision, actor: Actor, found: JointRuns) -> JointCommand:
    """Return the engine's command for a person's decision, which refuses who has no right to it.

    Raises RunRefused for an unknown one.
    """
    said, by = actor.said(word.reason), actor.name
    why = said if word.reason else ""
    made: dict[str, JointCommand] = {
        "approve": lambda joint, _runs, now: joint_course.approve(joint, by, said, word.plan_hash, now),
        "deny": lambda joint, _runs, now: joint_course.deny(joint, by, said, now),
        "cancel": lambda joint, _runs, now: joint_course.cancel(joint, by, said, now),
        "go-on": lambda joint, runs, now: joint_course.go_on(joint, runs, word.system, by, why, now),
    }
    if decision not in made:
        raise commands.unknown_decision(decision, made)

    def permitted(joint: Joint, runs: Mapping[str, Run], now: float) -> Sequence[JointEvent]:
        demand_decision(found.orchestrator.world.inventory.rights, by, decision, joint)
        return made[decision](joint, runs, now)

    return permitted


def whole_plan(desk: Desk, plan: JointPlan, requester: str, replaces: Collection[str] = ()) -> JointPlanView:
    """Return the plan with the guards' present answers for every member."""
    now = desk.clock.now()
    own = frozenset((*replaces, *(member.run_id for member in plan.members)))
    return joint_plan_view(
        plan,
        [
            plan_view(
                member.plan,
                desk.orchestrator.verdicts(member.plan, requester, beside=own),
                desk.past.forecast(member.plan),
                now,
                desk.readying.of_plan(member.plan),
            )
            for member in plan.members
        ],
    )
