"""The world as the checker sees it: what the declared effects of steps have made of it, truly, whoever knows it.

Two sites of one system. A site *accepts* declarations when its database is primary, its three tiers are on and its
power is not cut (fenced). What an action does beyond its declared effects is outside of this model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from dr.engine.transition import STEP_REFERENCE as POSITION
from dr.loss import ACTION as MEASURES
from dr.playbook.foreign import TIERS
from dr.playbook.model import Plan, PlannedStep

Effect = tuple[str, str, str]
Place = tuple[str, str]  # subject and field
DATABASE = "database"
RETURNS = frozenset({"failback", "reprotect"})
PRODUCTION = frozenset({"role", "fence", "traffic", *(f"power {tier}" for tier in TIERS)})


@dataclass(frozen=True, slots=True)
class World:
    """``values`` by subject and field; ``applied`` are the steps whose effect came about in this run.

    ``arrived`` are the sites that have everything which the other side took, None: it is not kept (the lab's truth).
    ``asked`` are steps that later ones take a position from; ``late`` those of them that ended when the side to leave
    took nothing more. ``early`` are those that measured a loss while the other side still took something.
    """

    values: Mapping[Place, str]
    applied: frozenset[str]
    before: Mapping[str, Mapping[Place, str]]
    arrived: frozenset[str] | None = None
    asked: frozenset[str] = frozenset()
    late: frozenset[str] = frozenset()
    early: frozenset[str] = frozenset()
    key: str = field(init=False)

    def __post_init__(self) -> None:
        """Work out, once, what tells this world from others."""
        undo = sorted((step, sorted(was.items())) for step, was in self.before.items())
        known = [sorted(found or ()) for found in (self.arrived, self.late, self.early)]
        object.__setattr__(self, "key", repr((sorted(self.values.items()), sorted(self.applied), undo, known)))

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

    def writes(self, system: str, site: str) -> bool:
        """Tell whether the site's database takes anything, from whomever."""
        on = self.value(system, site, "power database") == "on" and self.value(system, site, "fence") != "on"
        return on and self.value(system, site, "role") == "primary"

    def holds(self, step: PlannedStep) -> bool:
        """Tell whether every declared effect of the step is true."""
        return all(self.values.get(place) == value for place, value in _changes(step.effects).items())

    def apply(self, step: PlannedStep) -> World:
        """Return the world after the step's effects."""
        changes = _changes(step.effects)
        before = dict(self.before)
        if step.undoable and step.id not in before:
            before[step.id] = {place: self.values.get(place, "") for place in changes}
        values = MappingProxyType({**self.values, **changes})
        return replace(self, values=values, applied=self.applied | {step.id}, before=MappingProxyType(before))

    def undo(self, step: PlannedStep) -> World:
        """Return the world with the step's effects taken back."""
        values = {**self.values, **self.before.get(step.id, {})}
        before = {name: was for name, was in self.before.items() if name != step.id}
        applied, kept = self.applied - {step.id}, MappingProxyType(before)
        return replace(self, values=MappingProxyType(values), applied=applied, before=kept)

    def ended(self, step: PlannedStep, plan: Plan) -> World:
        """Return what is known to have arrived, or to have been asked too early, after the step has succeeded."""
        if self.arrived is None:
            return self
        other = plan.to_site if step.site == plan.from_site else plan.from_site
        sides = ((plan.from_site, plan.to_site), (plan.to_site, plan.from_site))
        arrived = self.arrived - {site for site, peer in sides if self.writes(plan.system, peer)}
        quiet = not self.writes(plan.system, plan.from_site)
        late = self.late | ({step.id} & self.asked) if quiet else frozenset[str]()
        early = self.early
        if step.waits_for_arrival and not self.writes(plan.system, other):
            position = POSITION.fullmatch(str(step.args.get("position")))
            arrived |= {step.site} if position is None or position[1] in late else set()
        if step.action == MEASURES:
            early = early - {step.id} if not self.writes(plan.system, other) else early | {step.id}
        if (arrived, late, early) == (self.arrived, self.late, self.early):
            return self
        return replace(self, arrived=arrived, late=late, early=early)

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
    return World(MappingProxyType(values), frozenset(), MappingProxyType({}), frozenset(), positions(plan))


def positions(plan: Plan) -> frozenset[str]:
    """Return the steps from which others take the position that they wait for."""
    found = (POSITION.fullmatch(str(step.args.get("position"))) for step in plan.steps)
    return frozenset(match[1] for match in found if match)


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
