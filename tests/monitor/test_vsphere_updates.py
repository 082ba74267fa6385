"""The arithmetic of a vCenter's updates: whatever the sequence, the tables are those of a full read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from watch_kit import estate

from monitor.clients.vsphere_inventory import ALARMS, KINDS, ManagedBy, Ref, Triggered, Update
from monitor.clients.vsphere_tables import Tables
from monitor.clients.vsphere_tags import Tag
from monitor.errors import GarbledReply
from monitor.inventory.vcenters import VmRule
from monitor.probes.vsphere import Rule
from monitor.targets import targets

NAMES = st.text("ab%/\\", min_size=1, max_size=4)
MOREFS = st.sampled_from(["1", "2", "3", "4"])
OPTIONAL_VM = {
    "guest.ipAddress": st.sampled_from([None, "192.0.2.1", "192.0.2.2"]),
    "runtime.host": st.sampled_from([None, Ref("HostSystem", "host-1"), Ref("HostSystem", "host-2")]),
    "snapshot": st.sampled_from([None, (1.0,), (1.0, 2.0)]),
    "config.template": st.sampled_from([None, True, False]),
    "config.managedBy": st.sampled_from([None, ManagedBy("com.vmware.vcDr", "placeholderVm")]),
    "customValue": st.sampled_from([None, ((1, "x"),)]),
}
VALUES = {
    "VirtualMachine": st.fixed_dictionaries(
        {"name": NAMES, "runtime.powerState": st.sampled_from(["poweredOn", "poweredOff"])}, optional=OPTIONAL_VM
    ),
    "Datastore": st.fixed_dictionaries(
        {"name": NAMES},
        optional={
            "summary.freeSpace": st.sampled_from([None, 0, 5, 2**45]),
            "summary.accessible": st.sampled_from([None, True, False]),
        },
    ),
    "HostSystem": st.fixed_dictionaries({"name": NAMES}, optional={"overallStatus": st.sampled_from([None, "red"])}),
}


class Vcenter:
    """The truth, and the updates that a vCenter would send of it."""

    def __init__(self) -> None:
        self.objects: dict[Ref, dict[str, object]] = {}

    def enter_or_modify(self, ref: Ref, values: dict[str, object]) -> Update:
        known = self.objects.get(ref)
        kind = "enter" if known is None else "modify"
        self.objects[ref] = {**(known or {}), **values}
        return Update(kind, ref, values)

    def leave(self, ref: Ref) -> Update:
        self.objects.pop(ref, None)
        return Update("leave", ref, {})

    def in_full(self) -> list[Update]:
        return [Update("enter", ref, values) for ref, values in self.objects.items()]


@st.composite
def histories(draw: st.DrawFn) -> tuple[Vcenter, list[Update], int]:
    """Return a vCenter, all that it said since the first full read, and where a page ended."""
    vcenter, said = Vcenter(), []
    for _ in range(draw(st.integers(0, 12))):
        kind = draw(st.sampled_from(sorted(VALUES)))
        ref = Ref(kind, f"{kind}-{draw(MOREFS)}")
        if draw(st.booleans()) and ref in vcenter.objects:
            said.append(vcenter.leave(ref))
        else:
            said.append(vcenter.enter_or_modify(ref, draw(VALUES[kind])))
    return vcenter, said, draw(st.integers(0, max(0, len(said))))


def shown(tables: Tables) -> dict[str, dict[str, object]]:
    snapshot = tables.snapshot(1.0, "8.0", full=False, changed=0)
    return {kind: dict(getattr(snapshot, kind)) for kind in ("vms", "hosts", "datastores")}


@given(histories())
def test_increments_in_pages_give_what_a_full_read_gives(history: tuple[Vcenter, list[Update], int]) -> None:
    vcenter, said, cut = history
    by_increments, in_full = Tables(), Tables()
    assert by_increments.apply(said[:cut]) + by_increments.apply(said[cut:]) == len(said)
    in_full.apply(vcenter.in_full())
    assert shown(by_increments) == shown(in_full)


@given(histories())
def test_a_page_that_is_sent_again_changes_nothing(history: tuple[Vcenter, list[Update], int]) -> None:
    """A vCenter that did not learn that its answer arrived sends the objects' present state once more."""
    vcenter, said, _ = history
    tables = Tables()
    tables.apply(said)
    before = shown(tables)
    tables.apply(vcenter.in_full())
    assert shown(tables) == before


@given(histories())
def test_a_snapshot_does_not_change_with_its_tables(history: tuple[Vcenter, list[Update], int]) -> None:
    _, said, cut = history
    tables = Tables()
    tables.apply(said[:cut])
    kept = tables.snapshot(1.0, "8.0", full=True, changed=cut)
    copy = (dict(kept.vms), dict(kept.hosts), dict(kept.datastores))
    tables.apply(said[cut:])
    assert (dict(kept.vms), dict(kept.hosts), dict(kept.datastores)) == copy


VM = Ref("VirtualMachine", "vm-1")
ON = {"name": "a%2fb", "runtime.powerState": "poweredOn"}


def test_names_are_shown_as_people_wrote_them() -> None:
    tables = Tables()
    tables.apply([Update("enter", VM, ON), Update("modify", VM, {"name": "c%252f"})])
    assert tables.snapshot(1.0, "8.0", full=True, changed=2).vms["vm-1"].name == "c%2f"


def test_an_object_that_enters_again_starts_afresh() -> None:
    tables = Tables()
    tables.apply([Update("enter", VM, {**ON, "guest.ipAddress": "192.0.2.1"}), Update("enter", VM, ON)])
    assert tables.snapshot(1.0, "8.0", full=True, changed=1).vms["vm-1"].ip == ""


@pytest.mark.parametrize(
    "values",
    [{"name": "x"}, {"runtime.powerState": "poweredOn"}, {"name": "x", "runtime.powerState": "asleep"}, {"owner": "x"}],
)
def test_what_is_no_vm_is_garbled(values: dict[str, object]) -> None:
    with pytest.raises(GarbledReply, match="vm-1"):
        Tables().apply([Update("enter", VM, values)])


def test_a_vm_that_loses_its_power_state_is_garbled() -> None:
    with pytest.raises(GarbledReply, match="vm-1"):
        Tables().apply([Update("enter", VM, ON), Update("modify", VM, {"runtime.powerState": None})])


def test_what_may_not_be_read_is_not_known() -> None:
    tables = Tables()
    tables.apply(
        [
            Update("enter", VM, ON, frozenset({"snapshot"})),
            Update("enter", Ref("Datastore", "datastore-1"), {}, frozenset({"summary.freeSpace"})),
            Update("enter", Ref("Folder", "group-d1"), {}, frozenset({ALARMS})),
        ]
    )
    seen = tables.snapshot(1.0, "8.0", full=True, changed=3)
    assert seen.vms["vm-1"].snapshots is None
    store = seen.datastores["datastore-1"]
    assert (store.name, store.free, store.accessible) == ("datastore-1", None, None)
    assert seen.alarms is None
    assert seen.folders == {}


def test_the_roots_alarms_come_whole_each_time() -> None:
    tables, root = Tables(), Ref("Datacenter", "datacenter-2")
    one = Triggered("alarm-1", VM, "red", 1.0, False, "")
    tables.apply([Update("enter", root, {ALARMS: (one,)})])
    assert tables.alarms == (one,)
    tables.apply([Update("modify", root, {ALARMS: None})])
    assert tables.alarms == ()


def test_a_vm_is_found_by_its_folder_and_all_above() -> None:
    tables = Tables()
    tables.apply(
        [
            Update("enter", Ref("Datacenter", "datacenter-2"), {"name": "main"}),
            Update("enter", Ref("Folder", "group-v3"), {"name": "vm", "parent": Ref("Datacenter", "datacenter-2")}),
            Update("enter", Ref("Folder", "group-v9"), {"name": "a%2fb", "parent": Ref("Folder", "group-v3")}),
            Update("enter", VM, {**ON, "parent": Ref("Folder", "group-v9")}),
        ]
    )
    seen = tables.snapshot(1.0, "8.0", full=True, changed=4)
    assert seen.folder_path(seen.vms["vm-1"]) == "main/vm/a/b"
    tables.apply([Update("modify", Ref("Folder", "group-v3"), {"parent": Ref("Folder", "group-v9")})])
    seen = tables.snapshot(2.0, "8.0", full=False, changed=1)
    assert seen.folder_path(seen.vms["vm-1"]).endswith("a/b")  # a circle ends


def test_every_kind_has_a_name() -> None:
    assert all("name" in kind.paths for kind in KINDS.values())


def test_the_inventory_says_which_vms_are_needed_which_are_replicas_and_which_a_rule_finds() -> None:
    inventory = estate()
    system = inventory.systems["ncts"]
    main, dr = system.sites["main"], system.sites["dr"]
    rules = (
        VmRule(tier="web", folder="main/vm/NCTS", at_least=2),
        VmRule(tier="web", attribute="a", value="b"),
        VmRule(tier="web", category="c", tag="t"),
    )
    sites = {
        "main": main.model_copy(update={"vms": main.vms.model_copy(update={"rules": rules})}),
        "dr": dr.model_copy(update={"standby": "off"}),
    }
    systems = {**inventory.systems, "ncts": system.model_copy(update={"sites": sites})}
    asked = targets(inventory.model_copy(update={"systems": systems}))
    params = {one.params.key: one.params for one in asked if one.probe == "vsphere"}
    assert params["vc-main"].rules == (
        Rule("ncts/main/web", "main/vm/NCTS", "", "", 2),
        Rule("ncts/main/web", "", "a", "b", 1),
        Rule("ncts/main/web", "", "", "", 1, Tag("c", "t")),
    )
    assert "ncts-web-1" in params["vc-main"].vms
    assert params["vc-dr"].replicas == ("ncts-app-1", "ncts-app-2", "ncts-db-1", "ncts-web-1", "ncts-web-2")
    assert not set(params["vc-dr"].replicas) & set(params["vc-dr"].vms)
    assert params["vc-dr"].counters == (
        "cpu-usage",
        "cpu-ready",
        "memory-usage",
        "disk-latency",
        "disk-read",
        "disk-write",
    )
    assert params["vc-dr"].survey_interval_s == 20


@pytest.mark.parametrize("bad", ["\n", "\x85", "\u2028", "\u2029", "\u202e", "\u2066"])
def test_a_name_with_a_character_that_breaks_or_turns_lines_is_shown_with_a_replacement(bad: str) -> None:
    tables = Tables()
    values = {"name": f"te{bad}s%2ft", "runtime.powerState": "poweredOn"}
    tables.apply([Update("enter", Ref("VirtualMachine", "1"), values)])
    tables.apply([Update("enter", Ref("HostSystem", "2"), {"name": f"te{bad}st"})])
    snapshot = tables.snapshot(1.0, "8.0", full=True, changed=2)
    assert snapshot.vms["1"].name == "te\ufffds/t"
    assert snapshot.hosts["2"].name == "te\ufffdst"
