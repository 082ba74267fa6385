"""Which faults are in force.

What each one does is decided where the truth is asked (``scenario.py`` and the servers) or changed (``injuries.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Parameter = str | int | float | bool

KINDS: Mapping[str, str] = {
    # name: what the target is
    "cut-site": "site",
    "cut-monitor": "monitor",
    "cut-replication": "system",
    "cut-link": "link",
    "delay-link": "link",
    "lose-link": "link",
    "move-traffic": "router",
    "set-sensor": "sensor",
    "stick-sensor": "sensor",
    "fault-sensor": "sensor",
    "garble-snmp": "sensor",
    "corrupt-backup": "system",
    "hang-vcenter": "vcenter",
    "slow-vcenter": "vcenter",
    "expire-sessions": "vcenter",
    "vanish-vm": "vm",
    "orphan-vm": "vm",
    "old-snapshot": "vm",
    "fill-datastore": "datastore",
    "acknowledge-alarms": "vcenter",
    "fail-task": "vcenter",
    "lie-reconfigure": "vcenter",
    "fail-tags": "vcenter",
    "untag-vm": "vm",
    "hang-host": "host",
    "slow-host": "host",
    "change-host-key": "host",
    "lie": "host",
    "fill-disk": "host",
    "skew-clock": "host",
    "skew-time": "site",
    "hang-front": "front",
    "slow-front": "front",
    "refuse-logins": "front",
    "stop-database": "front",
    "hang-dns": "dns",
    "hang-power": "power",
    "stuck-fence": "outlet",
    "stop-traffic": "system",
    "hang-observer": "observer",
    "lie-observer": "observer",
}
# These happen once and are not in force afterwards.
ONCE = frozenset({"corrupt-backup", "expire-sessions"})
NEEDED: Mapping[str, str] = {
    "delay-link": "ms",
    "lose-link": "percent",
    "set-sensor": "value",
    "slow-vcenter": "seconds",
    "old-snapshot": "days",
    "fill-datastore": "free_percent",
    "slow-host": "seconds",
    "slow-front": "seconds",
    "lie": "command",
    "fill-disk": "percent",
    "skew-clock": "seconds",
    "skew-time": "seconds",
    "lie-observer": "word",
}
TEXTS = frozenset({"command", "word"})


class FaultError(ValueError):
    """A fault that cannot be: unknown name or target, or a parameter missing. The text is for the person."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault in force: ``name`` on ``target`` since Unix time ``at``."""

    name: str
    target: str
    parameters: Mapping[str, Parameter]
    at: float

    def number(self, parameter: str) -> float:
        """Return a numeric parameter, which was checked when the fault was injected."""
        return float(self.parameters[parameter])

    def text(self, parameter: str) -> str:
        """Return a parameter as text."""
        return str(self.parameters[parameter])


class Faults:
    """The faults in force, by name and target."""

    def __init__(self) -> None:
        """Start with none."""
        self._active: dict[tuple[str, str], Fault] = {}

    def get(self, name: str, target: str) -> Fault | None:
        """Return the fault ``name`` on ``target`` if it is in force."""
        return self._active.get((name, target))

    def active(self, name: str, target: str) -> bool:
        """Tell whether ``name`` on ``target`` is in force."""
        return (name, target) in self._active

    def all(self) -> tuple[Fault, ...]:
        """Return all faults in force, oldest first."""
        return tuple(self._active.values())

    def put(self, fault: Fault) -> bool:
        """Put ``fault`` in force; False when exactly that was in force already."""
        before = self._active.get((fault.name, fault.target))
        if before is not None and before.parameters == fault.parameters:
            return False
        self._active[fault.name, fault.target] = fault
        return True

    def remove(self, name: str, target: str) -> bool:
        """End a fault; False when it was not in force."""
        return self._active.pop((name, target), None) is not None


def check_fault(
    name: str, target: str, parameters: Mapping[str, object], targets: Mapping[str, tuple[str, ...]]
) -> dict[str, Parameter]:
    """Return the parameters of a possible fault; ``targets`` lists the keys by kind. Raises FaultError."""
    kind = KINDS.get(name)
    if kind is None:
        raise FaultError(f"unknown fault '{name}'; there are: {', '.join(sorted(KINDS))}")
    known = targets[kind]
    if target not in known:
        raise FaultError(f"unknown {kind} '{target}' for {name}; there are: {', '.join(known)}")
    needed = NEEDED.get(name)
    if needed is not None and needed not in parameters:
        raise FaultError(f"{name} needs the parameter '{needed}'")
    checked: dict[str, Parameter] = {}
    for key, value in parameters.items():
        checked[key] = str(value) if key in TEXTS else _number(name, key, value)
    return checked


def _number(name: str, key: str, value: object) -> Parameter:
    if isinstance(value, (bool, int, float)):
        return value
    try:
        return float(str(value))
    except ValueError:
        raise FaultError(f"{name}: parameter '{key}' must be a number, not '{value}'") from None
