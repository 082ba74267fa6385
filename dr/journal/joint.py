"""A joint run in the journal: its words, its state, and what may follow what. Pure, and total as ``fold`` is.

A joint run only orders: each member is a run of its own with its own journal, made when its turn comes. What became
of a member is therefore written once, in that run, and never here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, get_args

from dr.errors import IllegalEvent
from dr.playbook.joint import JointPlan, joint_plan_from_json


@dataclass(frozen=True, slots=True)
class JointAccepted:
    """A request for several systems became a joint run. ``plan`` is fixed for its life (playbook.joint).

    ``expires_at`` is until when it waits for an approval (0: it needs none). ``service_lost_at`` and ``alarm_at`` are
    by system, where they apply. ``replaces`` are prepared runs that it takes the place of, by id.
    """

    at: float
    plan: dict[str, Any]
    requester: str
    reason: str
    expires_at: float
    service_lost_at: dict[str, float]
    alarm_at: dict[str, float]
    replaces: dict[str, str]


@dataclass(frozen=True, slots=True)
class JointApproved:
    """A person approved the whole with this hash; it is the approval of each member."""

    at: float
    by: str
    comment: str
    plan_hash: str


@dataclass(frozen=True, slots=True)
class JointDenied:
    """A person said no, or nobody answered in time (``by`` is then ``karaula``)."""

    at: float
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class JointWentOn:
    """A person lets those go on that wait for ``system``, whose run did not succeed."""

    at: float
    system: str
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class JointCancelAsked:
    """A person ends the whole: no further member begins, those under way are canceled."""

    at: float
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class JointEnded:
    """The joint run's final state and why."""

    at: float
    state: str
    reason: str


JointEvent = JointAccepted | JointApproved | JointDenied | JointWentOn | JointCancelAsked | JointEnded
JOINT_WORDS = frozenset(word.__name__ for word in get_args(JointEvent))

WAITING, IN_PROGRESS, CANCELING = "WAITING", "IN_PROGRESS", "CANCELING"
FINAL = frozenset({"CANCELED", "SUCCEEDED", "SUCCEEDED_WITH_WARNINGS", "FAILED"})


@dataclass(frozen=True, slots=True)
class Joint:
    """Everything that the journal says of a joint run. ``went_on`` maps a system to who let its dependents go on."""

    id: str
    plan: JointPlan
    plan_hash: str
    state: str
    accepted_at: float
    requester: str
    reason: str
    expires_at: float
    service_lost_at: Mapping[str, float]
    alarm_at: Mapping[str, float]
    replaces: Mapping[str, str]
    seq: int = 1
    approved_by: str = ""
    approved_at: float | None = None
    comment: str = ""
    went_on: Mapping[str, str] = field(default_factory=dict)
    cancel_by: str = ""
    cancel_reason: str = ""
    ended_at: float | None = None
    end_reason: str = ""

    @property
    def final(self) -> bool:
        """Tell whether nothing can follow."""
        return self.state in FINAL


def begin_joint(joint_id: str, event: object) -> Joint:
    """Return the joint run that ``JointAccepted`` opens. Raises IllegalEvent for anything else or a damaged plan."""
    if not isinstance(event, JointAccepted):
        raise IllegalEvent(f"joint run {joint_id} begins with {type(event).__name__}, not with JointAccepted")
    try:
        plan = joint_plan_from_json(event.plan)
        plan_hash = plan.hash()
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise IllegalEvent(f"joint run {joint_id} has a damaged plan: {error}") from error
    if plan.attended and not event.expires_at:
        raise IllegalEvent(f"joint run {joint_id} starts without an approval")
    return Joint(
        id=joint_id,
        plan=plan,
        plan_hash=plan_hash,
        state=WAITING if event.expires_at else IN_PROGRESS,
        accepted_at=event.at,
        requester=event.requester,
        reason=event.reason,
        expires_at=event.expires_at,
        service_lost_at=MappingProxyType(dict(event.service_lost_at)),
        alarm_at=MappingProxyType(dict(event.alarm_at)),
        replaces=MappingProxyType(dict(event.replaces)),
    )


def fold_joint(joint: Joint, event: object) -> Joint:
    """Return ``joint`` after ``event``. Raises IllegalEvent where it may not follow."""
    match event:
        case JointApproved(at, by, comment, plan_hash) if joint.state == WAITING and plan_hash == joint.plan_hash:
            after = replace(joint, state=IN_PROGRESS, approved_by=by, approved_at=at, comment=comment)
        case JointDenied(_, by, reason) if joint.state == WAITING:
            after = replace(joint, state=CANCELING, cancel_by=by, cancel_reason=reason)
        case JointWentOn(_, system, by, _) if joint.state == IN_PROGRESS and system in _needed(joint):
            after = replace(joint, went_on=MappingProxyType({**joint.went_on, system: by}))
        case JointCancelAsked(_, by, reason) if joint.state in {WAITING, IN_PROGRESS}:
            after = replace(joint, state=CANCELING, cancel_by=by, cancel_reason=reason)
        case JointEnded(at, state, reason) if state in FINAL and (
            joint.state == IN_PROGRESS or (joint.state == CANCELING and state == "CANCELED")
        ):
            after = replace(joint, state=state, ended_at=at, end_reason=reason)
        case _:
            raise IllegalEvent(f"joint run {joint.id} is {joint.state}; {type(event).__name__} cannot follow")
    return replace(after, seq=joint.seq + 1)


def fold_all_joint(joint_id: str, events: Iterable[object]) -> Joint:
    """Return the joint run of a whole journal. Raises IllegalEvent."""
    iterator = iter(events)
    joint = begin_joint(joint_id, next(iterator, None))
    for event in iterator:
        joint = fold_joint(joint, event)
    return joint


def _needed(joint: Joint) -> set[str]:
    return {need for member in joint.plan.members for need in member.needs}
