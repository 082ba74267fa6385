"""Single errands at a vCenter: look a VM up afresh, start a task once, follow it to its end.

Blocking; each errand has its own connection, so that it neither waits for the poll nor delays it. The session is
shared by all errands of a ``Desk`` and renewed when it has ended. A task is started once and never sent again: when
its start or its end is not seen in time, DeadlineExceeded or SessionLost say that the outcome is not known, and the
caller looks at the VM. Source: vSphere Web Services API 8.0, VirtualMachine, Task, PropertyCollector.
"""

# mypy: disallow-untyped-calls=False
# (pyVmomi calls itself typed and annotates nothing)

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, TypeVar

from pyVmomi import vim, vmodl

from monitor.clients.vsphere_inventory import CORE_PATHS, Ref, Vm, escape, unescape, vm_from
from monitor.clients.vsphere_network import (
    NETWORK_PATHS,
    WIRING_PATHS,
    Networks,
    Wiring,
    all_onto,
    moref_of,
    wiring_from,
)
from monitor.clients.vsphere_soap import Line, Peer, filter_spec, meaning
from monitor.errors import DeadlineExceeded, GarbledReply, NotFound, Refused, SessionLost, TargetError, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from monitor.clock import Clock

T = TypeVar("T")
FIRST_LOOK_S = 0.05
LONGEST_PAUSE_S = 1.0
SETTLE_S = 3.0  # a vCenter may take a moment to list what it has changed
LOOK_LIMIT_S = 10.0  # one look at a running task; a vCenter that was frozen meanwhile is asked again


class Desk:
    """The session that errands share; thread-safe."""

    def __init__(self, peer: Peer, clock: Clock) -> None:
        """Prepare; the first errand logs in."""
        self.peer = peer
        self.clock = clock
        self._session: str | None = None
        self._lock = threading.Lock()

    def sign_on(self, line: Line, expired: str | None = None) -> str | None:
        """Give ``line`` the shared session, logging in when there is none or it is the one that ``expired``."""
        with self._lock:
            if self._session is None or self._session == expired:
                line.log_in()
                self._session = line.session_id
            else:
                line.resume(self._session)
            return self._session

    def log_out(self, expires: float) -> None:
        """End the session if there is one. Raises TargetError."""
        with self._lock:
            session, self._session = self._session, None
        if session is not None:
            line = Line(self.peer, self.clock, expires)
            try:
                line.open()
                line.resume(session)
                line.log_out()
            finally:
                line.hang_up()


class Errand:
    """One job on its own connection. ``abort`` may be called from any thread."""

    def __init__(self, desk: Desk, expires: float, what: str) -> None:
        """Prepare ``what`` (a noun for messages), to be over by ``expires`` (monotonic seconds)."""
        self._desk = desk
        self._line = Line(desk.peer, desk.clock, expires)
        self._what = what
        self._session: str | None = None

    def abort(self) -> None:
        """Break the errand off; nothing more is sent."""
        self._line.abort()

    def _run(self, job: Callable[[], T]) -> T:
        try:
            self._line.open()
            self._session = self._desk.sign_on(self._line)
            return job()
        except vmodl.MethodFault as fault:
            raise meaning(fault, self._desk.peer, self._what) from fault
        finally:
            self._line.hang_up()

    # -- reading ------------------------------------------------------------------------------------------------------

    def look_up(self, name: str) -> Vm | None:
        """Return the VM of this name as it is now, None when the vCenter really has none. Raises Refused for two."""
        return self._run(lambda: self._find(name))

    def _find(self, name: str) -> Vm | None:
        found = self._morefs((name,)).get(name)
        if found is None:
            return None
        values = dict(self._properties(vim.VirtualMachine(found, self._line), CORE_PATHS))
        host = values.get("runtime.host")
        if host is not None:
            values["runtime.host"] = Ref("HostSystem", moref_of(host))
        return vm_from(found, values)

    def _morefs(self, names: Sequence[str]) -> dict[str, str]:
        """Return the MoRefs of the VMs that are there, by name. Raises Refused when several have one name."""
        morefs: dict[str, list[str]] = {}
        for vm, values in self._all({vim.VirtualMachine: ["name"]}):
            name = unescape(str(values.get("name")))
            if name in names:
                morefs.setdefault(name, []).append(moref_of(vm))
        for name, found in morefs.items():
            if len(found) > 1:
                listed = ", ".join(f"{name} ({moref})" for moref in sorted(found))
                raise Refused(f"{self._desk.peer} has {len(found)} VMs of that name: {listed}; rename all but one")
        return {name: found[0] for name, found in morefs.items()}

    def _all(self, paths: Mapping[Any, Sequence[str]]) -> list[tuple[Any, Mapping[str, Any]]]:
        """Read ``paths`` of everything there is of those managed types."""
        view = self._view(list(paths))
        try:
            return self._read(filter_spec(view, paths))
        finally:
            self._forget(view)

    def _view(self, kinds: list[Any]) -> Any:
        """Create a view, the first call that needs the session; renew the session once when it has ended."""
        content = self._line.content
        try:
            return content.viewManager.CreateContainerView(self._line.root(), kinds, True)  # noqa: FBT003 - SOAP order
        except vim.fault.NotAuthenticated:
            self._session = self._desk.sign_on(self._line, expired=self._session)
            return content.viewManager.CreateContainerView(self._line.root(), kinds, True)  # noqa: FBT003 - SOAP order

    def _forget(self, view: Any) -> None:
        try:
            view.DestroyView()
        except (TargetError, vmodl.MethodFault):
            return  # it ends with the session; what was read, or the error on its way up, matters more

    def _read(self, spec: Any) -> list[tuple[Any, Mapping[str, Any]]]:
        collector = self._line.content.propertyCollector
        page = collector.RetrievePropertiesEx([spec], vmodl.query.PropertyCollector.RetrieveOptions())
        found: list[tuple[Any, Mapping[str, Any]]] = []
        while page is not None:
            found += [(item.obj, {prop.name: prop.val for prop in item.propSet}) for item in page.objects]
            page = collector.ContinueRetrievePropertiesEx(page.token) if page.token else None
        return found

    def _properties(self, thing: Any, paths: Sequence[str]) -> Mapping[str, Any]:
        collector = vmodl.query.PropertyCollector
        spec = collector.FilterSpec(
            objectSet=[collector.ObjectSpec(obj=thing, skip=False)],
            propSet=[collector.PropertySpec(type=type(thing), pathSet=list(paths), all=False)],
        )
        found = self._read(spec)
        if len(found) != 1:
            raise GarbledReply(f"{self._desk.peer} answered with {len(found)} objects where one was asked for")
        return found[0][1]

    # -- changing -----------------------------------------------------------------------------------------------------

    def power(self, name: str, *, on: bool) -> None:
        """Bring the VM to power on or off; nothing is sent when it already is."""
        self._run(lambda: self._power(name, on=on))

    def _power(self, name: str, *, on: bool) -> None:
        vm = self._existing(name)
        wanted = "on" if on else "off"
        if vm.power == wanted:
            return
        machine = vim.VirtualMachine(vm.moref, self._line)
        try:
            self._finish(machine.PowerOnVM_Task() if on else machine.PowerOffVM_Task())
        except vim.fault.InvalidPowerState as fault:
            if str(fault.existingState) != ("poweredOn" if on else "poweredOff"):  # else somebody else was faster
                raise

    def clone(self, name: str, new_name: str) -> None:
        """Copy VM ``name`` to ``new_name`` beside it, powered off. Raises Refused when that name is taken."""
        self._run(lambda: self._clone(name, new_name))

    def _clone(self, name: str, new_name: str) -> None:
        vm = self._existing(name)
        if self._find(new_name) is not None:
            raise Refused(f"{self._desk.peer} already has a VM '{new_name}'")
        machine = vim.VirtualMachine(vm.moref, self._line)
        folder = self._properties(machine, ["parent"]).get("parent")
        if folder is None:
            raise Refused(f"{self._desk.peer} keeps VM '{name}' in no folder (a vApp?); it cannot be cloned beside it")
        spec = vim.vm.CloneSpec(location=vim.vm.RelocateSpec(), powerOn=False, template=False)
        self._finish(machine.CloneVM_Task(folder, escape(new_name), spec))

    def destroy(self, name: str) -> None:
        """Delete the VM with its disks. Raises NotFound, and Refused while it is powered on."""
        self._run(lambda: self._finish(vim.VirtualMachine(self._existing(name).moref, self._line).Destroy_Task()))

    def snapshot(self, name: str, snapshot_name: str) -> None:
        """Take a snapshot of the disks (without memory, without quiescing)."""

        def job() -> None:
            machine = vim.VirtualMachine(self._existing(name).moref, self._line)
            self._finish(
                machine.CreateSnapshot_Task(name=snapshot_name, description="by Karaula", memory=False, quiesce=False)
            )

        self._run(job)

    # -- snapshots ----------------------------------------------------------------------------------------------------

    def snapshots(self, names: Sequence[str]) -> dict[str, tuple[str, ...] | None]:
        """Return the names of each VM's snapshots as they are now, parents first; None where there is no such VM."""

        def job() -> dict[str, tuple[str, ...] | None]:
            morefs = self._morefs(names)
            return {
                name: tuple(one for one, _ in self._snapshots(morefs[name])) if name in morefs else None
                for name in names
            }

        return self._run(job)

    def remove_snapshot(self, name: str, snapshot_name: str) -> None:
        """Remove the one snapshot of that name, its disks merged; those taken after it stay. Nothing to do: gone."""
        self._run(lambda: self._remove_snapshot(name, snapshot_name))

    def _remove_snapshot(self, name: str, snapshot_name: str) -> None:
        found = [moref for one, moref in self._snapshots(self._existing(name).moref) if one == snapshot_name]
        if len(found) > 1:
            listed = ", ".join(sorted(found))
            raise Refused(
                f"VM '{name}' at {self._desk.peer} has {len(found)} snapshots named '{snapshot_name}' ({listed}); "
                "none was removed: rename or remove all but one"
            )
        if not found:
            return
        snapshot = vim.vm.Snapshot(found[0], self._line)
        try:
            self._finish(snapshot.RemoveSnapshot_Task(removeChildren=False, consolidate=True))
        except vmodl.fault.ManagedObjectNotFound:
            self._existing(name)  # somebody else was faster with the snapshot; or with the whole VM, which is told

    def _snapshots(self, moref: str) -> list[tuple[str, str]]:
        """Return (name, MoRef) of every snapshot of a VM, each before those taken after it."""
        info = self._properties(vim.VirtualMachine(moref, self._line), ["snapshot"]).get("snapshot")
        left = list(info.rootSnapshotList or ()) if info is not None else []
        found = []
        while left:  # no recursion: a chain may be long
            one = left.pop(0)
            found.append((unescape(str(one.name)), moref_of(one.snapshot)))
            left = [*(one.childSnapshotList or ()), *left]
        return found

    # -- networks -----------------------------------------------------------------------------------------------------

    def wirings(self, names: Sequence[str]) -> dict[str, Wiring | None]:
        """Return what each VM is plugged into as it is now; None where there is no such VM."""

        def job() -> dict[str, Wiring | None]:
            morefs, networks = self._morefs(names), self._networks()
            return {name: self._wiring(name, morefs[name], networks) if name in morefs else None for name in names}

        return self._run(job)

    def on_network(self, network: str) -> tuple[str, ...]:
        """Return the names of all VMs that are plugged into ``network``. Raises NotFound, Refused when ambiguous."""

        def job() -> tuple[str, ...]:
            wanted = moref_of(self._networks().named(network, str(self._desk.peer)))
            return tuple(
                sorted(
                    unescape(str(vm.get("name")))
                    for _, vm in self._all({vim.VirtualMachine: ["name", "network"]})
                    if wanted in map(moref_of, vm.get("network") or ())
                )
            )

        return self._run(job)

    def plug(self, name: str, network: str) -> Wiring:
        """Bring every network card of a VM that is off onto ``network``; return what was read back.

        Raises Refused when the VM runs elsewhere (nothing is changed then) and when what is read back is not so.
        """
        return self._run(lambda: self._plug(name, network))

    def _plug(self, name: str, network: str) -> Wiring:
        networks = self._networks()
        wanted = networks.named(network, str(self._desk.peer))
        vm = self._existing(name)
        wiring = self._wiring(name, vm.moref, networks)
        astray = wiring.astray(network)
        if not astray and (wiring.power != "off" or all(nic.start_connected for nic in wiring.nics)):
            return wiring
        if wiring.power != "off":
            raise Refused(f"VM '{name}' is {wiring.power}, and not on network '{network}' alone: {astray}")
        machine = vim.VirtualMachine(vm.moref, self._line)
        devices = self._properties(machine, ["config.hardware.device"]).get("config.hardware.device") or ()
        switch = networks.switch(wanted)
        uuid = "" if switch is None else str(self._properties(switch, ["uuid"]).get("uuid") or "")
        self._finish(machine.ReconfigVM_Task(all_onto(devices, networks.backing(wanted, uuid))))
        settled = self._line.clock.monotonic() + SETTLE_S
        while True:
            wiring = self._wiring(name, vm.moref, networks)
            astray = wiring.astray(network)
            if not astray:
                return wiring
            left = min(settled, self._line.expires) - self._line.clock.monotonic()
            if left <= 0 or self._line.aborted.wait(min(LONGEST_PAUSE_S, left)):
                raise Refused(f"VM '{name}' was put on network '{network}', and yet is not on it alone: {astray}")

    def _networks(self) -> Networks:
        return Networks(self._all(NETWORK_PATHS))

    def _wiring(self, name: str, moref: str, networks: Networks) -> Wiring:
        values = self._properties(vim.VirtualMachine(moref, self._line), WIRING_PATHS)
        return wiring_from(name, values, networks)

    def _existing(self, name: str) -> Vm:
        vm = self._find(name)
        if vm is None:
            raise NotFound(f"{self._desk.peer} has no VM '{name}'")
        return vm

    # -- tasks --------------------------------------------------------------------------------------------------------

    def _finish(self, task: Any) -> None:
        """Follow ``task`` to its end. Raises the fault it ended with, or DeadlineExceeded: outcome not known."""
        self._line.call_limit_s = LOOK_LIMIT_S
        pause_s = FIRST_LOOK_S
        while True:
            state = self._task_state(task)
            if state == "success":
                return
            if state == "error":
                # Only on an error: the whole of task.info cannot be read of every task (MoRefs of removed things).
                raise self._properties(task, ["info.error"]).get("info.error") or vmodl.fault.SystemError(
                    reason=f"the {self._what} failed without a reason"
                )
            left = self._line.expires - self._line.clock.monotonic()
            if left <= 0 or self._line.aborted.wait(min(pause_s, left)):
                raise DeadlineExceeded(f"the {self._what} at {self._desk.peer} did not end in time; it may still do so")
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def _task_state(self, task: Any) -> str:
        """Return the task's state; empty when this look got no answer but a later one may."""
        try:
            return str(self._properties(task, ["info.state"]).get("info.state") or "")
        except (Unreachable, DeadlineExceeded, SessionLost):
            return ""
        except vim.fault.NotAuthenticated:
            self._session = self._desk.sign_on(self._line, expired=self._session)
            return ""
        except vmodl.fault.ManagedObjectNotFound as fault:
            raise SessionLost(
                f"{self._desk.peer} no longer knows the task of the {self._what}; whether it was done is not known"
            ) from fault
