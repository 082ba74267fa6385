"""The managed objects of one vCenter as vim25 shows them: tree and properties, computed from the truth when asked.

Source: vSphere Web Services API 8.0, VirtualMachine, HostSystem, Folder, Datacenter, ComputeResource. The tree is the
smallest that tools expect: root folder, one datacenter, its vm, host and network folders, one cluster with one host for
each system (the host hangs on the system's outlet group).
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from lab.machines import Machine
from lab.scenario import Estate
from lab.servers.vcenter_hardware import MEMORY_MB, hardware, network_named, network_ref, plugged_in
from lab.servers.vcenter_soap import Many, Ref, Struct, Value, VimFault, Word, stamp
from lab.servers.vcenter_storage import (
    ALARM_NAMES,
    datastore_named,
    datastore_ref,
    layout,
    long,
    of_datastore,
    snapshot_tree,
    snapshots_of,
    triggered,
)

ROOT = Ref("Folder", "group-d1")
DATACENTER = Ref("Datacenter", "datacenter-2")
VM_FOLDER = Ref("Folder", "group-v3")
HOST_FOLDER = Ref("Folder", "group-h4")
CLUSTER = Ref("ClusterComputeResource", "domain-c5")
POOL = Ref("ResourcePool", "resgroup-6")
NETWORK_FOLDER = Ref("Folder", "group-n6")
DATASTORE_FOLDER = Ref("Folder", "group-s7")
HOST_MEMORY_BYTES = 128 * 2**30
HYPERVISOR_MB = 4096  # what an ESXi host takes for itself
SYSTEM_FIELD = 101  # the key of the custom attribute "system"
DRS_OFF = Struct("ClusterDrsConfigInfo", {"enabled": False})  # each system stays on the host that its outlets feed
API_VERSION = "8.0.1.0"
ENTITIES = frozenset(
    {"VirtualMachine", "HostSystem", "Folder", "Datacenter", "ClusterComputeResource", "ResourcePool", "Network"}
    | {"Datastore"}
)
PARENTS: Mapping[str, frozenset[str]] = {
    "ManagedEntity": ENTITIES,
    "ComputeResource": frozenset({"ClusterComputeResource"}),
}
Properties = Mapping[str, Value]


def is_kind(ref: Ref, kind: str) -> bool:
    """Tell whether ``ref`` is of the managed type ``kind`` or of one derived from it."""
    return ref.type == kind or ref.type in PARENTS.get(kind, frozenset())


def walk(properties: Properties, path: str) -> Value:
    """Return the property at a dotted path; None when a part on the way is unset. Raises VimFault InvalidProperty."""
    head, _, rest = path.partition(".")
    if head not in properties:
        raise VimFault("InvalidProperty", f"there is no property '{path}'", {"name": path})
    value = properties[head]
    while rest and value is not None:
        head, _, rest = rest.partition(".")
        if not isinstance(value, Struct) or head not in value.fields:
            raise VimFault("InvalidProperty", f"there is no property '{path}'", {"name": path})
        value = value.fields[head]
    return value


class Objects:
    """Everything of the vCenter ``key`` that has a managed object id, except what belongs to a session."""

    def __init__(self, estate: Estate, key: str) -> None:
        self._estate = estate
        self.key = key
        self.site = estate.plan.vcenters[key].site
        self.inventory = estate.inventories[key]
        self._systems = [
            system for system in estate.plan.systems.values() if system.deployments[self.site].vcenter == key
        ]

    def machine(self, ref: Ref) -> Machine:
        """Return the machine of ``ref``. Raises VimFault ManagedObjectNotFound."""
        machine = self.inventory.machines.get(ref.id)
        if machine is None:
            raise gone(ref)
        return machine

    def machine_of_snapshot(self, ref: Ref) -> Machine:
        """Return the machine that has the snapshot ``ref``. Raises VimFault ManagedObjectNotFound."""
        for machine in self.inventory.machines.values():
            if any(machine.snapshot_moid(one) == ref.id for one in machine.snapshots):
                return machine
        raise gone(ref)

    def entities(self) -> tuple[Ref, ...]:
        """Return every entity below the root, the fixed ones first."""
        return (
            DATACENTER,
            VM_FOLDER,
            HOST_FOLDER,
            CLUSTER,
            POOL,
            NETWORK_FOLDER,
            DATASTORE_FOLDER,
            *self._networks(),
            *self._datastores(),
            *(Ref("HostSystem", f"host-{system.key}") for system in self._systems),
            *self._machines(),
        )

    def below(self, container: Ref) -> tuple[Ref, ...]:
        """Return every entity below ``container``. Raises VimFault when that is gone."""
        found = []
        for ref in self.entities():
            parent = self._parent(ref)
            while parent is not None and parent != container:
                parent = self._parent(parent)
            if parent is not None:
                found.append(ref)
        return tuple(found)

    def properties(self, ref: Ref) -> Properties:
        """Return the properties of ``ref`` as they are now. Raises VimFault ManagedObjectNotFound."""
        if ref.type == "VirtualMachine":
            return self._of_machine(self.machine(ref))
        if ref.type == "HostSystem":
            return self._of_host(ref)
        if ref.type == "Network":
            return self._of_network(ref)
        if ref.type == "Datastore":
            return self._of_datastore(ref)
        if ref in ALARM_NAMES:
            return {"info": Struct("AlarmInfo", {"name": ALARM_NAMES[ref], "description": "", "enabled": True})}
        fixed = self._of_fixed().get(ref)
        if fixed is None:
            raise gone(ref)
        return fixed

    def by_path(self, path: str) -> Ref | None:
        """Return the entity at an inventory path such as ``main/vm/ncts-db-1``; None when there is none."""
        here: Ref | None = ROOT
        for name in path.strip("/").split("/"):
            here = None if here is None else self.child(here, name)
        return here

    def child(self, parent: Ref, name: str) -> Ref | None:
        """Return the entity ``name`` directly below ``parent``; None when there is none."""
        children = (one for one in self.entities() if self._parent(one) == parent)
        return next((ref for ref in children if self.properties(ref)["name"] == name), None)

    def by_uuid(self, wanted: str, *, instance: bool) -> Ref | None:
        """Return the VM with this BIOS UUID, or instance UUID."""
        path = "config.instanceUuid" if instance else "config.uuid"
        return next((ref for ref in self._machines() if walk(self.properties(ref), path) == wanted), None)

    def _machines(self) -> tuple[Ref, ...]:
        return tuple(Ref("VirtualMachine", moid) for moid in self.inventory.machines)

    def _networks(self) -> tuple[Ref, ...]:
        return tuple(network_ref(self.inventory, name) for name in self.inventory.networks)

    def _datastores(self) -> tuple[Ref, ...]:
        return tuple(datastore_ref(self.inventory, name) for name in self.inventory.datastores)

    def _parent(self, ref: Ref) -> Ref | None:
        if ref.type == "Datastore":
            return DATASTORE_FOLDER
        if ref.type == "Network":
            return NETWORK_FOLDER
        if ref.type == "VirtualMachine":
            return VM_FOLDER
        if ref.type == "HostSystem":
            return CLUSTER
        return {
            DATACENTER: ROOT,
            VM_FOLDER: DATACENTER,
            HOST_FOLDER: DATACENTER,
            NETWORK_FOLDER: DATACENTER,
            DATASTORE_FOLDER: DATACENTER,
            CLUSTER: HOST_FOLDER,
            POOL: CLUSTER,
        }.get(ref)

    # -- properties ---------------------------------------------------------------------------------------------------

    def _of_fixed(self) -> dict[Ref, Properties]:
        machines = Many("ManagedObjectReference", self._machines())
        hosts = tuple(Ref("HostSystem", f"host-{system.key}") for system in self._systems)
        networks = Many("ManagedObjectReference", self._networks())
        datastores = Many("ManagedObjectReference", self._datastores())
        green = Word("ManagedEntityStatus", "green")
        alarms = triggered(self._estate, self.key)

        def entity(ref: Ref, name: str, **more: Value) -> tuple[Ref, Properties]:
            own: dict[str, Value] = {"name": name, "parent": self._parent(ref), "overallStatus": green}
            return ref, {**own, "triggeredAlarmState": alarms, **more}

        def children(*refs: Ref) -> Many:
            return Many("ManagedObjectReference", refs)

        return dict(
            (
                entity(ROOT, "Datacenters", childEntity=children(DATACENTER)),
                entity(
                    DATACENTER,
                    self.site,
                    vmFolder=VM_FOLDER,
                    hostFolder=HOST_FOLDER,
                    networkFolder=NETWORK_FOLDER,
                    datastoreFolder=DATASTORE_FOLDER,
                    network=networks,
                    datastore=datastores,
                ),
                entity(DATASTORE_FOLDER, "datastore", childEntity=datastores),
                entity(NETWORK_FOLDER, "network", childEntity=networks),
                entity(VM_FOLDER, "vm", childEntity=machines),
                entity(HOST_FOLDER, "host", childEntity=children(CLUSTER)),
                entity(
                    CLUSTER,
                    f"cluster-{self.site}",
                    host=children(*hosts),
                    resourcePool=POOL,
                    configuration=Struct("ClusterConfigInfo", {"drsConfig": DRS_OFF}),
                ),
                entity(POOL, "Resources", owner=CLUSTER, vm=machines),
            )
        )

    def _of_host(self, ref: Ref) -> Properties:
        system = next((one for one in self._systems if f"host-{one.key}" == ref.id), None)
        if system is None:
            raise gone(ref)
        deployment = system.deployments[self.site]
        fed = self._estate.outlet(deployment.controller, deployment.outlet_group).feeds
        machines = tuple(
            Ref("VirtualMachine", one.moid) for one in self.inventory.machines.values() if one.system == system.key
        )
        running = sum(
            one.powered and one.started_at is not None
            for one in self.inventory.machines.values()
            if one.system == system.key
        )
        runtime = Struct(
            "HostRuntimeInfo",
            {
                "connectionState": Word("HostSystemConnectionState", "connected" if fed else "notResponding"),
                "powerState": Word("HostSystemPowerState", "poweredOn" if fed else "unknown"),
                "inMaintenanceMode": False,
            },
        )
        return {
            "name": f"esx-{system.key}.{self.site}.customs.example",
            "parent": CLUSTER,
            "runtime": runtime,
            "vm": Many("ManagedObjectReference", machines),
            "overallStatus": Word("ManagedEntityStatus", "green" if fed else "red"),
            "summary": Struct(
                "HostListSummary",
                {
                    "host": ref,
                    "hardware": Struct("HostHardwareSummary", {"memorySize": long(HOST_MEMORY_BYTES)}),
                    "runtime": runtime,
                    "rebootRequired": False,
                    "quickStats": Struct(
                        "HostListSummaryQuickStats",
                        {"overallMemoryUsage": HYPERVISOR_MB + MEMORY_MB * running if fed else None},
                    ),
                },
            ),
        }

    def _of_network(self, ref: Ref) -> Properties:
        name = network_named(self.inventory, ref)
        if name is None:
            raise gone(ref)
        machines = tuple(
            Ref("VirtualMachine", one.moid)
            for one in self.inventory.machines.values()
            if any(card.network == name for card in one.cards)
        )
        return {
            "name": name,
            "parent": NETWORK_FOLDER,
            "overallStatus": Word("ManagedEntityStatus", "green"),
            "summary": Struct("NetworkSummary", {"network": ref, "name": name, "accessible": True}),
            "vm": Many("ManagedObjectReference", machines),
        }

    def _of_datastore(self, ref: Ref) -> Properties:
        name = datastore_named(self.inventory, ref)
        if name is None:
            raise gone(ref)
        machines = Many("ManagedObjectReference", self._machines() if name == self.inventory.datastores[0] else ())
        return {**of_datastore(self._estate, self.key, name), "parent": DATASTORE_FOLDER, "vm": machines}

    def _of_machine(self, machine: Machine) -> Properties:
        ref = Ref("VirtualMachine", machine.moid)
        fed, up = self._estate.fed(machine), self._estate.up(machine)
        orphaned = self._estate.faults.active("orphan-vm", f"{machine.vcenter}/{machine.name}")
        snapshots = snapshots_of(self._estate, machine)
        runtime = Struct(
            "VirtualMachineRuntimeInfo",
            {
                "host": Ref("HostSystem", machine.host_moid),
                "connectionState": Word(
                    "VirtualMachineConnectionState",
                    "orphaned" if orphaned else "connected" if fed else "disconnected",
                ),
                "powerState": Word("VirtualMachinePowerState", "poweredOn" if machine.powered else "poweredOff"),
                "bootTime": None if machine.started_at is None else stamp(machine.started_at),
            },
        )
        heart = "green" if up else "gray" if machine.started_at is None else "yellow"
        heartbeat = Word("ManagedEntityStatus", heart)
        bios = str(uuid.uuid5(uuid.UUID(machine.instance_uuid), "bios"))
        config_summary = Struct(
            "VirtualMachineConfigSummary",
            {
                "name": machine.name,
                "template": False,
                "vmPathName": f"[store] {machine.name}/{machine.name}.vmx",
                "memorySizeMB": MEMORY_MB,
                "numCpu": 4,
                "uuid": bios,
                "instanceUuid": machine.instance_uuid,
            },
        )
        return {
            "name": machine.name,
            "parent": VM_FOLDER,
            "resourcePool": POOL,
            "network": plugged_in(self.inventory, machine),
            "overallStatus": Word("ManagedEntityStatus", "green" if fed else "red"),
            "runtime": runtime,
            "guestHeartbeatStatus": heartbeat,
            "guest": self._guest(machine, up=up),
            "config": Struct(
                "VirtualMachineConfigInfo",
                {
                    "name": machine.name,
                    "uuid": bios,
                    "instanceUuid": machine.instance_uuid,
                    "template": False,
                    "guestFullName": "Debian GNU/Linux 12 (64-bit)",
                    "managedBy": _managed_by(machine),
                    "hardware": hardware(self.inventory, machine),
                },
            ),
            "summary": Struct(
                "VirtualMachineSummary",
                {
                    "vm": ref,
                    "runtime": runtime,
                    "config": config_summary,
                    "overallStatus": Word("ManagedEntityStatus", "green" if fed else "red"),
                },
            ),
            "snapshot": snapshot_tree(machine, snapshots),
            "layoutEx": layout(machine, snapshots, self._estate.now()),
            "datastore": Many("ManagedObjectReference", (datastore_ref(self.inventory, self.inventory.datastores[0]),)),
            "customValue": Many(
                "CustomFieldValue",
                (Struct("CustomFieldStringValue", {"key": SYSTEM_FIELD, "value": machine.system}),),
            ),
        }

    def _guest(self, machine: Machine, *, up: bool) -> Struct:
        deployment = self._estate.plan.systems[machine.system].deployments[self.site]
        address = {
            "database": self._estate.plan.hosts[deployment.database_host].address,
            "web": deployment.front_address,
        }.get(machine.tier)
        return Struct(
            "GuestInfo",
            {
                "toolsRunningStatus": "guestToolsRunning" if up else "guestToolsNotRunning",
                "hostName": f"{machine.name}.customs.example" if up else None,
                "ipAddress": address if up and not machine.source else None,
                "guestState": "running" if up else "notRunning",
            },
        )


def _managed_by(machine: Machine) -> Struct | None:
    """Return the ManagedByInfo of a VM that Site Recovery Manager looks after."""
    if not machine.placeholder:
        return None
    return Struct("ManagedByInfo", {"extensionKey": "com.vmware.vcDr", "type": "placeholderVm"})


def gone(ref: Ref) -> VimFault:
    """Return the fault for an object that is not there (any more)."""
    text = f"The object '{ref.type}:{ref.id}' has already been deleted or has not been completely created"
    return VimFault("ManagedObjectNotFound", text, {"obj": ref})
