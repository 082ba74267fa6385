"""What a vCenter holds, as plain values: VMs, hosts, clusters, datastores, folders, alarms, and how they are read.

Source: vSphere Web Services API 8.0, VirtualMachine, HostSystem, ClusterComputeResource, Datastore, Folder, AlarmState.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from monitor.errors import GarbledReply
from monitor.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Power = Literal["on", "off", "suspended"]
POWERS: Mapping[str, Power] = {"poweredOn": "on", "poweredOff": "off", "suspended": "suspended"}
MIB = 2**20
PLACEHOLDER = "placeholderVm"  # ManagedByInfo.type of a VM that Site Recovery Manager keeps a place for
_TOOLS = {
    "guestToolsRunning": "running",
    "guestToolsNotRunning": "not-running",
    "guestToolsExecutingScripts": "starting",
}
_ESCAPE = re.compile(r"%(2f|5c|25)", re.IGNORECASE)
_ESCAPED = {"2f": "/", "5c": "\\", "25": "%"}


class Ref(NamedTuple):
    """A managed object: its type (``HostSystem``) and its MoRef."""

    kind: str
    moref: str


class ManagedBy(NamedTuple):
    """The extension that looks after a VM, and what the VM is to it."""

    extension: str
    kind: str


class Triggered(NamedTuple):
    """An alarm of the vCenter's own that is not green: ``status`` yellow or red, ``at`` Unix seconds."""

    alarm: str
    entity: Ref
    status: str
    at: float
    acknowledged: bool
    acknowledged_by: str


class Update(NamedTuple):
    """One object's news: ``kind`` enter, modify or leave; a value of None is one that is not set, or not any more.

    ``unreadable`` are paths that the vCenter did not let us read.
    """

    kind: str
    ref: Ref
    values: Mapping[str, Any]
    unreadable: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Vm:
    """A virtual machine as the vCenter describes it; empty where the vCenter does not say.

    ``connection`` is connected, disconnected, inaccessible, invalid or orphaned; ``tools`` running, not-running or
    starting; ``heartbeat`` green, yellow, red or gray (gray: no VMware Tools); ``host`` and ``folder`` are MoRefs.
    ``snapshots`` are the times they were taken (Unix seconds, oldest first), None when not known; ``attributes``
    the custom attributes by key. ``memory`` is in bytes, as configured, None when not known; ``datastores`` are MoRefs.
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
    snapshots: tuple[float, ...] | None = ()
    managed_by: ManagedBy | None = None
    folder: str = ""
    attributes: tuple[tuple[int, str], ...] = ()
    memory: int | None = None
    datastores: tuple[str, ...] = ()

    @property
    def placeholder(self) -> bool:
        """Whether it only keeps the place of a replicated VM; it cannot be powered on before a recovery."""
        return self.managed_by is not None and self.managed_by.kind == PLACEHOLDER


@dataclass(frozen=True, slots=True)
class VmHost:
    """An ESXi host; ``connection`` connected, disconnected or notResponding, ``status`` green, yellow, red or gray.

    ``memory`` is what it has and ``memory_used`` what is in use, in bytes; ``compute`` is what it is part of: a
    cluster, or a compute resource of its own. None where the vCenter does not say.
    """

    moref: str
    name: str
    connection: str
    power: str
    maintenance: bool
    status: str = ""
    memory: int | None = None
    memory_used: int | None = None
    compute: Ref | None = None


@dataclass(frozen=True, slots=True)
class Cluster:
    """Hosts that vCenter treats as one; ``drs``: whether it chooses among them for a VM, None where it does not say."""

    moref: str
    name: str
    drs: bool | None = None


@dataclass(frozen=True, slots=True)
class Datastore:
    """A datastore; sizes in bytes. What is None the vCenter does not say; ``measured_at`` is when it last measured."""

    moref: str
    name: str
    accessible: bool | None
    capacity: int | None
    free: int | None
    kind: str
    maintenance: str
    measured_at: float | None


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder or datacenter; ``parent`` is a MoRef."""

    moref: str
    name: str
    parent: str


@dataclass(frozen=True, slots=True)
class VcenterSnapshot:
    """The whole inventory at one moment (``at``, Unix seconds).

    ``full`` says that everything was read anew, else only ``changed`` objects came over the wire; ``api_version`` is
    the vCenter's own. ``names`` has the names of alarms and of entities that are in no table; ``attributes`` those of
    the custom attributes by key. ``alarms`` is None when the vCenter does not let us read them.
    """

    at: float
    full: bool
    changed: int
    api_version: str
    vms: Mapping[str, Vm]
    hosts: Mapping[str, VmHost]
    datastores: Mapping[str, Datastore]
    folders: Mapping[str, Folder]
    clusters: Mapping[str, Cluster]
    alarms: tuple[Triggered, ...] | None
    names: Mapping[str, str]
    attributes: Mapping[int, str]

    def named(self, name: str) -> tuple[Vm, ...]:
        """Return every VM of this name; a vCenter allows the same name in different folders."""
        return tuple(vm for vm in self.vms.values() if vm.name == name)

    def folder_path(self, vm: Vm) -> str:
        """Return where a VM is kept, as ``main/vm/CDEPS``; empty when folders are not read."""
        parts: list[str] = []
        here = self.folders.get(vm.folder)
        while here is not None and len(parts) < len(self.folders):
            parts.append(here.name)
            here = self.folders.get(here.parent)
        return "/".join(reversed(parts))


def unescape(name: str) -> str:
    """Return the name that people gave; vCenter stores ``/``, backslash and ``%`` as %2f, %5c and %25."""
    return _ESCAPE.sub(lambda match: _ESCAPED[match[1].lower()], name)


def escape(name: str) -> str:
    """Return the name as vCenter stores it; the inverse of ``unescape``."""
    return name.replace("%", "%25").replace("/", "%2f").replace("\\", "%5c")


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _moref(value: Any) -> str:
    return value.moref if isinstance(value, Ref) else ""


def _ref(value: Any) -> Ref | None:
    return value if isinstance(value, Ref) else None


def _name(value: Any) -> str:
    return printable(unescape(value)) if isinstance(value, str) else ""


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _mebibytes(value: Any) -> int | None:
    number = _number(value)
    return None if number is None or number < 0 else number * MIB


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _true(value: Any) -> bool:
    return value is True


def _moment(value: Any) -> float | None:
    return value if isinstance(value, float) else None


def _as_is(value: Any) -> Any:
    return value


def _morefs(value: Any) -> tuple[str, ...]:
    return tuple(one.moref for one in _tuple(value))


def _tuple(value: Any) -> tuple[Any, ...]:
    return () if value is None else tuple(value)


class Kind(NamedTuple):
    """How a managed type is read: by property path, the field and what makes its value of what stood on the wire."""

    make: Callable[..., Any]
    paths: Mapping[str, tuple[str, Callable[[Any], Any]]]


_VM: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "name": ("name", _name),
    "runtime.powerState": ("power", lambda value: POWERS.get(_text(value))),
    "runtime.connectionState": ("connection", _text),
    "runtime.host": ("host", _moref),
    "guestHeartbeatStatus": ("heartbeat", _text),
    "guest.toolsRunningStatus": ("tools", lambda value: _TOOLS.get(_text(value), "")),
    "guest.ipAddress": ("ip", _text),
    "summary.config.instanceUuid": ("instance_uuid", _text),
    "config.template": ("template", _true),
    "config.managedBy": ("managed_by", _as_is),
    "snapshot": ("snapshots", _tuple),
    "parent": ("folder", _moref),
    "customValue": ("attributes", _tuple),
    "summary.config.memorySizeMB": ("memory", _mebibytes),
    "datastore": ("datastores", _morefs),
}
KINDS: Mapping[str, Kind] = {
    "VirtualMachine": Kind(Vm, _VM),
    "HostSystem": Kind(
        VmHost,
        {
            "name": ("name", _name),
            "runtime.connectionState": ("connection", _text),
            "runtime.powerState": ("power", _text),
            "runtime.inMaintenanceMode": ("maintenance", _true),
            "overallStatus": ("status", _text),
            "summary.hardware.memorySize": ("memory", _number),
            "summary.quickStats.overallMemoryUsage": ("memory_used", _mebibytes),
            "parent": ("compute", _ref),
        },
    ),
    "Datastore": Kind(
        Datastore,
        {
            "name": ("name", _name),
            "summary.accessible": ("accessible", _flag),
            "summary.capacity": ("capacity", _number),
            "summary.freeSpace": ("free", _number),
            "summary.type": ("kind", _text),
            "summary.maintenanceMode": ("maintenance", _text),
            "info.timestamp": ("measured_at", _moment),
        },
    ),
    "Folder": Kind(Folder, {"name": ("name", _name), "parent": ("parent", _moref)}),
    "ClusterComputeResource": Kind(
        Cluster, {"name": ("name", _name), "configuration.drsConfig.enabled": ("drs", _flag)}
    ),
}
CORE_PATHS = tuple(  # what tells one machine from another, and how it is
    path
    for path in _VM
    if path not in ("snapshot", "parent", "customValue", "config.managedBy", "summary.config.memorySizeMB", "datastore")
)
RULE_PATHS = {"parent", "customValue"}  # of a VM: read only where a rule asks for them
ALARMS = "triggeredAlarmState"
_EMPTY: Mapping[str, Mapping[str, Any]] = {
    name: {field: read(None) for field, read in kind.paths.values()} for name, kind in KINDS.items()
}


def vm_from(moref: str, values: Mapping[str, Any]) -> Vm:
    """Read a VM from property paths and values. Raises GarbledReply when it has no name or no known power state."""
    vm: Vm = made_of("VirtualMachine", moref, values)
    return vm


def made_of(kind: str, moref: str, values: Mapping[str, Any]) -> Any:
    """Read an object of the managed type ``kind`` from property paths and values. Raises GarbledReply."""
    fields = dict(_EMPTY[kind])
    for path, value in values.items():
        name, read = KINDS[kind].paths[path]
        fields[name] = read(value)
    return sound(KINDS[kind].make(moref=moref, **fields))


def sound(thing: Any) -> Any:
    """Return ``thing``; a host or datastore without a name is shown by its MoRef, a VM must have one. GarbledReply."""
    if isinstance(thing, Vm):
        if not thing.name or thing.power is None:
            raise GarbledReply(f"the vCenter describes {thing.moref} without its name or power state")
        return thing
    return thing if thing.name else replace(thing, name=thing.moref)
