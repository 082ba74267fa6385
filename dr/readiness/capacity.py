"""Is there room where a system stands by: memory on its ESXi hosts, and space on the datastores of its machines. Pure.

Memory is counted over all hosts of the vCenter that work and are not in maintenance, as they measured it themselves;
the largest machine must fit on one of them. What machines that run already take is in what the hosts measure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dr.readiness.known import LIGHTS, Known, Sight
from dr.readiness.lights import CAPACITY, Check, Light, worst
from monitor.status.limits import size
from monitor.status.state import Health

UP = frozenset({Health.OK, Health.DEGRADED})


@dataclass(frozen=True, slots=True)
class Need:
    """Memory in bytes: of the machines that a recovery has to start, of the largest of them, and of all of them."""

    started: float
    largest: float
    every: float


def capacity(known: Known) -> Check:
    """Judge memory and space; the worse of both, each with its sentence."""
    found = (_memory(known), _space(known))
    light = worst(each for each, _ in found)
    said = "; ".join(words for each, words in found if each is light or each is not Light.GREEN)
    return Check(CAPACITY, light, said)


def _memory(known: Known) -> tuple[Light, str]:
    need = _need([known.see(subject) for subject in known.machines])
    if need is None:
        where = f"the machines of {known.key} at {known.standby}"
        return Light.UNKNOWN, f"how much memory {where} need is not known: {known.place.vcenter} was not heard of them"
    hosts = known.inside("esx")
    rooms = [room for host in hosts.values() if (room := _room(host)) is not None]
    free, most = sum(rooms), max(rooms, default=0.0)
    usable = free * (1 - known.inventory.readiness.memory_spare_percent / 100)
    there = f"{size(free)} of memory are free at {known.place.vcenter}"
    if need.every <= usable and need.largest <= most:
        return Light.GREEN, f"{there}, and the machines of {known.key} take {size(need.every)}"
    blind = [subject for subject, host in hosts.items() if _unread(host)]
    if blind or not hosts:
        why = f"{', '.join(blind)} did not say" if blind else "no ESXi host was seen there"
        return Light.UNKNOWN, f"whether the machines of {known.key} have room is not known: {why}"
    if need.started > free:
        said = f"the machines to be started take {size(need.started)}"
        return Light.RED, f"{there}, and {said}: free some, or add a host"
    if need.largest > most:
        said = f"the largest machine takes {size(need.largest)}, and no host has more than {size(most)} free"
        return Light.RED, f"{said}: move machines between the hosts of {known.place.vcenter}"
    started = need.started > usable
    what = "the machines to be started" if started else "a drill's clones"
    takes = f"{what} take {size(need.started if started else need.every)}"
    return Light.AMBER, f"{there}, and {takes}: less than {size(free - usable)} would be left"


def _need(machines: Iterable[Sight]) -> Need | None:
    """Return what the machines need; None while it is not known of all of them."""
    off, every = [0.0], 0.0
    for machine in machines:
        memory, on = machine.values.get("memory_bytes"), machine.values.get("powered_on")
        if machine.health not in UP or memory is None or on is None:
            return None
        every += memory
        if not on:
            off.append(memory)
    return Need(sum(off), max(off), every)


def _room(host: Sight) -> float | None:
    """Return what is free of a host's memory; None where nothing can be started, or where it does not say."""
    if host.health not in UP or host.values.get("maintenance") or _unread(host):
        return None
    return max(0.0, host.values["memory_bytes"] - host.values["memory_used_bytes"])


def _unread(host: Sight) -> bool:
    """Tell whether a host might have room, and does not say."""
    if host.health is Health.UNKNOWN:
        return True
    silent = not {"memory_bytes", "memory_used_bytes"} <= host.values.keys()
    return host.health in UP and silent and not host.values.get("maintenance")


def _named(machine: Sight) -> list[str]:
    """Return the MoRefs of the datastores that a machine is on; none while it is not known."""
    return machine.facts.get("datastores", "").split() if machine.health in UP else []


def _space(known: Known) -> tuple[Light, str]:
    """Judge the datastores that the machines are on, by the vCenter's own limits."""
    named = {subject: _named(known.see(subject)) for subject in known.machines}
    blind = [subject for subject, morefs in named.items() if not morefs]
    wanted = sorted({moref for morefs in named.values() for moref in morefs})
    stores = {sight.facts.get("moref", ""): (subject, sight) for subject, sight in known.inside("datastore").items()}
    found = [stores.get(moref) for moref in wanted]
    lights = [Light.UNKNOWN if one is None else LIGHTS[one[1].health] for one in found]
    light = worst([*lights, *([Light.UNKNOWN] if blind else [])])
    if light is Light.GREEN:
        free = ", ".join(f"{subject} has {sight.facts.get('free', '')} free" for subject, sight in filter(None, found))
        return light, free
    if light is Light.UNKNOWN:
        what = (
            f"on which datastores {blind[0]} is" if blind else f"how full the datastores of {known.place.vcenter} are"
        )
        return light, f"{what}, is not known"
    bad = [one for one, each in zip(found, lights, strict=True) if each is light and one is not None]
    return light, "; ".join(f"{subject}: {sight.reason}" for subject, sight in bad)
