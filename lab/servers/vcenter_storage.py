"""Datastores, snapshots' trees and files, and the alarms that a vCenter raises by itself, as vim25 shows them.

A datastore is measured when it is asked for. Below ``ALARM_FREE_PERCENT`` the vCenter's own alarm is red.
Source: vSphere Web Services API 8.0, Datastore, VirtualMachineFileLayoutEx, VirtualMachineSnapshotTree, AlarmState.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lab.machines import Inventory, Machine, Snapshot
from lab.scenario import Estate
from lab.servers.vcenter_soap import Many, Ref, Struct, Value, Word, stamp

CAPACITY_BYTES = 4 * 2**40
USUAL_FREE_PERCENT = 42.0
ALARM_FREE_PERCENT = 15.0
DISK_BYTES = 60 * 2**30
DELTA_BYTES_A_DAY = 4 * 2**30
STATE_BYTES = 28 * 1024
USAGE_ALARM = Ref("Alarm", "alarm-8")
ALARM_NAMES: Mapping[Ref, str] = {USAGE_ALARM: "Datastore usage on disk"}
DISK = 2000  # the device key of a machine's first disk, as vSphere numbers them


def long(number: float) -> Word:
    """Write an xsd:long."""
    return Word("xsd:long", str(int(number)))


def datastore_ref(inventory: Inventory, name: str) -> Ref:
    """Return the managed object of the datastore ``name``."""
    return Ref("Datastore", f"datastore-{11 + inventory.datastores.index(name)}")


def datastore_named(inventory: Inventory, ref: Ref) -> str | None:
    """Return the name of a datastore; None when there is no such thing."""
    return next((name for name in inventory.datastores if datastore_ref(inventory, name) == ref), None)


def free_percent(estate: Estate, key: str, name: str) -> float:
    """Return what is free of a datastore of the vCenter ``key``."""
    filled = estate.faults.get("fill-datastore", f"{key}/{name}")
    return USUAL_FREE_PERCENT if filled is None else min(100.0, max(0.0, filled.number("free_percent")))


def of_datastore(estate: Estate, key: str, name: str) -> Mapping[str, Value]:
    """Return a datastore's properties, but for its place in the tree."""
    ref = datastore_ref(estate.inventories[key], name)
    free = long(CAPACITY_BYTES * free_percent(estate, key, name) / 100)
    summary: dict[str, Value] = {
        "datastore": ref,
        "name": name,
        "url": f"ds:///vmfs/volumes/{ref.id}/",
        "capacity": long(CAPACITY_BYTES),
        "freeSpace": free,
        "uncommitted": long(0),
        "accessible": True,
        "multipleHostAccess": True,
        "type": "VMFS",
        "maintenanceMode": "normal",
    }
    info: dict[str, Value] = {
        "name": name,
        "url": summary["url"],
        "freeSpace": free,
        "maxFileSize": long(CAPACITY_BYTES),
        "timestamp": stamp(int(estate.now() / 60) * 60),
    }
    return {
        "name": name,
        "overallStatus": Word("ManagedEntityStatus", "red" if _alarmed(estate, key, name) else "green"),
        "summary": Struct("DatastoreSummary", summary),
        "info": Struct("VmfsDatastoreInfo", info),
    }


def triggered(estate: Estate, key: str) -> Many:
    """Return the alarms of the vCenter ``key`` that are not green."""
    inventory = estate.inventories[key]
    acknowledged = estate.faults.get("acknowledge-alarms", key)
    states = []
    for name in inventory.datastores:
        if not _alarmed(estate, key, name):
            continue
        entity, since = datastore_ref(inventory, name), estate.faults.get("fill-datastore", f"{key}/{name}")
        fields: dict[str, Value] = {
            "key": f"{USAGE_ALARM.id}.{entity.id}",
            "entity": entity,
            "alarm": USAGE_ALARM,
            "overallStatus": Word("ManagedEntityStatus", "red"),
            "time": stamp(estate.born if since is None else since.at),
            "acknowledged": acknowledged is not None,
            "acknowledgedByUser": None if acknowledged is None else "VSPHERE.LOCAL\\duty",
            "acknowledgedTime": None if acknowledged is None else stamp(acknowledged.at),
        }
        states.append(Struct("AlarmState", fields))
    return Many("AlarmState", tuple(states))


def _alarmed(estate: Estate, key: str, name: str) -> bool:
    return free_percent(estate, key, name) < ALARM_FREE_PERCENT


def snapshots_of(estate: Estate, machine: Machine) -> list[Snapshot]:
    """Return a machine's snapshots, oldest first; the fault ``old-snapshot`` is one more."""
    found = list(machine.snapshots)
    forgotten = estate.faults.get("old-snapshot", f"{machine.vcenter}/{machine.name}")
    if forgotten is not None:
        found.append(Snapshot(0, "before the upgrade", forgotten.at - 86400 * forgotten.number("days")))
    return sorted(found, key=lambda one: one.taken_at)


def snapshot_tree(machine: Machine, snapshots: Sequence[Snapshot]) -> Struct | None:
    """Return a VirtualMachineSnapshotInfo: each snapshot below the one before it; None without any."""
    tree: Struct | None = None
    current: Ref | None = None
    for one in reversed(snapshots):
        ref = _snapshot_ref(machine, one)
        current = current or ref
        tree = Struct(
            "VirtualMachineSnapshotTree",
            {
                "snapshot": ref,
                "vm": Ref("VirtualMachine", machine.moid),
                "name": one.name,
                "description": "",
                "id": one.number,
                "createTime": stamp(one.taken_at),
                "state": Word("VirtualMachinePowerState", "poweredOff"),
                "quiesced": False,
                "childSnapshotList": None if tree is None else Many("VirtualMachineSnapshotTree", (tree,)),
            },
        )
    if tree is None:
        return None
    roots = Many("VirtualMachineSnapshotTree", (tree,))
    return Struct("VirtualMachineSnapshotInfo", {"currentSnapshot": current, "rootSnapshotList": roots})


def _snapshot_ref(machine: Machine, snapshot: Snapshot) -> Ref:
    return Ref("VirtualMachineSnapshot", machine.snapshot_moid(snapshot))


def layout(machine: Machine, snapshots: Sequence[Snapshot], now: float) -> Struct:
    """Return a VirtualMachineFileLayoutEx: one disk; with every snapshot its state, and a delta that grew since."""
    files = [_file(0, f"{machine.name}.vmdk", "diskDescriptor", DISK_BYTES)]
    layouts: list[Value] = []
    chain = [0]
    for number, one in enumerate(snapshots, 1):
        state, delta = 2 * number - 1, 2 * number
        files.append(_file(state, f"{machine.name}-Snapshot{number}.vmsn", "snapshotData", STATE_BYTES))
        held: dict[str, Value] = {
            "key": _snapshot_ref(machine, one),
            "dataKey": state,
            "memoryKey": -1,
            "disk": Many("VirtualMachineFileLayoutExDiskLayout", (_disk(chain),)),
        }
        layouts.append(Struct("VirtualMachineFileLayoutExSnapshotLayout", held))
        grown = min(DISK_BYTES, DELTA_BYTES_A_DAY * max(0.0, now - one.taken_at) / 86400)
        files.append(_file(delta, f"{machine.name}-{number:06d}.vmdk", "diskExtent", grown))
        chain = [*chain, delta]
    return Struct(
        "VirtualMachineFileLayoutEx",
        {
            "file": Many("VirtualMachineFileLayoutExFileInfo", tuple(files)),
            "disk": Many("VirtualMachineFileLayoutExDiskLayout", (_disk(chain),)),
            "snapshot": Many("VirtualMachineFileLayoutExSnapshotLayout", tuple(layouts)),
            "timestamp": stamp(now),
        },
    )


def _file(key: int, name: str, kind: str, size: float) -> Struct:
    fields: dict[str, Value] = {"key": key, "name": f"[store] {name}", "type": kind, "size": long(size)}
    return Struct("VirtualMachineFileLayoutExFileInfo", {**fields, "accessible": True})


def _disk(chain: Sequence[int]) -> Struct:
    units = tuple(Struct("VirtualMachineFileLayoutExDiskUnit", {"fileKey": Many("int", (key,))}) for key in chain)
    return Struct(
        "VirtualMachineFileLayoutExDiskLayout",
        {"key": DISK, "chain": Many("VirtualMachineFileLayoutExDiskUnit", units)},
    )
