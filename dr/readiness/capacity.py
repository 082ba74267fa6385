"""Is there room where a system stands by: memory on its ESXi hosts, and space on the datastores of its machines. Pure.

A machine is started where it is placed: on some host of its cluster, or on its own host where there is no cluster, or
one without DRS. So memory is counted for each such place by itself, over the hosts of it that work and are not in
maintenance, as they measured it themselves, and machines must find room host by host. What machines that run already
take is in what the hosts measure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dr.readiness.known import LIGHTS, Known, Sight
from dr.readiness.lights import CAPACITY, Check, Light, worst
from dr.readiness.spare import Room, lacking
from monitor.inventory.recovery import ReadinessLimits
from monitor.status.limits import size
from monitor.status.state import Health

UP = frozenset({Health.OK, Health.DEGRADED})


@dataclass(frozen=True, slots=True)
class Place:
    """Hosts among which machines are started; ``blind`` are those that might have room and do not say.

    ``unheard`` are machines of its vCenter of which nobody knows where they run, or how large they are.
    """

    name: str
    rooms: tuple[Room, ...]
    blind: tuple[str, ...]
    unheard: tuple[str, ...]

    @property
    def free(self) -> tuple[float, ...]:
        """What is free of each host's memory, in bytes."""
        return tuple(room.free for room in self.rooms)


@dataclass(frozen=True, slots=True)
class _Others:
    """Every machine of a vCenter: the memory of those that run, by host, and those of which that is not known."""

    runs: Mapping[str, Sequence[float]] = field(default_factory=dict)
    unheard: tuple[str, ...] = ()

    @classmethod
    def of(cls, known: Known) -> _Others:
        runs: dict[str, list[float]] = {}
        unheard = []
        for subject, machine in known.inside("vm").items():
            memory, on = machine.values.get("memory_bytes"), machine.values.get("powered_on")
            if memory is None or on is None:
                unheard.append(subject)
            elif on:
                runs.setdefault(f"esx/{known.place.vcenter}/{machine.facts.get('host', '')}", []).append(memory)
        return cls(runs, tuple(unheard))


@dataclass(frozen=True, slots=True)
class Need:
    """Memory in bytes of each machine that a recovery has to start in a place, and of all of them."""

    started: tuple[float, ...]
    every: float


def capacity(known: Known) -> Check:
    """Judge memory and space; the worse of both, each with its sentence."""
    found = (_memory(known), _space(known))
    light = worst(each for each, _ in found)
    said = "; ".join(words for each, words in found if each is light or each is not Light.GREEN)
    return Check(CAPACITY, light, said)


def _memory(known: Known) -> tuple[Light, str]:
    """Judge each place in which machines are; the worst of them, with its sentence."""
    machines = {subject: known.see(subject) for subject in known.machines}
    if any(_memory_of(machine) is None for machine in machines.values()):
        where = f"the machines of {known.key} at {known.standby}"
        return Light.UNKNOWN, f"how much memory {where} need is not known: {known.place.vcenter} was not heard of them"
    hosts = known.inside("esx")
    placed: dict[str, list[Sight]] = {}
    for subject, machine in machines.items():
        host = f"esx/{known.place.vcenter}/{machine.facts.get('host', '')}"
        place = hosts[host].facts.get("placement", "") if host in hosts else ""
        if not place:
            why = f"in which cluster {host} is" if host in hosts else f"on which host {subject} is"
            return Light.UNKNOWN, f"whether the machines of {known.key} have room is not known: {why} was not told"
        placed.setdefault(place, []).append(machine)
    vcenter = known.place.vcenter
    others = _Others.of(known) if known.inventory.readiness.spare_hosts else _Others()
    found = [_judged(known, _place(key, vcenter, hosts, others), _need(here)) for key, here in sorted(placed.items())]
    light = worst(each for each, _ in found)
    return light, "; ".join(words for each, words in found if each is light)


def _judged(known: Known, place: Place, need: Need) -> tuple[Light, str]:
    """Judge one place; what would have to be known of hosts that do not say is unknown, unless there is room anyway."""
    light, said = _short(place, need, known.inventory.readiness)
    if light is not Light.GREEN and place.blind:
        why = f"{', '.join(place.blind)} did not say"
        return Light.UNKNOWN, f"whether the machines of {known.key} have room is not known: {why}"
    if light is Light.GREEN and place.unheard:
        why = f"where {place.unheard[0]} runs, or how large it is, was not told"
        return Light.UNKNOWN, f"whether a host may be lost in {place.name} is not known: {why}"
    there = f"{size(sum(place.free))} of memory are free in {place.name}"
    if light is Light.GREEN:
        return light, f"{there}, and the machines of {known.key} take {size(need.every)}"
    return light, f"{there}, and {said}"


def _short(place: Place, need: Need, limits: ReadinessLimits) -> tuple[Light, str]:
    """Say what there is no room for, the worst first."""
    free, most, started = sum(place.free), max(place.free, default=0.0), sum(need.started)
    takes = f"the machines to be started take {size(started)}"
    if started > free:
        return Light.RED, f"{takes}: free some, or add a host"
    if (largest := max(need.started, default=0.0)) > most:
        said = f"the largest machine takes {size(largest)}, while no host has more than {size(most)} free"
        return Light.RED, f"{said}: move machines between the hosts"
    if not _fits(need.started, place.free):
        return Light.AMBER, f"{takes}, and do not all find room host by host: move machines between the hosts"
    if limits.spare_hosts and (said := _without(place, need, limits.spare_hosts)):
        return Light.AMBER, f"{takes}: {said}" if need.started else said
    usable = free * (1 - limits.memory_spare_percent / 100)
    if need.every > usable:
        if started <= usable:
            takes = f"a drill's clones take {size(need.every)}"
        return Light.AMBER, f"{takes}: less than {size(free - usable)} would be left"
    return Light.GREEN, ""


def _without(place: Place, need: Need, spare: int) -> str:
    """Say what there is no room for when so many hosts are lost; empty where the others can take it."""
    lack = lacking(need.started, place.rooms, spare)
    if lack is None:
        return ""
    left = sum(place.free) - sum(room.whole for room in place.rooms if room.host in lack.hosts)
    names = " and ".join(lack.hosts)
    if left < 0:
        return f"without {names} what runs there finds no room on other hosts"
    if sum(need.started) > left:
        return f"without {names} there would be {size(left)}"
    whose = f"a machine of {size(lack.bytes)} that is started or runs there"
    return f"without {names} {whose} finds no room, while no other host has more than {size(lack.most)} free"


def _fits(machines: Sequence[float], rooms: Sequence[float]) -> bool:
    """Tell whether each machine finds room on one host: the largest first, each where the most is free."""
    left = sorted(rooms)
    for memory in sorted(machines, reverse=True):
        if not left or left[-1] < memory:
            return False
        left[-1] -= memory
        left.sort()
    return True


def _memory_of(machine: Sight) -> float | None:
    """Return what a machine takes; None while that, or whether it runs, is not known."""
    known = machine.health in UP and "powered_on" in machine.values
    return machine.values.get("memory_bytes") if known else None


def _need(machines: Sequence[Sight]) -> Need:
    started = tuple(one.values["memory_bytes"] for one in machines if not one.values["powered_on"])
    return Need(started, sum(one.values["memory_bytes"] for one in machines))


def _place(key: str, vcenter: str, hosts: Mapping[str, Sight], others: _Others) -> Place:
    """Return the place of that MoRef. A host of which nobody knows where it belongs might be in it."""
    inside = {subject: host for subject, host in hosts.items() if host.facts.get("placement") == key}
    alone = next((subject for subject, host in inside.items() if host.facts.get("moref") == key), "")
    cluster = next((name for host in inside.values() if (name := host.facts.get("cluster", ""))), key)
    free = {subject: room for subject, host in inside.items() if (room := _room(host)) is not None}
    return Place(
        alone or f"cluster {cluster} of {vcenter}",
        tuple(_with_runs(subject, room, inside[subject], others) for subject, room in free.items()),
        tuple(subject for subject, host in hosts.items() if _hides_room(host, key)),
        others.unheard,
    )


def _with_runs(subject: str, free: float, host: Sight, others: _Others) -> Room:
    """Return the room of a host; what it uses beyond its machines counts as one more, which the others take over."""
    runs = tuple(others.runs.get(subject, ()))
    beyond = host.values["memory_used_bytes"] - sum(runs)
    return Room(subject, free, host.values["memory_bytes"], (*runs, beyond) if beyond > 0 else runs)


def _room(host: Sight) -> float | None:
    """Return what is free of a host's memory; None where nothing can be started, or where it does not say."""
    if host.health not in UP or host.values.get("maintenance") or _unread(host):
        return None
    return max(0.0, host.values["memory_bytes"] - host.values["memory_used_bytes"])


def _hides_room(host: Sight, key: str) -> bool:
    """Tell whether a host might have room in a place, and does not say how much, or that it belongs there."""
    if "placement" in host.facts:
        return host.facts["placement"] == key and _unread(host)
    return host.health is Health.UNKNOWN or (host.health in UP and not host.values.get("maintenance"))


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
