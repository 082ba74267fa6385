"""The shapes of joint runs and their plans that the HTTP API answers with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from console.api.plan_views import PlanView
from console.api.views import RunView, View, run_view
from dr.engine.joint_course import standings, stands_still
from dr.journal.joint import Joint
from dr.journal.run import Run
from dr.playbook.joint import JointPlan
from dr.rights import Rights, approvers


class JointMemberView(View):
    """A system of a joint run. ``run`` is null until its turn has come; ``waits`` says why it has not."""

    system: str
    group: int
    needs: list[str]
    state: str
    waits: str
    held: bool
    went_on: str
    steps: int
    run: RunView | None


class JointView(View):
    """A joint run. ``stands_still`` says why only a person can move it; empty while it moves or is over."""

    id: str
    playbook: str
    kind: str
    state: str
    final: bool
    stands_still: str
    requester: str
    reason: str
    accepted_at: float
    approval_expires_at: float | None
    may_approve: str
    approved_by: str
    approved_at: float | None
    cancel_reason: str
    ended_at: float | None
    end_reason: str
    plan_hash: str
    left_out: dict[str, str]
    members: list[JointMemberView]


class JointPlaceView(View):
    """A system in the plan of a joint run: its group, what it waits for, and its own plan."""

    system: str
    group: int
    needs: list[str]
    plan: PlanView


class JointPlanView(View):
    """What a joint run would do, and in which order."""

    playbook: str
    kind: str
    plan_hash: str
    left_out: dict[str, str]
    members: list[JointPlaceView]


def joint_view(joint: Joint, runs: Mapping[str, Run], rights: Rights) -> JointView:
    """Return the view of a joint run; ``runs`` are those of its members by id."""
    return JointView(
        id=joint.id,
        playbook=joint.plan.playbook,
        kind=joint.plan.kind,
        state=joint.state,
        final=joint.final,
        stands_still=stands_still(joint, runs),
        requester=joint.requester,
        reason=joint.reason,
        accepted_at=joint.accepted_at,
        approval_expires_at=joint.expires_at if joint.state == "WAITING" else None,
        may_approve=approvers(rights, joint),
        approved_by=joint.approved_by,
        approved_at=joint.approved_at,
        cancel_reason=joint.cancel_reason,
        ended_at=joint.ended_at,
        end_reason=joint.end_reason,
        plan_hash=joint.plan_hash,
        left_out=dict(joint.plan.left_out),
        members=[
            JointMemberView(
                system=one.member.system,
                group=one.member.group,
                needs=list(one.member.needs),
                state=one.run.state.value if one.run is not None else "QUEUED",
                waits=one.waits,
                held=one.held,
                went_on=joint.went_on.get(one.member.system, ""),
                steps=len(one.member.plan.steps),
                run=run_view(one.run, rights) if one.run is not None else None,
            )
            for one in standings(joint, runs)
        ],
    )


def joint_plan_view(plan: JointPlan, plans: Sequence[PlanView]) -> JointPlanView:
    """Return the view of a plan; ``plans`` are those of its members, in their order."""
    return JointPlanView(
        playbook=plan.playbook,
        kind=plan.kind,
        plan_hash=plan.hash(),
        left_out=dict(plan.left_out),
        members=[
            JointPlaceView(system=member.system, group=member.group, needs=list(member.needs), plan=view)
            for member, view in zip(plan.members, plans, strict=True)
        ],
    )
