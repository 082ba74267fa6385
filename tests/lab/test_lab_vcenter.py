"""The lab's vCenter under pyvmomi itself: what the SDK can parse and follow is what a vCenter would say."""

# mypy: disallow-untyped-calls=False
# (pyVmomi calls itself typed and annotates nothing)

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from estate_kit import RunningLab, start_lab
from pyVim.connect import SmartConnect
from pyVim.task import WaitForTask
from pyVmomi import vim, vmodl
from pyVmomi.SoapAdapter import SoapStubAdapter

pytestmark = pytest.mark.lab
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
MACHINES = 20


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    with start_lab(tmp_path_factory.mktemp("vcenter"), rate=0) as running:
        yield running


STUBS: list[Any] = []


@pytest.fixture(autouse=True)
def healed(lab: RunningLab) -> Iterator[None]:
    yield
    lab.clear()
    while STUBS:
        STUBS.pop().DropConnections()


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


@pytest.fixture
def service(lab: RunningLab) -> Iterator[Any]:
    service = connect(lab)
    yield service
    with contextlib.suppress(vim.fault.NotAuthenticated):  # the test may have ended it
        service.content.sessionManager.Logout()


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
        until(lambda: not self.poll() and all(one["guestHeartbeatStatus"] == "green" for one in self.known.values()))


def until(holds: Callable[[], bool], within_s: float = 10) -> None:
    end = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_smart_connect_negotiates_a_version(lab: RunningLab) -> None:
    service: Any = SmartConnect(
        host=lab.address("2.5"),
        port=8989,
        user="karaula@vsphere.local",
        pwd=(lab.credentials / "vcenter-dr").read_text(),
        sslContext=trust(lab),
    )
    STUBS.append(service._stub)
    about = service.content.about
    assert (about.apiType, about.apiVersion) == ("VirtualCenter", "8.0.1.0")
    assert service.CurrentTime().tzinfo is not None
    assert service.content.sessionManager.currentSession.userName == "karaula@vsphere.local"
    service.content.sessionManager.Logout()
    assert service.content.sessionManager.currentSession is None


def test_a_wrong_password_is_an_invalid_login(lab: RunningLab) -> None:
    with pytest.raises(vim.fault.InvalidLogin):
        connect(lab, password="wrong")


def test_without_a_session_nothing_is_told(lab: RunningLab, service: Any) -> None:
    stranger = instance(lab)
    with pytest.raises(vim.fault.NotAuthenticated):
        machines_view(stranger)
    view = machines_view(service)
    other = connect(lab)
    with pytest.raises(vmodl.fault.ManagedObjectNotFound):
        vim.view.ContainerView(view._GetMoId(), other._stub).DestroyView()
    view.DestroyView()


def test_attributes_and_tree_read_as_pyvmomi_reads_them(service: Any) -> None:
    root = service.content.rootFolder
    datacenter = root.childEntity[0]
    assert (root.name, datacenter.name, type(datacenter)) == ("Datacenters", "dr", vim.Datacenter)
    cluster = datacenter.hostFolder.childEntity[0]
    assert isinstance(cluster, vim.ClusterComputeResource)
    hosts = {host.name: host for host in cluster.host}
    assert set(hosts) == {f"esx-{key}.dr.customs.example" for key in ("cdeps", "ncts", "ite", "exim")}
    host = hosts["esx-ncts.dr.customs.example"]
    assert (host.runtime.connectionState, len(host.vm)) == ("connected", 5)
    found = machine(service, "ncts-db-1")
    assert found.runtime.powerState == "poweredOn"
    assert found.summary.config.instanceUuid == found.config.instanceUuid
    assert found.guest.toolsRunningStatus == "guestToolsRunning"
    assert found.parent == datacenter.vmFolder
    assert service.content.searchIndex.FindByUuid(None, found.config.instanceUuid, True, True) == found
    assert service.content.searchIndex.FindByUuid(None, found.config.uuid, True) == found
    assert service.content.searchIndex.FindByInventoryPath("dr/vm/nothing") is None


def test_retrieve_gives_pages_that_must_be_followed(service: Any) -> None:
    collector = service.content.propertyCollector
    view = machines_view(service)
    page = collector.RetrievePropertiesEx([filter_spec(view)], Collector.RetrieveOptions())
    assert page.token is not None
    names = []
    while page is not None:
        names += [{one.name: one.val for one in item.propSet}["name"] for item in page.objects]
        page = collector.ContinueRetrievePropertiesEx(page.token) if page.token else None
    assert len(names) == len(set(names)) == MACHINES
    few = collector.RetrievePropertiesEx([filter_spec(view)], Collector.RetrieveOptions(maxObjects=3))
    assert len(few.objects) == 3
    assert len(collector.RetrieveProperties([filter_spec(view)])) == MACHINES
    with pytest.raises(vmodl.query.InvalidProperty):
        collector.RetrieveProperties([filter_spec(view, paths=["runtime.nonsense"])])


def test_updates_are_incremental(service: Any) -> None:
    follower = Follower(service)
    first = follower.poll()
    assert [kind for kind, _, _ in first] == ["enter"] * MACHINES
    assert follower.poll() == []
    web = machine(service, "ite-web-2")
    WaitForTask(web.PowerOffVM_Task(), si=service)
    changes = follower.poll()
    assert [(kind, moid) for kind, moid, _ in changes] == [("modify", web._GetMoId())]
    changed = changes[0][2]
    assert changed["runtime.powerState"] == "poweredOff"
    assert changed["guestHeartbeatStatus"] == "gray"
    assert "name" not in changed
    assert changed["guest.ipAddress"] is None
    WaitForTask(web.PowerOnVM_Task(None), si=service)
    follower.calm()
    with pytest.raises(vim.fault.InvalidPowerState) as raised:
        WaitForTask(web.PowerOnVM_Task(None), si=service)
    assert raised.value.existingState == "poweredOn"


def test_a_client_that_missed_an_answer_asks_again_and_misses_nothing(service: Any) -> None:
    follower = Follower(service)
    follower.poll()
    web = machine(service, "exim-web-2")
    WaitForTask(web.CreateSnapshot_Task("before", "", False, False), si=service)
    WaitForTask(web.PowerOffVM_Task(), si=service)
    version = follower.version
    first = follower.poll()
    follower.version = version  # as if that answer had been lost
    again = follower.poll()
    assert first == again != []
    WaitForTask(web.RemoveAllSnapshots_Task(), si=service)
    WaitForTask(web.PowerOnVM_Task(None), si=service)
    follower.version = "4711"
    with pytest.raises(vmodl.query.InvalidCollectorVersion):
        follower.poll()


def test_a_wait_is_long_ends_at_its_time_and_wakes_by_news(lab: RunningLab, service: Any) -> None:
    follower = Follower(service)
    follower.calm()
    begun = time.monotonic()
    assert follower.poll(wait_s=1) == []
    assert time.monotonic() - begun >= 0.9
    told: list[Any] = []
    waiting = threading.Thread(target=lambda: told.append(follower.poll(wait_s=30)))
    waiting.start()
    lab.fault("vanish-vm", "vc-dr/cdeps-app-2")
    waiting.join(10)
    assert [kind for kind, _, _ in told[0]] == ["leave"]
    lab.clear("vanish-vm", "vc-dr/cdeps-app-2")
    assert [kind for kind, _, _ in follower.poll(wait_s=10)] == ["enter"]
    assert len(follower.known) == MACHINES


def test_a_wait_can_be_canceled(lab: RunningLab, service: Any) -> None:
    follower = Follower(service)
    follower.poll()
    raised: list[BaseException] = []

    def wait() -> None:
        try:
            follower.poll(wait_s=30)
        except vmodl.fault.RequestCanceled as fault:
            raised.append(fault)

    waiting = threading.Thread(target=wait)
    waiting.start()
    end = time.monotonic() + 10
    while not raised and time.monotonic() < end:  # the wait may not have begun yet
        follower.collector.CancelWaitForUpdates()
        time.sleep(0.05)
    waiting.join(10)
    assert len(raised) == 1


def test_clone_and_destroy_with_snapshots_between(lab: RunningLab, service: Any) -> None:
    source = machine(service, "ncts-db-1")
    follower = Follower(service)
    follower.poll()
    spec = vim.vm.CloneSpec(location=vim.vm.RelocateSpec(), powerOn=True, template=False)
    task = source.CloneVM_Task(source.parent, "drill-1-ncts-db-1", spec)
    assert task.info.state in ("running", "success")
    WaitForTask(task, si=service)
    clone = task.info.result
    assert (clone.name, clone.runtime.powerState) == ("drill-1-ncts-db-1", "poweredOn")
    assert clone.config.instanceUuid != source.config.instanceUuid
    assert ("enter", clone._GetMoId()) in [(kind, moid) for kind, moid, _ in follower.poll()]
    with pytest.raises(vim.fault.DuplicateName):
        WaitForTask(source.CloneVM_Task(source.parent, "drill-1-ncts-db-1", spec), si=service)
    WaitForTask(clone.CreateSnapshot_Task("s1", "first", False, False), si=service)
    WaitForTask(clone.CreateSnapshot_Task("s2", "second", False, False), si=service)
    tree = clone.snapshot.rootSnapshotList
    assert (tree[0].name, tree[0].childSnapshotList[0].name) == ("s1", "s2")
    WaitForTask(clone.RemoveAllSnapshots_Task(), si=service)
    assert clone.snapshot is None
    with pytest.raises(vim.fault.InvalidPowerState):
        WaitForTask(clone.Destroy_Task(), si=service)
    WaitForTask(clone.PowerOffVM_Task(), si=service)
    WaitForTask(clone.Destroy_Task(), si=service)
    with pytest.raises(vmodl.fault.ManagedObjectNotFound):
        clone.PowerOnVM_Task(None)
    assert ("leave", clone._GetMoId()) in [(kind, moid) for kind, moid, _ in follower.poll()]
    happened = [one["what"] for one in lab.effects("ncts") if one["key"] == "vc-dr/drill-1-ncts-db-1"]
    assert [one for one in happened if not one.startswith("machine ")] == [
        *("clone", "snapshot", "snapshot", "remove snapshots", "power off", "destroy"),
    ]


def switch_outlets(lab: RunningLab, state: str) -> None:
    """Do what a fence does: tell the dr controller by Redfish."""
    secret = base64.b64encode(b"karaula:" + (lab.credentials / "pdu-dr").read_bytes()).decode()
    request = urllib.request.Request(
        f"https://{lab.address('2.6')}:8444/redfish/v1/PowerEquipment/RackPDUs/pdu-dr/OutletGroups/ite"
        "/Actions/OutletGroup.PowerControl",
        json.dumps({"PowerState": state}).encode(),
        {"Content-Type": "application/json", "Authorization": f"Basic {secret}"},
    )
    with urllib.request.urlopen(request, context=trust(lab), timeout=5) as answer:  # noqa: S310 - likewise
        assert answer.status in (200, 202, 204)


def test_a_fenced_machine_is_disconnected_and_stays_off_when_told(lab: RunningLab, service: Any) -> None:
    follower = Follower(service)
    follower.calm()
    switch_outlets(lab, "Off")
    changes = {moid: changed for _, moid, changed in follower.poll(wait_s=5)}
    assert len(changes) == 5
    assert {one["runtime.connectionState"] for one in changes.values()} == {"disconnected"}
    app, web = machine(service, "ite-app-1"), machine(service, "ite-web-1")
    assert app.runtime.powerState == "poweredOn"
    assert app.runtime.host.runtime.connectionState == "notResponding"
    WaitForTask(app.PowerOffVM_Task(), si=service)
    with pytest.raises(vmodl.fault.HostNotConnected):
        WaitForTask(app.PowerOnVM_Task(None), si=service)
    switch_outlets(lab, "On")
    until(lambda: bool(web.guestHeartbeatStatus == "green"))
    assert (app.runtime.powerState, app.guestHeartbeatStatus) == ("poweredOff", "gray")
    WaitForTask(app.PowerOnVM_Task(None), si=service)
    follower.calm()


def test_a_task_may_fail(lab: RunningLab, service: Any) -> None:
    web = machine(service, "cdeps-web-1")
    lab.fault("fail-task", "vc-dr")
    with pytest.raises(vmodl.fault.SystemError):
        WaitForTask(web.PowerOffVM_Task(), si=service)
    assert web.runtime.powerState == "poweredOn"


def test_an_expired_session_is_not_authenticated(lab: RunningLab, service: Any) -> None:
    follower = Follower(service)
    follower.poll()
    lab.fault("expire-sessions", "vc-dr")
    with pytest.raises(vim.fault.NotAuthenticated):
        follower.poll()


def test_a_hanging_vcenter_accepts_and_is_silent_and_recovers(lab: RunningLab) -> None:
    impatient = connect(lab, timeout_s=1)
    lab.fault("hang-vcenter", "vc-dr")
    with pytest.raises(OSError, match="timed out"):
        impatient.CurrentTime()
    with pytest.raises(OSError, match="timed out"):
        connect(lab, timeout_s=1)
    lab.clear("hang-vcenter", "vc-dr")
    assert impatient.CurrentTime() is not None


def test_a_power_cut_ends_connections_and_sessions(lab: RunningLab) -> None:
    service = connect(lab)
    follower = Follower(service)
    follower.poll()
    broken: list[BaseException] = []

    def wait() -> None:
        try:
            follower.poll(wait_s=30)
        except (OSError, http.client.HTTPException) as error:
            broken.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    time.sleep(0.3)
    lab.fault("cut-site", "dr")
    waiting.join(10)
    assert len(broken) == 1
    with pytest.raises(ConnectionRefusedError):
        service.CurrentTime()
    lab.clear("cut-site", "dr")
    with pytest.raises(vim.fault.NotAuthenticated):
        follower.poll()
    assert connect(lab).content.about.name == "VMware vCenter Server"


def test_what_is_not_soap_is_refused_politely(lab: RunningLab) -> None:
    connection = http.client.HTTPSConnection(lab.address("2.5"), 8989, timeout=5, context=trust(lab))
    for method, path, body, status in [
        ("GET", "/sdk", None, 405),
        ("GET", "/ui", None, 404),
        ("POST", "/sdk", b"<not xml", 500),
        ("POST", "/sdk", b"<a/>", 500),
        ("GET", "/sdk/vimServiceVersions.xml", None, 200),
    ]:
        connection.request(method, path, body)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == status, (method, path)
    connection.close()
