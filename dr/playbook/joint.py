"""The plan of a joint run: the plans of its members, their order, and one hash over all of it, which is approved."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dr.playbook.model import ATTENDED, Plan, plan_from_json


@dataclass(frozen=True, slots=True)
class Member:
    """One system of a joint run. ``run_id`` is promised to its run, which is made when its turn comes."""

    system: str
    run_id: str
    group: int
    needs: tuple[str, ...]
    plan: Plan


@dataclass(frozen=True, slots=True)
class JointPlan:
    """What a joint run will do. ``left_out`` says of systems why they have no part in it."""

    playbook: str
    kind: str
    members: tuple[Member, ...]
    left_out: Mapping[str, str]

    @property
    def attended(self) -> bool:
        """Tell whether production changes: one approval for all of it."""
        return self.kind in ATTENDED

    def member(self, system: str) -> Member:
        """Return the member of that system. Raises KeyError."""
        for member in self.members:
            if member.system == system:
                return member
        raise KeyError(system)

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON data; ``joint_plan_from_json`` is the inverse."""
        return {
            "playbook": self.playbook,
            "kind": self.kind,
            "left_out": dict(self.left_out),
            "members": [
                {
                    "system": member.system,
                    "run_id": member.run_id,
                    "group": member.group,
                    "needs": list(member.needs),
                    "plan": member.plan.to_json(),
                }
                for member in self.members
            ],
        }

    def hash(self) -> str:
        """Return the SHA-256 of the canonical plan: what an approval is bound to."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def joint_plan_from_json(body: Mapping[str, Any]) -> JointPlan:
    """Return the plan that ``JointPlan.to_json`` wrote. Raises KeyError, TypeError or ValueError for anything else."""
    members = tuple(
        Member(one["system"], one["run_id"], one["group"], tuple(one["needs"]), plan_from_json(one["plan"]))
        for one in body["members"]
    )
    known = {member.system for member in members}
    if not members or len(known) != len(members) or len({member.run_id for member in members}) != len(members):
        raise ValueError("no members, or two of one system or run")
    for number, member in enumerate(members):
        earlier = {one.system for one in members[:number]}
        texts = (member.system, member.run_id, *member.needs)
        if not all(isinstance(text, str) for text in texts) or type(member.group) is not int:
            raise ValueError("a member's name is not text, or its group not a number")
        if not earlier.issuperset(member.needs) or member.plan.system != member.system:
            raise ValueError("a member waits for one that does not come before it, or has another system's plan")
    left_out = {str(system): str(why) for system, why in body["left_out"].items()}
    if not isinstance(body["playbook"], str) or not isinstance(body["kind"], str):
        raise TypeError("a name is not text")
    return JointPlan(body["playbook"], body["kind"], members, left_out)
