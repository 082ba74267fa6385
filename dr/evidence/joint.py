"""What a joint run says of itself: its members in their order, each one's recovery time and loss, and that of them all.

Pure. All together counts from the first system that was without service to the last that answered again by its name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dr.engine.joint_course import Standing, standings
from dr.evidence.collect import Measure, answered_at, interruption, measures
from dr.evidence.picture import Bar, Lane, Picture, Tone, framed
from dr.evidence.words import Moment, PersonsAct, sentence
from dr.forecast import Forecast
from dr.journal.joint import Joint, JointApproved, JointCancelAsked, JointDenied, JointEvent, JointWentOn
from dr.journal.run import Run, RunState
from monitor.inventory.model import Inventory

SCHEMA = 2
DAEMON = "karaula"
ENDS: Mapping[RunState, Tone] = {RunState.SUCCEEDED: "good", RunState.SUCCEEDED_WITH_WARNINGS: "warn"}


@dataclass(frozen=True, slots=True)
class MemberReport:
    """One system: how its run stands, when it was without service, its recovery time and loss (None: not known).

    ``met`` None: cannot be said. ``took_s`` is from the start of its run to its end. ``loss`` None: nothing is lost in
    this kind of run, or it did not come so far.
    """

    system: str
    name: str
    run_id: str
    group: int
    needs: tuple[str, ...]
    from_site: str
    to_site: str
    state: str
    end_reason: str
    waits: str
    went_on: str
    started_at: float | None
    ended_at: float | None
    took_s: float | None
    lost_at: float | None
    back_at: float | None
    rta_s: float | None
    rto_s: float
    met: bool | None
    loss: Measure | None


@dataclass(frozen=True, slots=True)
class JointReport:
    """The whole: who asked and approved, how it ended, each system, and the recovery time over all of them."""

    schema: int
    estate: str
    timezone: str
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
    replaced: tuple[str, ...]
    members: tuple[MemberReport, ...]
    rta_s: float | None
    rta_note: str
    people: tuple[PersonsAct, ...]
    timeline: tuple[Moment, ...]
    picture: Picture | None


def joint_report(
    joint: Joint, runs: Mapping[str, Run], events: Sequence[JointEvent], inventory: Inventory, now: float
) -> JointReport:
    """Return the report of ``joint``, whose journal is ``events``, as far as it has come.

    ``runs`` are those of its members by id.
    """
    members = tuple(_member(joint, one, inventory) for one in standings(joint, runs))
    rta_s, note = total(joint, runs)
    return JointReport(
        schema=SCHEMA,
        estate=inventory.estate.name,
        timezone=inventory.estate.timezone,
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
        replaced=tuple(joint.replaces),
        members=members,
        rta_s=rta_s,
        rta_note=note,
        people=tuple(_acts(events)),
        timeline=tuple(_timeline(events, members)),
        picture=framed([_lane(one, now) for one in members]),
    )


def total(joint: Joint, runs: Mapping[str, Run]) -> tuple[float | None, str]:
    """Return the recovery time over all members in seconds (None: not known), and how it counts or what is missing."""
    if not any(step.promotes for member in joint.plan.members for step in member.plan.steps):
        return None, "no service was to be interrupted"
    times = {one.member.system: _interrupted(one.run) for one in standings(joint, runs)}
    lost = [lost_at for lost_at, _ in times.values() if lost_at is not None]
    back = [back_at for _, back_at in times.values() if back_at is not None]
    if missing := [system for system, (_, back_at) in times.items() if back_at is None]:
        return None, f"not seen to answer at its new place: {', '.join(missing)}"
    if not lost:
        return None, "no service was interrupted"
    return max(back) - min(lost), "from the first system's loss to the last one's answer by its name"


def _interrupted(run: Run | None) -> tuple[float | None, float | None]:
    """Return from when to when the run's service was away; None: not known, or not at all."""
    if run is None or not any(step.promotes for step in run.plan.steps):
        return None, None
    return interruption(run)[0], answered_at(run)


def _member(joint: Joint, one: Standing, inventory: Inventory) -> MemberReport:
    run, member = one.run, one.member
    system = inventory.systems.get(member.system)
    lost_at, back_at = _interrupted(run)
    rta_s = None if lost_at is None or back_at is None else back_at - lost_at
    missed = run is not None and run.state.final and lost_at is not None
    took_s = None
    if run is not None and run.started_at is not None and run.ended_at is not None:
        took_s = run.ended_at - run.started_at
    measured = measures(run, (), Forecast(0)) if run is not None else ()
    return MemberReport(
        system=member.system,
        name=system.name if system is not None else member.system,
        run_id=member.run_id if run is not None else "",
        group=member.group,
        needs=member.needs,
        from_site=member.plan.from_site,
        to_site=member.plan.to_site,
        state=run.state.value if run is not None else "QUEUED",
        end_reason=run.end_reason or run.pause_reason if run is not None else "",
        waits=one.waits,
        went_on=joint.went_on.get(member.system, ""),
        started_at=run.started_at if run is not None else None,
        ended_at=run.ended_at if run is not None else None,
        took_s=took_s,
        lost_at=lost_at,
        back_at=back_at,
        rta_s=rta_s,
        rto_s=member.plan.rto_s,
        met=rta_s <= member.plan.rto_s if rta_s is not None else False if missed else None,
        loss=next((measure for measure in measured if measure.name == "rpa_count"), None),
    )


def _acts(events: Sequence[JointEvent]) -> list[PersonsAct]:
    acts = []
    for event in events:
        match event:
            case JointApproved(at, by, comment, _):
                acts.append(PersonsAct(at, by, "approved the plan of all", comment))
            case JointDenied(at, by, reason):
                acts.append(PersonsAct(at, by, "refused", reason))
            case JointWentOn(at, system, by, reason):
                acts.append(PersonsAct(at, by, f"let begin what waits for {system}", reason))
            case JointCancelAsked(at, by, reason):
                acts.append(PersonsAct(at, by, "canceled all of it", reason))
            case _:
                pass
    return [act for act in acts if act.by != DAEMON]


def _timeline(events: Sequence[JointEvent], members: Sequence[MemberReport]) -> list[Moment]:
    """Return what happened to the whole, and when each member's run began and ended, in the order of time."""
    found = [Moment(event.at, "", sentence(event)) for event in events]
    for one in members:
        if one.started_at is not None:
            found.append(Moment(one.started_at, one.system, f"{one.name}: run {one.run_id} begun"))
        if one.back_at is not None:
            found.append(Moment(one.back_at, one.system, f"{one.name}: answers by its name at {one.to_site}"))
        if one.ended_at is not None:
            why = f"; {one.end_reason}" if one.end_reason else ""
            found.append(Moment(one.ended_at, one.system, f"{one.name}: run ended, {one.state}{why}"))
    return sorted(found, key=lambda moment: moment.at)


def _lane(one: MemberReport, now: float) -> Lane:
    """Return the member's lane: without service and not begun yet, then its run."""
    bars = []
    if one.lost_at is not None and one.started_at is not None and one.lost_at < one.started_at:
        bars.append(Bar(one.lost_at, one.started_at, "soft", "without service, not begun"))
    if one.started_at is not None:
        state = RunState(one.state)
        tone: Tone = ENDS.get(state, "bad") if state.final else "soft"
        bars.append(Bar(one.started_at, max(one.ended_at or now, one.started_at), tone, f"run: {one.state}"))
    return Lane(one.name, tuple(bars))
