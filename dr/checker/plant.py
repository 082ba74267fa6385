"""Mistakes to plant in a plan, so that it can be seen what the checker finds and how it ends on the lab. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from dr.playbook.model import Plan, PlannedStep

Spoil = Callable[[Plan], Plan]


@dataclass(frozen=True, slots=True)
class Plant:
    """A mistake: in which playbook, what it is, how it is planted."""

    playbook: str
    summary: str
    spoil: Spoil


def with_steps(plan: Plan, steps: Iterable[PlannedStep]) -> Plan:
    """Return the plan with other steps."""
    return replace(plan, steps=tuple(steps))


def without(*ids: str) -> Spoil:
    """Leave steps out; what needed them needs what they needed."""

    def spoil(plan: Plan) -> Plan:
        for gone in ids:
            bridge = plan.step(gone).needs
            kept = [
                replace(
                    step,
                    needs=tuple(dict.fromkeys(n for need in step.needs for n in (bridge if need == gone else (need,)))),
                )
                for step in plan.steps
                if step.id != gone
            ]
            plan = with_steps(plan, kept)
        return plan

    return spoil


def changed(step_id: str, **changes: object) -> Spoil:
    """Change fields of a step."""

    def spoil(plan: Plan) -> Plan:
        steps = [replace(step, **changes) if step.id == step_id else step for step in plan.steps]  # type: ignore[arg-type]  # fields of a step
        return with_steps(plan, steps)

    return spoil


def _opened_too_early(plan: Plan) -> Plan:
    """Open the fence of the old side as soon as the other is promoted, before anything makes it a standby."""
    fence = plan.step("fence-old")
    effects = tuple((subject, what, "off") for subject, what, _ in fence.effects)
    opening = replace(fence, id="open", action="unfence", needs=("promote",), effects=effects, description="")
    return with_steps(plan, (*plan.steps, opening))


PLANTS: Mapping[str, Plant] = MappingProxyType(
    {
        "fence-removed": Plant("failover", "nothing fences the old side", without("fence-old")),
        "fence-opened": Plant("failover", "the old side gets its power back while it is primary", _opened_too_early),
        "names-first": Plant(
            "failover", "clients are led there before there is a primary", changed("names", needs=("fence-old",))
        ),
        "promotion-ignored": Plant(
            "failover", "a promotion that fails is passed over", changed("promote", on_failure="continue", retries=0)
        ),
        "clones-left": Plant("drill", "nothing removes the clones", without("remove")),
    }
)
