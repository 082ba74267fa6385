"""Joint runs as they come over the wire, typed: JSON objects with these keys (``console.api.joint_views``)."""

from __future__ import annotations

from typing import TypedDict

from console.terminal.shapes import Plan, RunLine


class JointMember(TypedDict):
    """A system of a joint run; ``run`` is None until its turn has come, ``waits`` says why it has not."""

    system: str
    group: int
    needs: list[str]
    state: str
    waits: str
    held: bool
    went_on: str
    steps: int
    run: RunLine | None


class Joint(TypedDict):
    """A joint run; ``stands_still`` says why only a person can move it."""

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
    members: list[JointMember]


class JointPlace(TypedDict):
    """A system in the plan of a joint run."""

    system: str
    group: int
    needs: list[str]
    plan: Plan


class JointPlan(TypedDict):
    """What a joint run would do, and in which order."""

    playbook: str
    kind: str
    plan_hash: str
    left_out: dict[str, str]
    members: list[JointPlace]
