"""The lab's vCenter under pyvmomi itself: what the SDK can parse and follow is what a vCenter would say."""

# mypy: disallow-untyped-calls=False
# (pyVmomi calls itself typed and annotates nothing)

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from estate_kit import RunningLab, start_lab
from pyVim.connect import SmartConnect
from pyVim.task import WaitForTask
from pyVmomi import vim, vmodl
from vcenter_kit import (
    MACHINES,
    STUBS,
    Collector,
    Follower,
    connect,
    filter_spec,
    instance,
    machine,
    machines_view,
    trust,
)

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    with start_lab(tmp_path_factory.mktemp("vcenter"), rate=0) as running:
        yield running


@pytest.fixture(autouse=True)
def healed(lab: RunningLab) -> Iterator[None]:
    yield
    lab.clear()
    while STUBS:
        STUBS.pop().DropConnections()


@pytest.fixture
def service(lab: RunningLab) -> Iterator[Any]:
    service = connect(lab)
    yield service
    with contextlib.suppress(vim.fault.NotAuthenticated):  # the test may have ended it
        service.content.sessionManager.Logout()


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
    assert (host.runtime.connectionState, len(host.vm)) == ("connected", 6)
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
    waiting.join(60)
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
    waiting.join(60)
    assert len(raised) == 1
