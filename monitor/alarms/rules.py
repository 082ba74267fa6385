"""Which status asks for which alarm.

What is UNKNOWN proves nothing: alarms that stand are kept until the subject is known to be better.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from monitor.status.crossings import CUT_OFF, DEGRADED, ON_BACKUP, REDUNDANCY_LOST
from monitor.status.evaluate import UNTRUSTED
from monitor.status.reachability import SPLIT_BRAIN
from monitor.status.sensor import LOW_BATTERY, ON_BATTERY, SENSOR_FAULT
from monitor.status.state import Health

if TYPE_CHECKING:
    from collections.abc import Mapping

    from monitor.status.alarm import Severity
    from monitor.status.state import Status

NOT_KNOWN = "unknown"
FLAPPING = "flapping"
OF_NOTHING_KNOWN = (NOT_KNOWN, FLAPPING, "sensor-fault")  # these speak of what is not known, and do not outlast it
OF_AGREEMENTS = ("sla-at-risk", "sla-breached")  # of a month, not of a status: ``monitor.sla.risk`` asks for them
PARTS_TELL = ("crossing", "site", "group", "vote")  # their parts alarm when they are not known; one alarm is enough


@dataclass(frozen=True, slots=True)
class Call:
    """An alarm that a status asks for."""

    name: str
    severity: Severity


# kind of subject -> (health, detail) -> alarm; the empty detail stands for every other one
RULES: Mapping[str, Mapping[tuple[Health, str], Call]] = {
    "system": {
        (Health.DOWN, SPLIT_BRAIN): Call("split-brain", "critical"),
        (Health.DOWN, ""): Call("system-down", "critical"),
        (Health.DEGRADED, ""): Call("system-degraded", "warning"),
    },
    "site": {(Health.DOWN, ""): Call("site-down", "critical")},
    "crossing": {
        (Health.DOWN, CUT_OFF): Call("crossing-cut-off", "critical"),
        (Health.DEGRADED, ON_BACKUP): Call("crossing-on-backup", "warning"),
        (Health.DEGRADED, REDUNDANCY_LOST): Call("redundancy-lost", "warning"),
        (Health.DEGRADED, DEGRADED): Call("crossing-degraded", "warning"),
    },
    "link": {
        (Health.DOWN, ""): Call("link-down", "warning"),
        (Health.DEGRADED, ""): Call("link-degraded", "warning"),
    },
    "router": {(Health.DOWN, ""): Call("router-down", "warning")},
    "path": {(Health.DOWN, ""): Call("path-down", "warning")},
    "vcenter": {
        (Health.DOWN, ""): Call("vcenter-down", "critical"),
        (Health.DEGRADED, ""): Call("vcenter-degraded", "warning"),
    },
    "vm": {(Health.DOWN, ""): Call("vm-down", "warning"), (Health.DEGRADED, ""): Call("vm-degraded", "warning")},
    "esx": {(Health.DOWN, ""): Call("esx-down", "critical"), (Health.DEGRADED, ""): Call("esx-degraded", "warning")},
    "datastore": {
        (Health.DOWN, ""): Call("datastore-alarm", "critical"),
        (Health.DEGRADED, ""): Call("datastore-warning", "warning"),
    },
    "host": {
        (Health.DOWN, UNTRUSTED): Call("host-untrusted", "critical"),
        (Health.DOWN, ""): Call("host-down", "warning"),
    },
    "database": {(Health.DOWN, ""): Call("database-down", "critical")},
    "vip": {(Health.DOWN, ""): Call("vip-down", "warning")},
    "front": {(Health.DOWN, ""): Call("front-down", "critical")},
    "sensor": {
        (Health.DOWN, LOW_BATTERY): Call("ups-low-battery", "critical"),
        (Health.DOWN, ""): Call("sensor-alarm", "critical"),
        (Health.DEGRADED, ON_BATTERY): Call("ups-on-battery", "warning"),
        (Health.DEGRADED, ""): Call("sensor-warning", "warning"),
        (Health.UNKNOWN, SENSOR_FAULT): Call("sensor-fault", "warning"),
    },
    "vote": {(Health.DOWN, ""): Call("danger-confirmed", "critical")},
    "check": {
        (Health.DOWN, ""): Call("check-down", "warning"),
        (Health.DEGRADED, ""): Call("check-degraded", "warning"),
    },
    "dns": {(Health.DOWN, ""): Call("dns-down", "critical")},
    "power": {(Health.DOWN, ""): Call("power-controller-down", "critical")},
    "anchor": {(Health.DOWN, ""): Call("anchor-down", "warning")},
    "vantage": {(Health.DOWN, ""): Call("vantage-down", "warning")},
    "group": {
        (Health.DOWN, ""): Call("group-down", "critical"),
        (Health.DEGRADED, REDUNDANCY_LOST): Call("redundancy-lost", "warning"),
    },
}


def called_for(status: Status, now: float, unknown_after_s: float) -> Call | None:
    """Return the alarm that ``status`` asks for at ``now``."""
    kind = status.subject.partition("/")[0]
    rules = RULES.get(kind, {})
    call = rules.get((status.health, status.detail)) or rules.get((status.health, ""))
    if call is None and status.health is Health.UNKNOWN and kind not in PARTS_TELL:
        return Call(NOT_KNOWN, "warning") if now - status.since >= unknown_after_s else None
    return call


def keeps(status: Status, name: str) -> bool:
    """Return whether a standing alarm ``name``, which is not asked for any more, stands on because nothing is known."""
    return status.health is Health.UNKNOWN and name not in OF_NOTHING_KNOWN


def flapping(subject: str) -> Call:
    """Return the alarm of a subject that flaps: as severe as the worst that it could say while it does."""
    rules = RULES.get(subject.partition("/")[0], {})
    return Call(FLAPPING, "critical" if any(call.severity == "critical" for call in rules.values()) else "warning")
