"""Tasks on the lab's vCenter, and its faults, under pyvmomi itself."""

# mypy: disallow-untyped-calls=False
# (pyVmomi calls itself typed and annotates nothing)

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from estate_kit import RunningLab, start_lab
from pyVim.task import WaitForTask
from pyVmomi import vim, vmodl
from vcenter_kit import (
    STUBS,
    Follower,
    connect,
    machine,
    trust,
    until,
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
    older = tree[0].snapshot
    WaitForTask(older.RemoveSnapshot_Task(removeChildren=False), si=service)
    (left,) = clone.snapshot.rootSnapshotList
    assert (left.name, left.snapshot) == ("s2", tree[0].childSnapshotList[0].snapshot)
    with pytest.raises(vmodl.fault.ManagedObjectNotFound):
        older.RemoveSnapshot_Task(removeChildren=False)
    WaitForTask(clone.CreateSnapshot_Task("s3", "third", False, False), si=service)
    WaitForTask(left.snapshot.RemoveSnapshot_Task(removeChildren=True), si=service)
    assert clone.snapshot is None
    WaitForTask(clone.CreateSnapshot_Task("s4", "fourth", False, False), si=service)
    WaitForTask(clone.RemoveAllSnapshots_Task(), si=service)
    assert clone.snapshot is None
    with pytest.raises(vim.fault.InvalidPowerState):
        WaitForTask(clone.Destroy_Task(), si=service)
    WaitForTask(clone.PowerOffVM_Task(), si=service)
    WaitForTask(clone.Destroy_Task(), si=service)
    with pytest.raises(vmodl.fault.ManagedObjectNotFound):
        clone.PowerOnVM_Task(None)
    assert ("leave", clone._GetMoId()) in [(kind, moid) for kind, moid, _ in follower.poll()]
    mine = [one for one in lab.effects("ncts") if one["key"] == "vc-dr/drill-1-ncts-db-1"]
    assert [one["what"] for one in mine if one["by"] == "vcenter"] == [
        *("clone", "snapshot", "snapshot", "remove snapshot"),
        *("snapshot", "remove snapshot", "remove snapshot", "snapshot", "remove snapshots", "power off", "destroy"),
    ]
    assert [one["what"] for one in mine if one["by"] == "truth"] == ["clone on production network"]


def test_network_cards_are_plugged_elsewhere(lab: RunningLab, service: Any) -> None:
    datacenter = service.content.searchIndex.FindByInventoryPath("dr")
    networks = {one.name: one for one in datacenter.network}
    assert set(networks) == {"production", "replication", "drill-bubble"}
    assert {one.name for one in networks["replication"].vm} == {
        f"{key}-db-1" for key in ("cdeps", "ncts", "ite", "exim")
    }
    source = machine(service, "ite-db-1")
    spec = vim.vm.CloneSpec(location=vim.vm.RelocateSpec(), powerOn=False, template=False)
    task = source.CloneVM_Task(source.parent, "drill-2-ite-db-1", spec)
    WaitForTask(task, si=service)
    clone: Any = task.info.result
    assert [one.name for one in clone.network] == ["production", "replication"]

    cards: list[Any] = [
        one for one in clone.config.hardware.device if isinstance(one, vim.vm.device.VirtualEthernetCard)
    ]
    assert [card.deviceInfo.label for card in cards] == ["Network adapter 1", "Network adapter 2"]
    assert [card.backing.network.name for card in cards] == ["production", "replication"]
    for card in cards:
        card.backing = vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(
            deviceName="drill-bubble", network=networks["drill-bubble"]
        )
        card.connectable.startConnected = False

    def plug(*changed: Any) -> None:
        change = [vim.vm.device.VirtualDeviceSpec(operation="edit", device=card) for card in changed]
        WaitForTask(clone.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=change)), si=service)

    lab.fault("lie-reconfigure", "vc-dr")
    plug(*cards)
    assert [one.name for one in clone.network] == ["production", "replication"]
    lab.clear()
    plug(*cards)
    assert [one.name for one in clone.network] == ["drill-bubble"]
    after = clone.config.hardware.device[1:]
    assert [(card.backing.deviceName, card.connectable.startConnected) for card in after] == [
        ("drill-bubble", False)
    ] * 2
    assert "drill-2-ite-db-1" in [one.name for one in networks["drill-bubble"].vm]

    cards[0].key = 4711
    with pytest.raises(vim.fault.InvalidDeviceSpec):
        plug(cards[0])
    with pytest.raises(vmodl.fault.NotSupported):
        clone.ReconfigVM_Task(vim.vm.ConfigSpec(numCPUs=2))
    WaitForTask(clone.Destroy_Task(), si=service)
    assert lab.truth("ite")["production_clone"] is False


def switch_outlets(lab: RunningLab, state: str) -> None:
    """Do what a fence does: tell the dr controller by Redfish."""
    secret = base64.b64encode(b"karaula:" + (lab.credentials / "pdu-dr").read_bytes()).decode()
    request = urllib.request.Request(
        f"https://{lab.address('2.6')}:8444/redfish/v1/PowerEquipment/RackPDUs/pdu-dr/OutletGroups/ite"
        "/Actions/OutletGroup.PowerControl",
        json.dumps({"PowerState": state}).encode(),
        {"Content-Type": "application/json", "Authorization": f"Basic {secret}"},
    )
    with urllib.request.urlopen(request, context=trust(lab), timeout=60) as answer:  # noqa: S310 - likewise
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
    waiting.join(60)
    assert len(broken) == 1
    with pytest.raises(ConnectionRefusedError):
        service.CurrentTime()
    lab.clear("cut-site", "dr")
    with pytest.raises(vim.fault.NotAuthenticated):
        follower.poll()
    assert connect(lab).content.about.name == "VMware vCenter Server"


def test_what_is_not_soap_is_refused_politely(lab: RunningLab) -> None:
    connection = http.client.HTTPSConnection(lab.address("2.5"), 8989, timeout=60, context=trust(lab))
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
