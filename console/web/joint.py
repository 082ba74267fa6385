"""The page of one joint run: its systems in their order, what each waits for, and the decisions about the whole."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from console.api.actor import actor_of
from console.api.desk import desk_of
from console.api.joint import JointDecision, decision_command
from console.web.render import page
from dr.engine.joint_course import Standing, standings, stands_still
from dr.errors import RunRefused
from dr.journal.joint import Joint
from dr.rights import approvers

router = APIRouter(include_in_schema=False)
Line = Annotated[str, Form(max_length=500)]


@router.get("/joint/{joint_id}", response_class=HTMLResponse)
async def joint_page(request: Request, joint_id: str) -> HTMLResponse:
    """Show one joint run as it happens."""
    return _page(request, joint_id)


@router.get("/joint/{joint_id}/decide")
async def reloaded(joint_id: str) -> Response:
    """Lead back: a browser asks for this when somebody reloads the answer to a decision."""
    return RedirectResponse(f"/joint/{joint_id}", 303)


@router.post("/joint/{joint_id}/decide")
async def decide(
    request: Request, joint_id: str, decision: Line, name: Line = "", reason: Line = "", plan_hash: Line = ""
) -> Response:
    """Take a person's decision from the page's form; ``decision`` is a word, for a system ``go-on:SYSTEM``."""
    joints = desk_of(request).joints
    word, _, system = decision.partition(":")
    said = JointDecision.model_construct(reason=reason.strip(), system=system, plan_hash=plan_hash)
    try:
        await joints.command(joint_id, decision_command(word, said, actor_of(request, name.strip()), joints))
    except RunRefused as error:
        return _page(request, joint_id, f"Not done: {error.reason}", 409, name, reason)
    except HTTPException as error:
        return _page(request, joint_id, f"Not done: {error.detail}", error.status_code, name, reason)
    return RedirectResponse(f"/joint/{joints.joint(joint_id).id}", 303)


def _page(
    request: Request, joint_id: str, error: str = "", status: int = 200, name: str = "", reason: str = ""
) -> HTMLResponse:
    desk = desk_of(request)
    joint = desk.joints.joint(joint_id)
    runs = desk.joints.runs(joint)
    stand = standings(joint, runs)
    return page(
        request,
        "joint.html",
        status,
        joint=joint,
        may_approve=approvers(desk.inventory.rights, joint),
        stand=stand,
        still=stands_still(joint, runs),
        blockers=_blockers(joint, stand),
        report=desk.reporting.joint(joint.id),
        overrides=desk.orchestrator.standing.between(
            [member.system for member in joint.plan.members], joint.accepted_at, joint.ended_at
        ),
        names={key: system.name for key, system in desk.inventory.systems.items()},
        error=error,
        typed_name=name,
        typed_reason=reason,
    )


def _blockers(joint: Joint, stand: tuple[Standing, ...]) -> list[str]:
    """Return the systems whose run did not succeed and that hold others, which a person may let go on."""
    needed = {need for one in stand if one.held for need in one.member.needs}
    return [
        one.member.system
        for one in stand
        if one.member.system in needed and one.run is not None and one.member.system not in joint.went_on
    ]
