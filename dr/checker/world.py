"""The world as the checker sees it: what the declared effects of steps have made of it, truly, whoever knows it.

Two sites of one system. A site *accepts* declarations when its database is primary, its three tiers are on and its
power is not cut (fenced). What an action does beyond its declared effects is outside of this model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from dr.playbook.foreign import TIERS
from dr.playbook.model import Plan, PlannedStep

Effect = tuple[str, str, str]
Place = tuple[str, str]  # subject and field
DATABASE = "database"
RETURNS = frozenset({"failback", "reprotect"})
PRODUCTION = frozenset({"role", "fence", "traffic", *(f"power {tier}" for tier in TIERS)})


@dataclass(frozen=True, slots=True)
class World:
    """``values`` by subject and field; ``applied`` are the steps whose effect came about in this run."""

    values: Mapping[Place, str]
    applied: frozenset[str]
    before: Mapping[str, Mapping[Place, str]]
    key: str = field(init=False)

    def __post_init__(self) -> None:
        """Work out, once, what tells this world from others."""
        undo = sorted((step, sorted(was.items())) for step, was in self.before.items())
        object.__setattr__(self, "key", repr((sorted(self.values.items()), sorted(self.applied), undo)))

    def value(self, system: str, site: str, what: str) -> str:
        """Return a value of the system at a site; empty when nothing is known of it."""
        return self.values.get((f"system/{system}/{site}", what), "")

    def accepts(self, system: str, site: str) -> bool:
        """Tell whether the site would take a declaration now."""
        return (
            self.value(system, site, "role") == "primary"
            and self.value(system, site, "fence") != "on"
            and all(self.value(system, site, f"power {tier}") == "on" for tier in TIERS)
        )

    def holds(self, step: PlannedStep) -> bool:
        """Tell whether every declared effect of the step is true."""
        return all(self.values.get(place) == value for place, value in _changes(step.effects).items())

    def apply(self, step: PlannedStep) -> World:
        """Return the world after the step's effects."""
        changes = _changes(step.effects)
        before = dict(self.before)
        if step.undoable and step.id not in before:
            before[step.id] = {place: self.values.get(place, "") for place in changes}
        return World(MappingProxyType({**self.values, **changes}), self.applied | {step.id}, MappingProxyType(before))

    def undo(self, step: PlannedStep) -> World:
        """Return the world with the step's effects taken back."""
        values = {**self.values, **self.before.get(step.id, {})}
        before = {name: was for name, was in self.before.items() if name != step.id}
        return World(MappingProxyType(values), self.applied - {step.id}, MappingProxyType(before))

    def production(self) -> tuple[tuple[Place, str], ...]:
        """Return what a drill must leave alone."""
        return tuple(sorted((place, value) for place, value in self.values.items() if place[1] in PRODUCTION))


def first_world(plan: Plan) -> World:
    """Return the world in which a run of this kind begins, both sites as they stand on the day it is needed.

    Before a failback (or reprotect) the side to return to is fenced and still believes that it is primary: the worst
    that a failover can leave behind. Before anything else the side to leave is active and the other stands by; before a
    failover with nothing but its database on, as replicas are that wait for it.
    """
    back = plan.kind in RETURNS
    values: dict[Place, str] = {}
    for site, active in ((plan.from_site, True), (plan.to_site, False)):
        subject = f"system/{plan.system}/{site}"
        values[subject, "role"] = "primary" if active or back else "standby"
        values[subject, "fence"] = "on" if back and not active else "off"
        waits = plan.kind == "failover" and not active
        values |= {(subject, f"power {tier}"): "off" if waits and tier != DATABASE else "on" for tier in TIERS}
    values[f"system/{plan.system}", "traffic"] = plan.from_site
    return World(MappingProxyType(values), frozenset(), MappingProxyType({}))


def _changes(effects: tuple[Effect, ...]) -> dict[Place, str]:
    """Return what the declared effects set, the power of each tier by itself and one traffic for both sites."""
    found: dict[Place, str] = {}
    for subject, what, value in effects:
        if what == "power":
            tier, _, state = value.rpartition("-")
            found |= {(subject, f"power {each}"): state for each in ([tier] if tier else TIERS)}
        elif what == "traffic":
            found[subject.rpartition("/")[0], "traffic"] = value
        else:
            found[subject, what] = value
    return found
