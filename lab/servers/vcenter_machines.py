"""What can be ordered of a VirtualMachine over vim25; every order is a task.

Source: vSphere Web Services API 8.0, VirtualMachine. A power order on a machine in the wrong state ends its task with
InvalidPowerState; so does destroying one that runs. ReconfigVM_Task changes networks of network cards only. A snapshot
is an object of its own, which can be removed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import unquote

from lab.machine_orders import MachineError, MachineOrders
from lab.machines import Machine
from lab.scenario import Estate
from lab.servers.vcenter_hardware import read_changes
from lab.servers.vcenter_objects import Objects
from lab.servers.vcenter_soap import Call, Ref, Value, VimFault
from lab.servers.vcenter_tasks import Tasks

POWER_S = 0.1
CLONE_S = 0.3
DISK_S = 0.1
REMOVE_SNAPSHOT = "RemoveSnapshot_Task"


class MachineMethods:
    """Methods of VirtualMachine at one vCenter."""

    def __init__(self, estate: Estate, objects: Objects, tasks: Tasks) -> None:
        self._orders: MachineOrders = estate.machine_orders
        self._objects = objects
        self._tasks = tasks
        self._methods: Mapping[str, Callable[[Call, Machine, str], Ref]] = {
            "PowerOnVM_Task": self._power_on,
            "PowerOffVM_Task": self._power_off,
            "CloneVM_Task": self._clone,
            "ReconfigVM_Task": self._reconfigure,
            "Destroy_Task": self._destroy,
            "CreateSnapshot_Task": self._snapshot,
            "CreateSnapshotEx_Task": self._snapshot,
            "RemoveAllSnapshots_Task": self._remove_snapshots,
        }

    def knows(self, method: str) -> bool:
        """Tell whether ``method`` is one of ours."""
        return method in self._methods or method == REMOVE_SNAPSHOT

    def call(self, call: Call, user: str) -> Ref | None:
        """Begin the task of ``call``; None when this is no method of a VM or its snapshot. Raises VimFault."""
        if call.method == REMOVE_SNAPSHOT and call.this.type == "VirtualMachineSnapshot":
            return self._remove_snapshot(call, self._objects.machine_of_snapshot(call.this), user)
        method = self._methods.get(call.method)
        if method is None or call.this.type != "VirtualMachine":
            return None
        return method(call, self._objects.machine(call.this), user)

    def _begin(self, call: Call, machine: Machine, user: str, duration_s: float, effect: Callable[[], Value]) -> Ref:
        def guarded() -> Value:
            if machine.moid not in self._objects.inventory.machines:
                raise MachineError("ManagedObjectNotFound", "The machine has been deleted meanwhile.")
            return effect()

        entity = Ref("VirtualMachine", machine.moid)
        return self._tasks.begin(call.method, (entity, machine.name), user, duration_s, guarded)

    def _power_on(self, call: Call, machine: Machine, user: str) -> Ref:
        return self._begin(call, machine, user, POWER_S, lambda: self._orders.power(machine, on=True))

    def _power_off(self, call: Call, machine: Machine, user: str) -> Ref:
        return self._begin(call, machine, user, POWER_S, lambda: self._orders.power(machine, on=False))

    def _clone(self, call: Call, machine: Machine, user: str) -> Ref:
        name, power_on = unquote(call.text("name")), call.text("spec/powerOn") in {"true", "1"}
        if not name or call.element("spec") is None:
            raise VimFault("InvalidArgument", "A clone needs a name and a spec.", {"invalidProperty": "name"})

        if call.element("spec/config") is not None or call.element("spec/location/deviceChange") is not None:
            raise VimFault("NotSupported", "Here a clone is like its source; reconfigure it afterwards.")

        def effect() -> Value:
            return Ref("VirtualMachine", self._orders.clone(machine, name, power_on=power_on).moid)

        return self._begin(call, machine, user, CLONE_S, effect)

    def _reconfigure(self, call: Call, machine: Machine, user: str) -> Ref:
        changes = read_changes(call, self._objects.inventory)
        return self._begin(call, machine, user, DISK_S, lambda: self._orders.plug(machine, changes))

    def _destroy(self, call: Call, machine: Machine, user: str) -> Ref:
        return self._begin(call, machine, user, DISK_S, lambda: self._orders.destroy(machine))

    def _snapshot(self, call: Call, machine: Machine, user: str) -> Ref:
        name = unquote(call.text("name"))

        def effect() -> Value:
            return Ref("VirtualMachineSnapshot", self._orders.snapshot(machine, name))

        return self._begin(call, machine, user, DISK_S, effect)

    def _remove_snapshot(self, call: Call, machine: Machine, user: str) -> Ref:
        children = call.flag("removeChildren")
        snapshot = call.this.id
        return self._begin(
            call, machine, user, DISK_S, lambda: self._orders.remove_snapshot(machine, snapshot, children=children)
        )

    def _remove_snapshots(self, call: Call, machine: Machine, user: str) -> Ref:
        return self._begin(call, machine, user, DISK_S, lambda: self._orders.remove_snapshots(machine))
