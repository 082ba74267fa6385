"""What the overview says, in the order in which a person needs it: decisions, causes, systems, the rest. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from dr.engine.telling import questions
from dr.journal.run import Run, RunState
from monitor.inventory.crossings import Crossing
from monitor.inventory.equipment import Site
from monitor.inventory.model import Inventory
from monitor.inventory.sensors import Sensor, Vote
from monitor.inventory.systems import System
from monitor.status.alarm import Alarm
from monitor.status.state import Health, Status

LINK_WORDS = {"primary": "primary link", "backup": "reserve link"}
CROSSING_WORDS = {"router": "router", "path": "path of replies"}
VCENTER_WORDS = {"vm": "VM", "esx": "ESXi host", "datastore": "datastore"}
WORST_FIRST = (Health.DOWN, Health.UNKNOWN, Health.DEGRADED, Health.OK)


@dataclass(frozen=True, slots=True)
class AlarmGroup:
    """An alarm to act on, and those that come of it."""

    alarm: Alarm
    explained: tuple[Alarm, ...]


def waiting_first(runs: Iterable[Run], now: float) -> list[Run]:
    """Return the runs that wait for a person, the one with the least time left to its objective first."""
    found = [run for run in runs if run.state in {RunState.WAITING, RunState.PAUSED} or questions(run)]
    return sorted(found, key=lambda run: (time_left_s(run, now), run.accepted_at, run.id))


def time_left_s(run: Run, now: float) -> float:
    """Return the seconds until the run's recovery time objective is missed; infinite when no service is lost."""
    return run.service_lost_at + run.plan.rto_s - now if run.service_lost_at else float("inf")


def groups(alarms: Sequence[Alarm]) -> list[AlarmGroup]:
    """Fold each alarm under the standing alarm that explains it in the end; critical ones first, then the oldest."""
    by_key = {alarm.key: alarm for alarm in alarms}
    explained: dict[str, list[Alarm]] = {}
    roots = []
    for alarm in alarms:
        root = _root(alarm, by_key)
        if root is alarm:
            roots.append(alarm)
        else:
            explained.setdefault(root.id, []).append(alarm)
    roots.sort(key=_urgency)
    return [AlarmGroup(alarm, tuple(sorted(explained.get(alarm.id, ()), key=_urgency))) for alarm in roots]


def _root(alarm: Alarm, by_key: Mapping[str, Alarm]) -> Alarm:
    seen = [alarm]
    while (cause := by_key.get(seen[-1].cause)) is not None:
        if cause in seen:
            return alarm  # a circle explains nothing: show every alarm of it
        seen.append(cause)
    return seen[-1]


def _urgency(alarm: Alarm) -> tuple[bool, float, str]:
    return (alarm.severity != "critical", alarm.since, alarm.key)


def headline(systems: Collection[Status]) -> str:
    """Say in one sentence how the key systems are."""
    words = {
        Health.DOWN: "down",
        Health.UNKNOWN: "in an unknown state",
        Health.DEGRADED: "in service with something amiss",
        Health.OK: "in service",
    }
    counts = {health: sum(status.health is health for status in systems) for health in WORST_FIRST}
    said = [f"{count} {words[health]}" for health, count in counts.items() if count]
    if len(said) == 1:
        return f"All {said[0].replace(' ', ' key systems are ', 1)}"
    return f"Of {len(systems)} key systems: {', '.join(said)}"


def worst_first(keys: Iterable[str], statuses: Mapping[str, Status], kind: str) -> list[str]:
    """Return the keys with those in trouble first, otherwise in their order."""
    return sorted(keys, key=lambda key: WORST_FIRST.index(statuses[f"{kind}/{key}"].health))


def doubtful(status: Status, now: float, stale_after_s: float) -> bool:
    """Tell whether it must be said when a subject was last seen: it is UNKNOWN, or on half its way to be (or ahead)."""
    return status.health is Health.UNKNOWN or status.seen_at is None or abs(now - status.seen_at) > stale_after_s / 2


def by_cause(away: Mapping[str, str]) -> dict[str, list[str]]:
    """Return keys by the alarm that explains each, in their order."""
    found: dict[str, list[str]] = {}
    for key, cause in away.items():
        found.setdefault(cause, []).append(key)
    return found


def subject_name(inventory: Inventory, subject: str) -> str:
    """Return a subject as people call it: ``NCTS``, ``Tabanovce, reserve link``; the key where it has no name."""
    kind, _, key = subject.partition("/")
    first, _, rest = key.partition("/")
    name = key
    if kind == "link" and first in inventory.crossings:
        name = f"{inventory.crossings[first].name}, {LINK_WORDS.get(rest, rest)}"
    elif kind in CROSSING_WORDS and first in inventory.crossings:
        name = f"{inventory.crossings[first].name}, {CROSSING_WORDS[kind]}"
    elif kind in {"front", "database"} and first in inventory.systems:
        name = f"{inventory.systems[first].name} {kind} at {rest}"
    elif kind == "vip" and first in inventory.systems:
        name = f"{inventory.systems[first].name} VIP at {rest}"
    elif kind in VCENTER_WORDS:
        name = f"{VCENTER_WORDS[kind]} {rest} in {first}"
    else:
        named: Mapping[str, Mapping[str, System | Site | Crossing | Sensor | Vote]] = {
            "system": inventory.systems,
            "site": inventory.sites,
            "crossing": inventory.crossings,
            "sensor": inventory.sensors,
            "vote": inventory.votes,
        }
        entry = named.get(kind, {}).get(key)
        name = entry.name if entry is not None else key
    return name
