"""What the tests of the lab's vCenter share: a lab, pyvmomi's service instance on it, and one that follows changes."""

# mypy: disallow-untyped-calls=False
# (pyVmomi calls itself typed and annotates nothing)

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from typing import Any

from estate_kit import RunningLab
from pyVmomi import vim, vmodl
from pyVmomi.SoapAdapter import SoapStubAdapter

Collector = vmodl.query.PropertyCollector
PATHS = [
    "name",
    "parent",
    "runtime.powerState",
    "runtime.connectionState",
    "runtime.host",
    "guestHeartbeatStatus",
    "guest.toolsRunningStatus",
    "guest.ipAddress",
    "summary.config.instanceUuid",
    "config.uuid",
    "config.template",
]
MACHINES = 21


STUBS: list[Any] = []


def trust(lab: RunningLab) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=lab.credentials / "lab-ca.pem")


def instance(lab: RunningLab, timeout_s: float = 10) -> Any:
    stub = SoapStubAdapter(
        host=lab.address("2.5"),
        port=8989,
        version="vim.version.v8_0_1_0",
        sslContext=trust(lab),
        httpConnectionTimeout=timeout_s,
    )
    STUBS.append(stub)
    return vim.ServiceInstance("ServiceInstance", stub)


def connect(lab: RunningLab, *, timeout_s: float = 10, password: str | None = None) -> Any:
    service = instance(lab, timeout_s)
    content = service.RetrieveContent()
    content.sessionManager.Login("karaula@vsphere.local", password or (lab.credentials / "vcenter-dr").read_text())
    return service


def filter_spec(view: Any, kind: Any = vim.VirtualMachine, paths: list[str] | None = None) -> Any:
    through = Collector.TraversalSpec(name="view", path="view", skip=False, type=vim.view.ContainerView)
    return Collector.FilterSpec(
        objectSet=[Collector.ObjectSpec(obj=view, skip=True, selectSet=[through])],
        propSet=[Collector.PropertySpec(type=kind, pathSet=paths or PATHS, all=False)],
    )


def machines_view(service: Any) -> Any:
    return service.content.viewManager.CreateContainerView(service.content.rootFolder, [vim.VirtualMachine], True)


def machine(service: Any, name: str) -> Any:
    found = service.content.searchIndex.FindByInventoryPath(f"dr/vm/{name}")
    assert found is not None, name
    return found


class Follower:
    """A client that follows updates page by page and keeps what it learned."""

    def __init__(self, service: Any) -> None:
        self.collector = service.content.propertyCollector.CreatePropertyCollector()  # WaitForTask has the main one
        self.view = machines_view(service)
        self.filter = self.collector.CreateFilter(filter_spec(self.view), False)
        self.version = ""
        self.known: dict[str, dict[str, Any]] = {}

    def poll(self, wait_s: int = 0) -> list[tuple[str, str, dict[str, Any]]]:
        """Return kind, moid and changes of all pages; [] when nothing changed."""
        seen: list[tuple[str, str, dict[str, Any]]] = []
        while True:
            options = Collector.WaitOptions(maxWaitSeconds=wait_s)
            updates = self.collector.WaitForUpdatesEx(self.version, options)
            if updates is None:
                return seen
            self.version = updates.version
            for one in (update for part in updates.filterSet for update in part.objectSet):
                changes = {change.name: change.val for change in one.changeSet}
                seen.append((one.kind, one.obj._GetMoId(), changes))
                if one.kind == "leave":
                    del self.known[one.obj._GetMoId()]
                else:
                    self.known.setdefault(one.obj._GetMoId(), {}).update(changes)
            if not updates.truncated:
                return seen

    def calm(self) -> None:
        """Poll until nothing boots any more."""
        self.poll()
        until(lambda: not self.poll() and all(map(_booted, self.known.values())))


def _booted(machine: dict[str, Any]) -> bool:
    """Tell whether a machine is up; what is off (a placeholder of a replicated VM) is not expected to be."""
    return machine["guestHeartbeatStatus"] == "green" or machine["runtime.powerState"] == "poweredOff"


def until(holds: Callable[[], bool], within_s: float = 10) -> None:
    end = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)
