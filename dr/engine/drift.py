"""Drift: what runs have made so, by their journal, against what the monitor observes now. Pure.

Of each thing that a step can set (a side's role and fence, where the service's name leads) the newest step that
succeeded counts, of whichever run; from the promotions follows where the system is active. What the monitor has not
looked at since, or does not look at at all, is unknown, and unknown is not drift. What an address that wanders (a VIP)
or a power controller's outlets say the monitor does not ask; a fenced side that answers contradicts its fence all the
same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from dr.journal.run import Run, StepState
from monitor.inventory.model import Inventory
from monitor.inventory.systems import System

ACTIVE, ROLE, FENCE, TRAFFIC = "active", "role", "fence", "traffic"
COMPARED = frozenset({ROLE, FENCE, TRAFFIC})
HEARD = frozenset({"ok", "degraded"})


class Agreement(StrEnum):
    """Whether what is observed is what was declared."""

    AGREES = "agrees"
    DRIFT = "drift"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Look:
    """What the monitor holds of a subject: health, detail, facts, and when it last heard of it (Unix seconds)."""

    health: str
    detail: str
    facts: Mapping[str, str]
    at: float


Sight = Callable[[str], Look | None]


@dataclass(frozen=True, slots=True)
class Compared:
    """One thing that a step has set: ``field`` of the system at ``site`` is ``declared``, since ``at`` (Unix seconds).

    ``observed`` is empty where the agreement is unknown; ``why`` says what was looked at, or why nothing was seen.
    """

    system: str
    site: str
    field: str
    declared: str
    run: str
    step: str
    at: float
    observed: str = ""
    agreement: Agreement = Agreement.UNKNOWN
    why: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """Return what is compared, whatever its value."""
        return self.system, self.site if self.field in {ROLE, FENCE} else "", self.field

    def sentence(self) -> str:
        """Say in what way the world is not as declared."""
        what = {
            ACTIVE: f"{self.system} belongs at {self.declared}",
            TRAFFIC: f"the name of {self.system} leads to {self.declared}",
            ROLE: f"{self.system} at {self.site} is {self.declared}",
            FENCE: f"the fence of {self.system} at {self.site} is {self.declared}",
        }[self.field]
        return f"{what} by step '{self.step}' of {self.run}, and {self.why}"


def compared(made: Iterable[Compared], inventory: Inventory, look: Sight) -> list[Compared]:
    """Return what was ``declared``, each held against what is observed; of systems that are gone nothing."""
    systems = inventory.systems
    return [_observed(one, systems[one.system], inventory, look) for one in made if one.system in systems]


def declared(system: str, runs: Iterable[Run]) -> list[Compared]:
    """Return what steps have set of the system and no later one has set anew.

    Where the newest attempt is under way, has failed, is not known or was taken back, nothing is declared any more.
    """
    newest: dict[tuple[str, str, str], tuple[float, Compared | None]] = {}
    for run in runs:
        for record in run.steps.values() if run.system == system else ():
            if record.started_at is None:
                continue
            at = record.started_at if record.ended_at is None else record.ended_at
            holds = record.state is StepState.SUCCEEDED
            for subject, field, value in record.plan.effects:
                site = subject.removeprefix(f"system/{system}/")
                if field not in COMPARED or site == subject:
                    continue
                made = Compared(system, site, field, value, run.id, record.plan.id, at)
                for one in (made, *([replace(made, field=ACTIVE, declared=site)] if record.plan.promotes else [])):
                    if one.key not in newest or at >= newest[one.key][0]:
                        newest[one.key] = at, one if holds else None
    return sorted((one for _, one in newest.values() if one is not None), key=lambda one: (one.field, one.site))


def _observed(one: Compared, system: System, inventory: Inventory, look: Sight) -> Compared:
    match one.field:
        case "active":
            return _active(one, look)
        case "role":
            return _role(one, look)
        case "fence":
            return _fence(one, look)
        case _:
            return _traffic(one, system, inventory, look)


def _active(one: Compared, look: Sight) -> Compared:
    subject = f"system/{one.system}"
    seen = look(subject)
    if seen is None or seen.health not in HEARD or not seen.detail or seen.at <= one.at:
        return replace(one, why=f"{subject} was not seen to be active anywhere since")
    return _judged(one, seen.detail, f"it was seen to be active at {seen.detail}")


def _role(one: Compared, look: Sight) -> Compared:
    subject = f"database/{one.system}/{one.site}"
    seen = look(subject)
    if seen is None or seen.health not in HEARD or "role" not in seen.facts or seen.at <= one.at:
        return replace(one, why=f"{subject} has not said what it is since")
    return _judged(one, seen.facts["role"], f"{subject} says that it is {seen.facts['role']}")


def _fence(one: Compared, look: Sight) -> Compared:
    """Go by whether the side answers: then it has power; while it is silent it may have none."""
    subjects = [f"{kind}/{one.system}/{one.site}" for kind in ("front", "database")]
    seen = [(subject, found) for subject in subjects if (found := look(subject)) is not None and found.at > one.at]
    if answers := [subject for subject, found in seen if found.health in HEARD]:
        return _judged(one, "off", f"{' and '.join(answers)} answer{'s' if len(answers) == 1 else ''}")
    if one.declared == "on" and len(seen) == len(subjects) and all(found.health == "down" for _, found in seen):
        return _judged(one, "on", "nothing there answers; the outlets themselves are not read")
    return replace(one, why=f"what is fenced at {one.site} was not seen since")


def _traffic(one: Compared, system: System, inventory: Inventory, look: Sight) -> Compared:
    """Go by the checks that ask a name server for the service's name."""
    deployment, name = system.sites.get(one.site), system.service.fqdn.lower()
    keys = [
        key
        for key, check in inventory.checks.items()
        if check.probe == "dns" and check.record == "A" and check.name.rstrip(".").lower() == name
    ]
    looks = [(f"check/{key}", look(f"check/{key}")) for key in keys]
    asked = [
        (subject, found.facts["records"])
        for subject, found in looks
        if found is not None and found.health in HEARD and found.at > one.at and "records" in found.facts
    ]
    if deployment is None or not asked:
        return replace(one, why=f"no check (kind dns) has told since where {system.service.fqdn} leads")
    elsewhere = [(subject, records) for subject, records in asked if records != deployment.front.address]
    subject, records = (elsewhere or asked)[0]
    sites = {entry.front.address: site for site, entry in system.sites.items()}
    return _judged(one, sites.get(records, records), f"{subject} finds that it leads to {records}")


def _judged(one: Compared, observed: str, why: str) -> Compared:
    agreement = Agreement.AGREES if observed == one.declared else Agreement.DRIFT
    return replace(one, observed=observed, agreement=agreement, why=why)
