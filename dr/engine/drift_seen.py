"""What runs have set, held against what the monitor observes now. Pure.

What the monitor has not looked at since, or does not look at at all, is unknown, and unknown is not drift.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dr.engine.drift import ACTIVE, AND, FENCE, POWER, Agreement, Compared
from dr.estate.fences import described, unproven
from dr.playbook.foreign import TIERS
from monitor.clients.redfish import OutletGroup, recalled
from monitor.inventory.model import Inventory
from monitor.inventory.systems import System
from monitor.status.reachability import SPLIT_BRAIN

HEARD = frozenset({"ok", "degraded"})
FEW = 3
STEADY = frozenset({"On", "Off"})


@dataclass(frozen=True, slots=True)
class Look:
    """What the monitor holds of a subject: health, detail, facts, values, when it last heard of it (Unix seconds)."""

    health: str
    detail: str
    facts: Mapping[str, str]
    at: float
    values: Mapping[str, float] = field(default_factory=dict)


Sight = Callable[[str], Look | None]


def compared(made: Iterable[Compared], inventory: Inventory, look: Sight) -> list[Compared]:
    """Return what was ``declared``, each held against what is observed; of systems that are gone nothing."""
    made, systems = list(made), inventory.systems
    active = {one.system: one.declared for one in made if one.field == ACTIVE}
    return [
        _observed(one, systems[one.system], inventory, look)
        for one in made
        if one.system in systems and not _left_open(one, systems[one.system], active.get(one.system, ""))
    ]


def _left_open(one: Compared, system: System, active: str) -> bool:
    """Tell whether what a step has started may be off again: replicas (``standby: off``) where the system stands by."""
    place = system.sites.get(one.site)
    started = (one.field, one.declared) == (POWER, "on")
    return started and place is not None and place.standby == "off" and active != one.site


def _observed(one: Compared, system: System, inventory: Inventory, look: Sight) -> Compared:
    match one.field:
        case "active":
            return _active(one, look)
        case "role":
            return _role(one, look)
        case "fence":
            return _fence(one, system, look)
        case "power":
            return _power(one, system, look)
        case "vip":
            return _vip(one, system, look)
        case _:
            return _traffic(one, system, inventory, look)


def _active(one: Compared, look: Sight) -> Compared:
    subject = f"system/{one.system}"
    seen = look(subject)
    if seen is not None and seen.detail == SPLIT_BRAIN and seen.at > one.at:
        return _judged(one, SPLIT_BRAIN, "it was seen to be active at both sites at once")
    if seen is None or seen.health not in HEARD or not seen.detail or seen.at <= one.at:
        return replace(one, why=f"{subject} was not seen to be active at one site since")
    front = f"front/{one.system}/{seen.detail}"
    said = look(front)
    silent = said is None or said.health not in HEARD or said.at <= one.at
    if seen.detail != one.declared and silent:  # that is what it said before it was moved
        return replace(one, why=f"{front}, which had said that it is active, has not been heard since")
    return _judged(one, seen.detail, f"it was seen to be active at {seen.detail}")


def _role(one: Compared, look: Sight) -> Compared:
    subject = f"database/{one.system}/{one.site}"
    seen = look(subject)
    if seen is None or seen.health not in HEARD or "role" not in seen.facts or seen.at <= one.at:
        return replace(one, why=f"{subject} has not said what it is since")
    return _judged(one, seen.facts["role"], f"{subject} says that it is {seen.facts['role']}")


def laid_down(one: Compared, inventory: Inventory, look: Sight) -> tuple[str, ...]:
    """Return what somebody has laid down, where the drift is no more than that: works may be why.

    These are machines that do not run although a step has started them, and a side whose outlets are off although no
    run has fenced it. What runs that should not, another role, another place no works explain.
    """
    system = inventory.systems.get(one.system)
    if system is None:
        return ()
    if (one.field, one.declared) == (POWER, "on"):
        return tuple(_astray(_machines(one, system, look), one))
    if (one.field, one.declared) == (FENCE, "off"):
        return tuple(_fed(one))
    return ()


def _power(one: Compared, system: System, look: Sight) -> Compared:
    """Go by what the vCenter says of each machine."""
    place = system.sites.get(one.site)
    if place is None:
        return replace(one, why=f"the inventory has {one.system} no more at {one.site}")
    states = _machines(one, system, look)
    wrong = _astray(states, one)
    if wrong:
        observed = AND.join(sorted(set(wrong.values())))
        return _judged(one, observed, _few([f"{subject} is {state}" for subject, state in wrong.items()]))
    unseen = [subject for subject, state in states.items() if not state]
    if unseen:
        return replace(one, why=f"the vCenter has not told of {_few(unseen)} since")
    return _judged(one, one.declared, f"vCenter {place.vcenter} says so of each of {len(states)}")


def _machines(one: Compared, system: System, look: Sight) -> dict[str, str]:
    """Return how each machine of the tiers is, as ``_runs`` says."""
    place = system.sites.get(one.site)
    if place is None:
        return {}
    tiers = one.part.split(AND) if one.part else TIERS
    subjects = [f"vm/{place.vcenter}/{name}" for tier in tiers for name in getattr(place.vms, tier)]
    return {subject: _runs(look(subject), one) for subject in subjects}


def _astray(states: Mapping[str, str], one: Compared) -> dict[str, str]:
    return {subject: state for subject, state in states.items() if state not in {"", one.declared}}


def _runs(seen: Look | None, one: Compared) -> str:
    """Say how a machine is; empty where it is not known. One that is "on" at a host that is gone does not run."""
    if seen is None or seen.health == "unknown" or seen.at <= one.at:
        return ""
    if seen.facts.get("missing"):
        return "missing"
    power, connection = seen.facts.get("power", ""), seen.facts.get("connection", "")
    return f"{power}, but {connection}" if power == "on" and connection not in {"", "connected"} else power


def _few(words: Sequence[str]) -> str:
    more = len(words) - FEW
    return AND.join(words[:FEW]) + (f" and {more} more" if more > 0 else "")


def _fence(one: Compared, system: System, look: Sight) -> Compared:
    """Go by the outlets, as the action does that has switched them; what answers has power, whatever they say."""
    name, group = _outlets(one, system, look)
    subjects = _fed(one)
    seen = [(subject, found) for subject in subjects if (found := look(subject)) is not None and found.at > one.at]
    answers = [subject for subject, found in seen if found.health in HEARD]
    said = f"{' and '.join(answers)} answer{'s' if len(answers) == 1 else ''}"
    if one.declared == "on" and answers:
        return _judged(one, "off", said if group is None else f"{said}; {name} reads {described(group)}")
    if group is not None and group.power in STEADY:
        fence = "off" if group.power == "On" else described(group) if unproven(group) else "on"
        return _judged(one, fence, f"{name} reads {described(group)}")
    if one.declared == "off" and answers:
        return _judged(one, "off", said)
    if one.declared == "on" and len(seen) == len(subjects) and all(found.health == "down" for _, found in seen):
        return _judged(one, "on", f"nothing there answers; {name} was not read since")
    return replace(one, why=f"neither {name} was read since, nor did what it feeds answer")


def _fed(one: Compared) -> list[str]:
    """Return what has power while the side is not fenced, and answers."""
    return [f"{kind}/{one.system}/{one.site}" for kind in ("front", "database")]


def _outlets(one: Compared, system: System, look: Sight) -> tuple[str, OutletGroup | None]:
    """Return what the outlet group is called, and what it read since; None where it was not read."""
    place = system.sites.get(one.site)
    if place is None:
        return f"the outlets at {one.site}", None
    controller, name = place.fence.controller, place.fence.outlet_group
    seen = look(f"power/{controller}")
    read = seen is not None and seen.health != "unknown" and seen.at > one.at
    group = recalled(name, seen.facts, seen.values) if seen is not None and read else None
    return f"outlet group {name} of {controller}", group


def _vip(one: Compared, system: System, look: Sight) -> Compared:
    """Go by what the hosts say that may hold the address; the action passes over one that cannot be reached as well."""
    if system.vip is None or one.declared not in system.vip.sites:
        return replace(one, why=f"the inventory has no vip of {one.system} at {one.declared}")
    address, said = (
        system.vip.address,
        {site: _holds(look(f"vip/{one.system}/{site}"), one) for site in system.vip.sites},
    )
    holders = [site for site, holds in said.items() if holds == "yes"]
    if holders and holders != [one.declared]:
        return _judged(one, " and ".join(holders), f"{address} stands at {' and '.join(holders)}")
    silent = [f"vip/{one.system}/{site}" for site, holds in said.items() if not holds]
    if holders:
        more = f", as far as is heard: {_few(silent)} did not say" if silent else " alone"
        return _judged(one, one.declared, f"{address} stands at {one.declared}{more}")
    if said[one.declared] == "no":
        return _judged(
            one, "elsewhere" if silent else "nowhere", f"vip/{one.system}/{one.declared} does not hold {address}"
        )
    return replace(one, why=f"vip/{one.system}/{one.declared} has not said since whether it holds {address}")


def _holds(seen: Look | None, one: Compared) -> str:
    fresh = seen is not None and seen.health in HEARD and seen.at > one.at
    return seen.facts.get("holds", "") if seen is not None and fresh else ""


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
