"""What is told of a vCenter's things: the same whether it was worked out anew or kept from the last poll."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.clients.vsphere import Survey
from monitor.clients.vsphere_inventory import ManagedBy, Ref, Triggered, Update
from monitor.clients.vsphere_tables import Tables
from monitor.probe import Answer
from monitor.probes.vsphere_things import Rule, Teller, VsphereParams

RULE = Rule("ncts/main/web", "main/vm", "", "", 1)
PARAMS = VsphereParams("vc", "a", 1, "u", "c", vms=("db", "lost"), replicas=("replica",), rules=(RULE,))
NAMES = st.sampled_from(["db", "web", "replica", "other"])
VM_VALUES = st.fixed_dictionaries(
    {"name": NAMES, "runtime.powerState": st.sampled_from(["poweredOn", "poweredOff"])},
    optional={
        "runtime.connectionState": st.sampled_from(["connected", "orphaned", "disconnected"]),
        "runtime.host": st.sampled_from([Ref("HostSystem", "HostSystem-1"), Ref("HostSystem", "HostSystem-2")]),
        "snapshot": st.sampled_from([None, (5.0,)]),
        "config.managedBy": st.sampled_from([None, ManagedBy("com.vmware.vcDr", "placeholderVm")]),
        "parent": st.sampled_from([Ref("Folder", "Folder-1"), Ref("Folder", "Folder-2")]),
    },
)
HOST_VALUES = st.fixed_dictionaries({"name": NAMES}, optional={"overallStatus": st.sampled_from(["green", "red"])})
FOLDER_VALUES = st.fixed_dictionaries({"name": st.sampled_from(["main/vm", "other"])})
ALARM = Triggered("alarm-1", Ref("VirtualMachine", "VirtualMachine-1"), "red", 1.0, False, "")
KINDS = {"VirtualMachine": VM_VALUES, "HostSystem": HOST_VALUES, "Folder": FOLDER_VALUES}


@st.composite
def polls(draw: st.DrawFn) -> list[list[Update]]:
    found = []
    for _ in range(draw(st.integers(1, 5))):
        page = []
        for _ in range(draw(st.integers(0, 3))):
            kind = draw(st.sampled_from(sorted(KINDS)))
            ref = Ref(kind, f"{kind}-{draw(st.sampled_from('12'))}")
            word = draw(st.sampled_from(["enter", "enter", "leave"]))
            page.append(Update(word, ref, {} if word == "leave" else draw(KINDS[kind])))
        if draw(st.booleans()):
            alarms = draw(st.sampled_from([(), (ALARM,), (ALARM._replace(acknowledged=True),)]))
            page.append(Update("modify", Ref("Folder", "group-d1"), {"triggeredAlarmState": alarms}))
        found.append(page)
    return found


def said(teller: Teller, snapshot: Any, survey: Survey | None) -> dict[str, tuple[Any, ...]]:
    """Return what is told of what is there; of what is gone the reason depends on what was there before."""
    there = {f"vm/vc/{vm.name}" for vm in snapshot.vms.values()} | {
        f"esx/vc/{one.name}" for one in snapshot.hosts.values()
    }
    told = list(teller.tell(snapshot, survey, ""))
    assert len({one.subject for one in told}) == len(told)
    assert {one.at for one in told} == {snapshot.at}
    assert {"vm/vc/db", "vm/vc/lost", "vm/vc/replica"} <= {one.subject for one in told}  # named: told every time
    return {
        one.subject: (one.answer, one.reason, dict(one.values), dict(one.facts))
        for one in told
        if one.subject in {*there, "vcenter/vc"}
    }


@given(polls(), st.lists(st.sampled_from([None, 0.2, 0.3]), min_size=5, max_size=5))
def test_what_is_kept_is_what_would_be_worked_out(pages: list[list[Update]], loads: list[float | None]) -> None:
    tables, kept = Tables(), Teller(PARAMS, "vsphere")
    surveys = {load: Survey(99.0, {"VirtualMachine-1": {"cpu-usage": load}}, {}) for load in loads if load is not None}
    for number, page in enumerate(pages):
        changed = tables.apply(page)
        survey = surveys.get(loads[number])
        for repeated in (0.0, 0.5):
            snapshot = tables.snapshot(100.0 + number + repeated, "8.0", full=False, changed=changed)
            assert said(kept, snapshot, survey) == said(Teller(PARAMS, "vsphere"), snapshot, survey)


ON = {"name": "db", "runtime.powerState": "poweredOn", "runtime.connectionState": "connected"}
VM = Ref("VirtualMachine", "vm-1")


def told(
    tables: Tables, survey: Survey | None = None, error: str = "", at: float = 100.0, **more: Any
) -> dict[str, Any]:
    teller = Teller(replace(PARAMS, rules=(), **more), "vsphere")
    snapshot = tables.snapshot(at, "8.0", full=True, changed=1, names={"alarm-1": "Usage", "domain-c1": "cluster"})
    return {one.subject: one for one in teller.tell(snapshot, survey, error)}


@pytest.mark.parametrize(("age_s", "shown"), [(0.0, True), (179.0, True), (181.0, False), (-181.0, False)])
def test_old_counters_are_not_shown_as_new(age_s: float, shown: bool) -> None:
    tables = Tables()
    tables.apply([Update("enter", VM, ON)])
    survey = Survey(1000.0 - age_s, {"vm-1": {"cpu-usage": 0.5}}, {})
    seen = told(tables, survey, at=1000.0)
    assert ("cpu_usage" in seen["vm/vc/db"].values) is shown
    assert ("performance" in seen["vcenter/vc"].facts) is not shown


def test_a_vm_that_is_off_shows_no_counters_of_when_it_ran() -> None:
    tables = Tables()
    tables.apply([Update("enter", VM, {**ON, "runtime.powerState": "poweredOff"})])
    seen = told(tables, Survey(100.0, {"vm-1": {"cpu-usage": 0.5}}, {}))["vm/vc/db"]
    assert "cpu_usage" not in seen.values
    assert (seen.answer, seen.reason) == (Answer.FAILED, "powered off")


def test_a_placeholder_is_a_replica_by_itself() -> None:
    tables = Tables()
    by = ManagedBy("com.vmware.vcDr", "placeholderVm")
    tables.apply([Update("enter", VM, {**ON, "runtime.powerState": "poweredOff", "config.managedBy": by})])
    seen = told(tables)["vm/vc/db"]
    assert (seen.answer, seen.facts["role"]) == (Answer.OK, "placeholder")
    tables.apply([Update("modify", VM, {"runtime.connectionState": "orphaned"})])
    assert told(tables)["vm/vc/db"].answer is Answer.FAILED


def alarm(entity: Ref, status: str = "red", *, seen: bool = False) -> Triggered:
    return Triggered("alarm-1", entity, status, 1.0, seen, "duty" if seen else "")


@pytest.mark.parametrize(
    ("one", "subject", "finding"),
    [
        (alarm(VM), "vm/vc/db", "vCenter alarm 'Usage' (red)"),
        (alarm(VM, "yellow"), "vm/vc/db", ""),
        (alarm(VM, seen=True), "vm/vc/db", ""),
        (alarm(Ref("ClusterComputeResource", "domain-c1")), "vcenter/vc", "vCenter alarm 'Usage' on cluster (red)"),
        (alarm(Ref("ClusterComputeResource", "domain-c1"), seen=True), "vcenter/vc", ""),
    ],
)
def test_an_alarm_is_told_of_what_it_is_about(one: Triggered, subject: str, finding: str) -> None:
    tables = Tables()
    tables.apply([Update("enter", VM, ON), Update("enter", Ref("Folder", "r"), {"triggeredAlarmState": (one,)})])
    seen = told(tables)
    assert seen[subject].facts.get("findings", "") == finding
    assert "'Usage'" in seen[subject].facts["alarms"]
    assert [name for name, each in seen.items() if "alarms" in each.facts] == [subject]


def test_alarms_that_may_not_be_read_are_not_none() -> None:
    tables = Tables()
    tables.apply([Update("enter", Ref("Folder", "r"), {}, frozenset({"triggeredAlarmState"}))])
    seen = told(tables)["vcenter/vc"]
    assert seen.facts["alarms"] == "may not be read"
    assert "alarms" not in seen.values


@pytest.mark.parametrize(
    ("values", "alarms", "answer", "finding"),
    [
        ({"runtime.connectionState": "connected", "overallStatus": "green"}, (), Answer.OK, ""),
        (
            {"runtime.connectionState": "connected", "overallStatus": "red"},
            (),
            Answer.OK,
            "the vCenter gives it the status red",
        ),
        (
            {"runtime.connectionState": "connected", "overallStatus": "red"},
            (alarm(Ref("HostSystem", "host-1"), seen=True),),
            Answer.OK,
            "",
        ),
        ({"runtime.connectionState": "notResponding"}, (), Answer.FAILED, ""),
        ({"runtime.connectionState": "disconnected"}, (), Answer.FAILED, ""),
        ({}, (), Answer.FAILED, ""),
        ({"runtime.connectionState": "notResponding", "runtime.inMaintenanceMode": True}, (), Answer.UNKNOWN, ""),
        ({"runtime.connectionState": "connected", "runtime.inMaintenanceMode": True}, (), Answer.OK, ""),
    ],
)
def test_hosts(values: dict[str, Any], alarms: tuple[Triggered, ...], answer: Answer, finding: str) -> None:
    tables = Tables()
    host = Update("enter", Ref("HostSystem", "host-1"), {"name": "e", **values})
    tables.apply([host, Update("enter", Ref("Folder", "r"), {"triggeredAlarmState": alarms})])
    seen = told(tables)["esx/vc/e"]
    assert (seen.answer, seen.facts.get("findings", "")) == (answer, finding)


CLUSTER = Ref("ClusterComputeResource", "domain-c1")
DRS = "configuration.drsConfig.enabled"


@pytest.mark.parametrize(
    ("parent", "cluster", "facts"),
    [
        (None, {"name": "one", DRS: True}, {}),
        (Ref("ComputeResource", "domain-s1"), {"name": "one", DRS: True}, {"placement": "host-1"}),
        (CLUSTER, {"name": "one", DRS: True}, {"placement": "domain-c1", "cluster": "one"}),
        (CLUSTER, {"name": "one"}, {"placement": "domain-c1", "cluster": "one"}),
        (CLUSTER, {"name": "one", DRS: False}, {"placement": "host-1", "cluster": "one"}),
        (CLUSTER, None, {"placement": "domain-c1"}),
    ],
)
def test_a_machine_is_placed_in_a_cluster_or_on_a_host_alone(
    parent: Ref | None, cluster: dict[str, Any] | None, facts: dict[str, str]
) -> None:
    tables = Tables()
    values = {"name": "e", "runtime.connectionState": "connected", "parent": parent}
    tables.apply([Update("enter", Ref("HostSystem", "host-1"), values)])
    if cluster is not None:
        tables.apply([Update("enter", CLUSTER, cluster)])
    found = told(tables)["esx/vc/e"].facts
    assert {name: fact for name, fact in found.items() if name in {"placement", "cluster"}} == facts
    if DRS in (cluster or {}) and parent == CLUSTER:
        tables.apply([Update("modify", CLUSTER, {DRS: not cluster[DRS]})])
        assert told(tables)["esx/vc/e"].facts["placement"] != facts["placement"], "somebody has switched DRS"


@pytest.mark.parametrize(
    ("values", "answer"),
    [
        ({"summary.accessible": True, "summary.capacity": 9, "summary.freeSpace": 3}, Answer.OK),
        ({"summary.accessible": True, "summary.capacity": 9, "summary.freeSpace": 0}, Answer.OK),
        ({"summary.accessible": True, "summary.capacity": 0, "summary.freeSpace": 0}, Answer.UNKNOWN),
        ({"summary.accessible": True, "summary.capacity": 9}, Answer.UNKNOWN),
        ({"summary.capacity": 9, "summary.freeSpace": 3}, Answer.UNKNOWN),
        ({"summary.accessible": False, "summary.capacity": 9, "summary.freeSpace": 3}, Answer.FAILED),
        ({"summary.accessible": False, "summary.maintenanceMode": "inMaintenance"}, Answer.UNKNOWN),
        ({"summary.accessible": False, "summary.maintenanceMode": "normal"}, Answer.FAILED),
    ],
)
def test_datastores(values: dict[str, Any], answer: Answer) -> None:
    tables = Tables()
    tables.apply([Update("enter", Ref("Datastore", "datastore-1"), {"name": "a%2fb", **values})])
    seen = told(tables)["datastore/vc/a/b"]
    assert seen.answer is answer
    assert ("free_bytes" in seen.values) is (answer is Answer.OK)
