"""A vCenter's day on the lab: a datastore fills, a snapshot is forgotten, a VM is orphaned."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from daemon_kit import RunningDaemon, running_daemon, unwrapped
from estate_kit import RunningLab, start_lab

pytestmark = pytest.mark.lab

STORE = "datastore/vc-main/san-main-1"
DATABASE = "vm/vc-main/ncts-db-1"
WEB = "vm/vc-dr/ncts-web-1"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    with start_lab(tmp_path_factory.mktemp("vcenters"), rate=0) as running:
        yield running


@pytest.fixture(scope="module")
def daemon(lab: RunningLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    with running_daemon(lab, tmp_path_factory.mktemp("state")) as running:
        running.wait("the vCenter is well", lambda: running.status(STORE) == "ok" and running.status(WEB) == "ok")
        yield running


@pytest.fixture(autouse=True)
def healed(lab: RunningLab) -> Iterator[None]:
    yield
    lab.clear()


def seen(daemon: RunningDaemon, subject: str) -> dict[str, Any]:
    found: dict[str, Any] = daemon.api(f"/api/status/{subject}")
    return found


def test_counters_of_every_running_vm_are_shown(daemon: RunningDaemon) -> None:
    def measured() -> bool:
        page = httpx2.get(f"{daemon.url}/metrics").text
        return page.count("karaula_vm_cpu_ready_ratio{") == 41

    daemon.wait("counters of 41 VMs", measured)
    values = seen(daemon, DATABASE)["values"]
    assert 0.04 <= values["cpu_usage"] <= 0.45
    assert 0 <= values["disk_latency"] <= 0.018


def test_a_datastore_that_fills_is_told_once_and_known_again(lab: RunningLab, daemon: RunningDaemon) -> None:
    lab.fault("fill-datastore", "vc-main/san-main-1", free_percent=12)
    daemon.wait("a warning", lambda: ("datastore-warning", STORE) in daemon.alarms())
    lab.fault("fill-datastore", "vc-main/san-main-1", free_percent=3)
    daemon.wait("an alarm", lambda: ("datastore-alarm", STORE) in daemon.alarms())
    shown = daemon.karaula("status", STORE)
    assert "3.0 % free (122.9 GiB), below the alarm limit of 5 %" in shown
    assert "vCenter alarm 'Datastore usage on disk' (red)" in shown
    assert {alarm for alarm in daemon.alarms() if alarm[1].startswith(("datastore/", "vcenter/"))} == {
        ("datastore-alarm", STORE)
    }
    lab.clear("fill-datastore", "vc-main/san-main-1")
    daemon.wait("well again", lambda: daemon.status(STORE) == "ok" and not daemon.alarms())


def test_an_alarm_that_was_acknowledged_at_the_vcenter_is_shown_and_changes_nothing(
    lab: RunningLab, daemon: RunningDaemon
) -> None:
    store = "datastore/vc-dr/san-dr-2"
    lab.fault("acknowledge-alarms", "vc-dr")
    lab.fault("fill-datastore", "vc-dr/san-dr-2", free_percent=14.95)
    daemon.wait("below our limit", lambda: daemon.status(store) == "degraded")
    assert "vCenter alarm" not in seen(daemon, store)["status"]["reason"]
    assert "acknowledged by VSPHERE.LOCAL" in seen(daemon, store)["facts"]["alarms"]
    values = seen(daemon, "vcenter/vc-dr")["values"]
    assert (values["alarms"], values["alarms_acknowledged"]) == (1, 1)
    assert daemon.status("vcenter/vc-dr") == "ok"


def test_a_forgotten_snapshot_and_an_orphaned_vm(lab: RunningLab, daemon: RunningDaemon) -> None:
    lab.fault("old-snapshot", "vc-main/ncts-db-1", days=9)
    lab.fault("orphan-vm", "vc-dr/ncts-web-1")
    daemon.wait("both are told", lambda: {("vm-degraded", DATABASE), ("vm-down", WEB)} <= daemon.alarms())
    assert "a snapshot is 9.0 d old, longer than the 3.0 d that are allowed" in daemon.karaula("status", DATABASE)
    assert "the vCenter calls it orphaned" in daemon.karaula("status", WEB)
    daemon.wait("its size, by the slower clock", lambda: "snapshot_bytes" in seen(daemon, DATABASE)["values"])
    assert "36.0 GiB" in seen(daemon, DATABASE)["facts"]["snapshots"]  # 4 GiB a day
    lab.clear()
    daemon.wait("well again", lambda: not daemon.alarms())


def test_red_readiness_refuses_a_drill_and_never_a_persons_failover(lab: RunningLab, daemon: RunningDaemon) -> None:
    def light(check: str) -> str:
        (found,) = daemon.api("/api/readiness/ncts")["systems"]
        return str(next(one["light"] for one in found["checks"] if one["name"] == check))

    daemon.wait("room is known to be there", lambda: light("capacity") == "green")
    daemon.wait("everything a drill stands on is well", lambda: light("access") == light("machines") == "green")
    lab.fault("orphan-vm", "vc-dr/ncts-web-1")
    daemon.wait("the machines are red", lambda: light("machines") == "red")
    said = unwrapped(daemon.karaula("readiness", "ncts", code=1))
    assert "vm/vc-dr/ncts-web-1 is down: the vCenter calls it orphaned" in said
    refused = unwrapped(daemon.karaula("drill", "ncts", code=3, user="ana"))
    assert "a drill would stand on what is not ready at dr: machines red" in refused
    assert "karaula override readiness ncts" in refused
    daemon.karaula("failover", "ncts", "--reason", "main is under water", "--no-wait", user="ana")
    (run,) = [one for one in daemon.api("/api/runs") if one["playbook"] == "failover"]
    assert run["state"] == "WAITING", "for a second person, as ever"
    (verdict,) = [one for one in daemon.run(run["id"])["guards"] if one["guard"] == "readiness"]
    assert (verdict["ruling"], verdict["reason"]) == ("allow", "red-told")
    assert "the vCenter calls it orphaned" in verdict["sentence"]
    daemon.karaula("run", "deny", run["id"], "--reason", "only tried", user="boris")
    lab.clear()
    daemon.wait("a drill could be held again", lambda: light("machines") == "green")
    rulings = {
        one["guard"]: one["ruling"]
        for one in daemon.api("/api/plans", {"playbook": "drill", "system": "ncts"})["guards"]
    }
    assert rulings["readiness"] == "allow"


def test_a_vm_that_nobody_names_is_found_by_its_tag_and_its_replica_is_known_as_one(
    lab: RunningLab, daemon: RunningDaemon
) -> None:
    tagged, replica = "vm/vc-main/ncts-web-3", "vm/vc-dr/ncts-web-3"
    daemon.wait("tags are read", lambda: "belongs_to" in seen(daemon, tagged)["facts"])
    assert seen(daemon, tagged)["facts"]["belongs_to"] == "ncts/main/web"
    facts = seen(daemon, replica)["facts"]
    assert (facts["power"], facts["role"], daemon.status(replica)) == ("off", "placeholder", "ok")
    assert daemon.status("vcenter/vc-main") == "ok"
