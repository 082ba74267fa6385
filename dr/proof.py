"""What `karaula prove` has proven of a plan, and which plan that was. Pure.

A proof holds for one fingerprint: the playbook as it was resolved from the inventory for one system and direction, the
sites, arguments, order and declared effects of its steps. Any change of them makes another plan, which is not proven.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from dr.loss import span
from dr.playbook.model import ANY_RUN, Plan
from monitor.inventory.recovery import Proofs


@dataclass(frozen=True, slots=True)
class Proof:
    """``faults`` are how many disturbances at most, ``at`` is Unix seconds, ``version`` that of Karaula."""

    fingerprint: str
    playbook: str
    system: str
    faults: int
    at: float
    version: str
    moments: int


def fingerprint(plan: Plan, run_id: str = ANY_RUN) -> str:
    """Return the SHA-256 of what a proof of ``plan`` is about; its own ``run_id`` is no part of that."""
    body = plan.to_json()
    steps = [{**step, "args": _without(step["args"], run_id)} for step in body["steps"]]
    about = {name: body[name] for name in ("playbook", "kind", "system", "from_site", "to_site")} | {"steps": steps}
    return hashlib.sha256(json.dumps(about, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def missing(proof: Proof | None, plan: Plan, wanted: Proofs, now: float) -> str:
    """Return what is missing for ``plan`` to be VERIFIED; empty when nothing is."""
    if proof is None:
        return f"nobody has proven {plan.playbook} of {plan.system} as it stands written now"
    if proof.faults < wanted.faults:
        return f"it was proven with up to {proof.faults} disturbances, {wanted.faults} are demanded"
    if now - proof.at > wanted.max_age_s:
        return f"its proof is {span(now - proof.at)} old, more than {span(wanted.max_age_s)}"
    return ""


def _without(value: Any, run_id: str) -> Any:
    if isinstance(value, str):
        return value.replace(run_id, ANY_RUN)
    if isinstance(value, dict):
        return {key: _without(item, run_id) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without(item, run_id) for item in value]
    return value
