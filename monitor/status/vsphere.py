"""What a vCenter's observations say of health: the limits of the inventory, and what the vCenter itself finds wrong.

An observation brings measures and, as the fact ``findings``, what is wrong without any limit of ours (a red alarm that
nobody has acknowledged, a rule that finds too few VMs). Either makes what works DEGRADED; a datastore that is nearly
full is DOWN, as a sensor is at its alarm limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.inventory.vcenters import VcenterLimits
from monitor.status.hysteresis import Judgement
from monitor.status.state import Health

if TYPE_CHECKING:
    from monitor.inventory.model import Inventory
    from monitor.probe import Observation

DAY_S = 86400.0
HOUR_S = 3600.0
GIB = 2.0**30


def vcenter(observation: Observation) -> Judgement:
    """Judge a vCenter, or an ESXi host, that answers."""
    return _with(observation, [])


def vm(observation: Observation, name: str, inventory: Inventory) -> Judgement:
    """Judge a VM that is sound by its snapshots: how old the oldest is, how much they take."""
    limits = _limits(name, inventory)
    found = []
    oldest_at = observation.values.get("snapshot_oldest_at")
    if oldest_at is not None and observation.at - oldest_at > limits.snapshot_age_s:
        age = _span(observation.at - oldest_at)
        found.append(f"a snapshot is {age} old, longer than the {_span(limits.snapshot_age_s)} that are allowed")
    size_gib = observation.values.get("snapshot_bytes", 0.0) / GIB
    if size_gib > limits.snapshot_gib:
        found.append(f"its snapshots take {size_gib:.1f} GiB, more than the {limits.snapshot_gib:g} GiB allowed")
    return _with(observation, found)


def datastore(observation: Observation, name: str, inventory: Inventory) -> Judgement:
    """Judge a datastore that can be reached by what is free of it."""
    limits = _limits(name, inventory)
    capacity, free = observation.values.get("capacity_bytes", 0.0), observation.values.get("free_bytes", 0.0)
    if capacity <= 0:
        return Judgement(Health.UNKNOWN, "the vCenter does not say how large or full it is")
    if name.partition("/")[2] in limits.datastores_that_may_fill:
        return _with(observation, [])
    percent = 100 * free / capacity
    for health, word, limit in (
        (Health.DOWN, "alarm", limits.datastore_alarm_free_percent),
        (Health.DEGRADED, "warning", limits.datastore_warn_free_percent),
    ):
        if percent < limit:
            reason = f"{percent:.1f} % free ({free / GIB:.1f} GiB), below the {word} limit of {limit:g} %"
            return Judgement(health, "; ".join([reason, *_findings(observation)]), "below")
    return _with(observation, [])


def _limits(name: str, inventory: Inventory) -> VcenterLimits:
    entry = inventory.vcenters.get(name.partition("/")[0])
    return VcenterLimits() if entry is None else entry.limits


def _findings(observation: Observation) -> list[str]:
    findings = observation.facts.get("findings", "")
    return [findings] if findings else []


def _with(observation: Observation, found: list[str]) -> Judgement:
    every = [*found, *_findings(observation)]
    return Judgement(Health.DEGRADED, "; ".join(every)) if every else Judgement(Health.OK)


def _span(seconds: float) -> str:
    return f"{seconds / DAY_S:.1f} d" if seconds >= DAY_S else f"{seconds / HOUR_S:.1f} h"
