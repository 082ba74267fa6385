"""Which alarm explains which: one fallen site is one alarm to act on, not sixty."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from monitor.status.alarm import Alarm

NEVER_HELD_BACK = ("system/", "site/", "crossing/")
EXPLAINS = frozenset(
    {"site-down", "vcenter-down", "vm-down", "host-down", "host-untrusted", "crossing-cut-off", "crossing-on-backup"}
    | {"redundancy-lost"}
)


def causes(standing: Iterable[Alarm], depends_on: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """Return, by alarm id, the key of the standing alarm that explains it; nothing for alarms that stand alone.

    Alarms of systems, sites and crossings are never held back: they start recoveries.
    """
    alarms = list(standing)
    explaining: dict[str, str] = {}
    for alarm in alarms:
        if alarm.name in EXPLAINS:
            explaining.setdefault(alarm.subject, alarm.key)
    found: dict[str, str] = {}
    for alarm in alarms:
        if alarm.subject.startswith(NEVER_HELD_BACK):
            continue
        for other in (*depends_on.get(alarm.subject, ()), *_told_by(alarm)):
            if other in explaining:
                found[alarm.id] = explaining[other]
                break
    return found


def _told_by(alarm: Alarm) -> tuple[str, ...]:
    """Return the crossing whose own alarm already says that this link is down."""
    kind, _, rest = alarm.subject.partition("/")
    return (f"crossing/{rest.partition('/')[0]}",) if kind == "link" and alarm.name == "link-down" else ()
