"""What a vCenter holds, as plain values: VMs, hosts, and the tables that updates are applied to.

No calls are made here, so that the arithmetic of updates can be tried without a vCenter. Source: vSphere Web
Services API 8.0, PropertyCollector (ObjectUpdate, ObjectContent), VirtualMachine, HostSystem.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from monitor.errors import GarbledReply

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Power = Literal["on", "off", "suspended"]

VM_PATHS = (
    "name",
    "runtime.powerState",
    "runtime.connectionState",
    "runtime.host",
    "guestHeartbeatStatus",
    "guest.toolsRunningStatus",
    "guest.ipAddress",
    "summary.config.instanceUuid",
    "config.template",
)
HOST_PATHS = ("name", "runtime.connectionState", "runtime.powerState", "runtime.inMaintenanceMode")

POWERS: Mapping[str, Power] = {"poweredOn": "on", "poweredOff": "off", "suspended": "suspended"}
_TOOLS = {
    "guestToolsRunning": "running",
    "guestToolsNotRunning": "not-running",
    "guestToolsExecutingScripts": "starting",
}
_ESCAPE = re.compile(r"%(2f|5c|25)", re.IGNORECASE)
_ESCAPED = {"2f": "/", "5c": "\\", "25": "%"}


@dataclass(frozen=True, slots=True)
class Vm:
    """A virtual machine as the vCenter describes it; empty where the vCenter does not say.

    ``connection`` is connected, disconnected, inaccessible, invalid or orphaned; ``tools`` running, not-running or
    starting; ``heartbeat`` green, yellow, red or gray (gray: no VMware Tools); ``host`` the host's MoRef.
    """

    moref: str
    name: str
    instance_uuid: str
    power: Power
    connection: str
    tools: str
    heartbeat: str
    host: str
    template: bool
    ip: str


@dataclass(frozen=True, slots=True)
class VmHost:
    """An ESXi host; ``connection`` is connected, disconnected or notResponding."""

    moref: str
    name: str
    connection: str
    power: str
    maintenance: bool


@dataclass(frozen=True, slots=True)
class VcenterSnapshot:
    """The whole inventory at one moment (``at``, Unix seconds).

    ``full`` says that everything was read anew, else only ``changed`` objects came over the wire; ``api_version`` is
    the vCenter's own.
    """

    at: float
    full: bool
    changed: int
    api_version: str
    vms: Mapping[str, Vm]
    hosts: Mapping[str, VmHost]

    def named(self, name: str) -> tuple[Vm, ...]:
        """Return every VM of this name; a vCenter allows the same name in different folders."""
        return tuple(vm for vm in self.vms.values() if vm.name == name)


def unescape(name: str) -> str:
    """Return the name that people gave; vCenter stores ``/``, backslash and ``%`` as %2f, %5c and %25."""
    return _ESCAPE.sub(lambda match: _ESCAPED[match[1].lower()], name)


def escape(name: str) -> str:
    """Return the name as vCenter stores it; the inverse of ``unescape``."""
    return name.replace("%", "%25").replace("/", "%2f").replace("\\", "%5c")


def vm_from(moref: str, values: Mapping[str, Any]) -> Vm:
    """Read a VM from property paths and values. Raises GarbledReply when it has no name or no known power state."""
    name = values.get("name")
    power = POWERS.get(str(values.get("runtime.powerState")))
    if not isinstance(name, str) or power is None:
        raise GarbledReply(f"the vCenter describes {moref} without its name or power state")
    host = values.get("runtime.host")
    return Vm(
        moref=moref,
        name=unescape(name),
        instance_uuid=str(values.get("summary.config.instanceUuid") or ""),
        power=power,
        connection=str(values.get("runtime.connectionState") or ""),
        tools=_TOOLS.get(str(values.get("guest.toolsRunningStatus")), ""),
        heartbeat=str(values.get("guestHeartbeatStatus") or ""),
        host="" if host is None else str(host._GetMoId()),  # noqa: SLF001 - pyVmomi's documented way to a MoRef
        template=bool(values.get("config.template")),
        ip=str(values.get("guest.ipAddress") or ""),
    )


def host_from(moref: str, values: Mapping[str, Any]) -> VmHost:
    """Read a host from property paths and values; a host without a name is shown by its MoRef."""
    return VmHost(
        moref=moref,
        name=unescape(str(values.get("name") or moref)),
        connection=str(values.get("runtime.connectionState") or ""),
        power=str(values.get("runtime.powerState") or ""),
        maintenance=bool(values.get("runtime.inMaintenanceMode")),
    )


class Tables:
    """All objects of a vCenter, kept current by updates; only what changed is read anew."""

    def __init__(self) -> None:
        """Start empty, as before a full read."""
        self._values: dict[str, dict[str, Any]] = {}
        self._vms: dict[str, Vm] = {}
        self._hosts: dict[str, VmHost] = {}

    def apply(self, updates: Iterable[Any]) -> int:
        """Take in ObjectUpdates (kinds enter, modify, leave) and return how many there were.

        Raises GarbledReply; the tables are then not to be used any more.
        """
        count = 0
        for update in updates:
            count += 1
            moref = str(update.obj._GetMoId())  # noqa: SLF001 - pyVmomi's documented way to a MoRef
            if update.kind == "leave":
                self._values.pop(moref, None)
                self._vms.pop(moref, None)
                self._hosts.pop(moref, None)
                continue
            if update.kind == "enter":
                self._values[moref] = {}
            values = self._values.setdefault(moref, {})
            for change in update.changeSet:
                values[change.name] = None if change.op in ("remove", "indirectRemove") else change.val
            if type(update.obj).__name__.endswith("VirtualMachine"):
                self._vms[moref] = vm_from(moref, values)
            else:
                self._hosts[moref] = host_from(moref, values)
        return count

    def snapshot(self, at: float, api_version: str, *, full: bool, changed: int) -> VcenterSnapshot:
        """Return an immutable copy."""
        return VcenterSnapshot(
            at, full, changed, api_version, MappingProxyType(dict(self._vms)), MappingProxyType(dict(self._hosts))
        )
