"""What a joint run says of itself in the end: each system's recovery time, and that of all of them together. Pure.

All together counts from the first system that was without service to the last that answered again by its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dr.engine.joint_course import Standing, standings
from dr.evidence.collect import answered_at, interruption
from dr.journal.joint import Joint
from dr.journal.run import Run

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class MemberReport:
    """One system: how its run stands, when it was without service, and its recovery time (None: not known).

    ``met`` None: cannot be said. ``took_s`` is from the start of its run to its end.
    """

    system: str
    run_id: str
    group: int
    needs: tuple[str, ...]
    state: str
    waits: str
    went_on: str
    took_s: float | None
    lost_at: float | None
    back_at: float | None
    rta_s: float | None
    rto_s: float
    met: bool | None


@dataclass(frozen=True, slots=True)
class JointReport:
    """The whole: who asked and approved, how it ended, each system, and the recovery time over all of them."""

    schema: int
    id: str
    playbook: str
    kind: str
    state: str
    end_reason: str
    requester: str
    reason: str
    approved_by: str
    plan_hash: str
    accepted_at: float
    approved_at: float | None
    ended_at: float | None
    made_at: float
    left_out: Mapping[str, str]
    members: tuple[MemberReport, ...]
    rta_s: float | None
    rta_note: str


def joint_report(joint: Joint, runs: Mapping[str, Run], now: float) -> JointReport:
    """Return the report of ``joint`` as far as it has come; ``runs`` are those of its members by id."""
    members = tuple(_member(joint, one) for one in standings(joint, runs))
    lost = [one.lost_at for one in members if one.lost_at is not None]
    back = [one.back_at for one in members if one.back_at is not None]
    missing = [one.system for one in members if one.back_at is None]
    if not any(step.promotes for member in joint.plan.members for step in member.plan.steps):
        rta_s, note = None, "no service was to be interrupted"
    elif missing or not lost:
        rta_s, note = None, f"not seen to answer at its new place: {', '.join(missing)}"
    else:
        rta_s, note = max(back) - min(lost), "from the first system's loss to the last one's answer by its name"
    return JointReport(
        schema=SCHEMA,
        id=joint.id,
        playbook=joint.plan.playbook,
        kind=joint.plan.kind,
        state=joint.state,
        end_reason=joint.end_reason,
        requester=joint.requester,
        reason=joint.reason,
        approved_by=joint.approved_by,
        plan_hash=joint.plan_hash,
        accepted_at=joint.accepted_at,
        approved_at=joint.approved_at,
        ended_at=joint.ended_at,
        made_at=now,
        left_out=dict(joint.plan.left_out),
        members=members,
        rta_s=rta_s,
        rta_note=note,
    )


def _member(joint: Joint, one: Standing) -> MemberReport:
    run, member = one.run, one.member
    moved = run is not None and any(step.promotes for step in run.plan.steps)
    lost_at = interruption(run)[0] if run is not None and moved else None
    back_at = answered_at(run) if run is not None and moved else None
    rta_s = None if lost_at is None or back_at is None else back_at - lost_at
    missed = run is not None and run.state.final and lost_at is not None
    took_s = None
    if run is not None and run.started_at is not None and run.ended_at is not None:
        took_s = run.ended_at - run.started_at
    return MemberReport(
        system=member.system,
        run_id=member.run_id if run is not None else "",
        group=member.group,
        needs=member.needs,
        state=run.state.value if run is not None else "QUEUED",
        waits=one.waits,
        went_on=joint.went_on.get(member.system, ""),
        took_s=took_s,
        lost_at=lost_at,
        back_at=back_at,
        rta_s=rta_s,
        rto_s=member.plan.rto_s,
        met=rta_s <= member.plan.rto_s if rta_s is not None else False if missed else None,
    )
