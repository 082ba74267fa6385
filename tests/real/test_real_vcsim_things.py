"""What the probe tells of the things in a vCenter, against govmomi's simulator: moves, names, marks, snapshots."""

# mypy: disallow-untyped-calls=False
# (pyVmomi calls itself typed and annotates nothing)

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest
from estate_kit import REPOSITORY
from pyVim.task import WaitForTask
from pyVmomi import vim
from vcsim.beside import VM, behind_its_back

from dr.backups.proof import proof_of
from dr.loss import NOT_SEEN
from dr.readiness.capacity import capacity
from dr.readiness.known import Known, Sight
from dr.readiness.lights import Light
from monitor.clients.vsphere_survey import COUNTERS
from monitor.clock import RealClock
from monitor.credential import Credentials
from monitor.inventory.estate import Trust
from monitor.inventory.read import read
from monitor.probe import Answer, Target
from monitor.probes.vsphere import Rule, VsphereParams, VsphereProbe
from monitor.status.state import Health

pytestmark = [pytest.mark.anyio, pytest.mark.real]

LONG_S = 60.0  # for what must happen, however slow the machine
OFTEN_S = 1.0  # three times that, and counters are too old to be shown: more than a busy machine takes for a poll
CLUSTERED = "DC0_C0_RP0_VM0"
SIX = ("cpu-usage", "cpu-ready", "memory-usage", "disk-read", "disk-write", "network-received")


class Asked:
    """A probe, its target and what it says."""

    def __init__(self, probe, params):
        self.probe = probe
        self.params = params
        self.deadline_s = LONG_S

    async def poll(self):
        target = Target("vcenter/vc", "vsphere", self.params, 10, self.deadline_s)
        return {seen.subject: seen async for seen in self.probe.observe([target])}

    async def until(self, holds):
        give_up = time.monotonic() + LONG_S
        while not holds(seen := await self.poll()):
            assert time.monotonic() < give_up, f"it did not come to this: {seen}"
            await asyncio.sleep(0.05)
        return seen

    def forget(self):
        """Have the next poll read everything: of some changes the simulator tells in a full read only."""
        self.probe._sessions[self.params]._collector._keeper.drop()

    def beside(self):
        return behind_its_back(self.probe._sessions[self.params])


@pytest.fixture
async def asked(ca, tmp_path):
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "vc").write_text("secret\n")
    (folder / "lab-ca.pem").write_bytes(ca.bundle.read_bytes())
    probes = []

    def made(simulator, **more):
        probe = VsphereProbe(Credentials(folder), Trust(tls_ca="lab-ca.pem", known_hosts="none"), RealClock())
        probes.append(probe)
        return Asked(probe, VsphereParams("vc", "127.0.0.1", simulator.port, "karaula", "vc", **more))

    yield made
    for probe in probes:
        await probe.close()


def find(line, kind, name):
    view = line.content.viewManager.CreateContainerView(line.content.rootFolder, [kind], True)
    return next(one for one in view.view if one.name == name)


async def done(line, task):
    await asyncio.to_thread(WaitForTask, task, si=line.instance())


async def test_hosts_and_datastores_are_told(start, asked):
    with start() as simulator:
        it = asked(simulator)
        seen = await it.poll()
        values = seen["vcenter/vc"].values
        assert (values["hosts"], values["datastores"], values["alarms"]) == (4, 1, 0)
        store = seen["datastore/vc/LocalDS_0"]
        assert store.answer is Answer.OK
        assert 0 < store.values["free_bytes"] <= store.values["capacity_bytes"]
        host = seen["esx/vc/DC0_H0"].values
        assert (host["maintenance"], host["connected"]) == (0.0, 1.0)
        assert 0 < host["memory_used_bytes"] < host["memory_bytes"]
        vm = seen[f"vm/vc/{CLUSTERED}"]
        assert vm.values["memory_bytes"] > 0
        assert vm.facts["datastores"] == store.facts["moref"]
        with it.beside() as line:
            await done(line, find(line, vim.HostSystem, "DC0_H0").EnterMaintenanceMode_Task(timeout=10))
        it.forget()
        host = (await it.poll())["esx/vc/DC0_H0"]
        assert (host.answer, host.values["maintenance"]) == (Answer.OK, 1.0)


async def test_there_is_room_where_a_machine_is_placed_and_on_one_host_of_it(start, asked):
    """A cluster of three hosts, and a host beside it whose memory is no help."""
    names = (CLUSTERED, "DC0_C0_RP0_VM1")
    shipped = read(REPOSITORY / "inventory.yaml")
    system = shipped.systems["ncts"]
    vms = system.sites["dr"].vms.model_copy(update={"database": names[:1], "application": names[1:], "web": ()})
    place = system.sites["dr"].model_copy(update={"vcenter": "vc", "vms": vms})
    system = system.model_copy(update={"sites": {**system.sites, "dr": place}})
    inventory = shipped.model_copy(update={"systems": {"ncts": system}})
    health = {Answer.OK: Health.OK, Answer.FAILED: Health.DOWN, Answer.UNKNOWN: Health.UNKNOWN}

    def room(seen):
        sights = {key: Sight(health[one.answer], "", one.at, one.values, one.facts) for key, one in seen.items()}
        found = Known(inventory, "ncts", "main", "dr", 0.0, sights, NOT_SEEN, (), proof_of([], "ncts", system, 0.0))
        check = capacity(found)
        return check.light, check.sentence

    with start() as simulator:
        it = asked(simulator, replicas=names)
        seen = await it.poll()
        hosts = {name: seen[f"esx/vc/{name}"] for name in ("DC0_C0_H0", "DC0_C0_H1", "DC0_C0_H2", "DC0_H0")}
        assert [hosts[name].facts.get("cluster") for name in sorted(hosts)] == ["DC0_C0"] * 3 + [None]
        (cluster,) = {hosts[name].facts["placement"] for name in hosts if name != "DC0_H0"}
        assert cluster not in {one.facts["moref"] for one in hosts.values()}
        assert hosts["DC0_H0"].facts["placement"] == hosts["DC0_H0"].facts["moref"]
        free = min(one.values["memory_bytes"] - one.values["memory_used_bytes"] for one in hosts.values())

        async def sized(line, share):
            spec = vim.vm.ConfigSpec(memoryMB=int(free * share / 2**20))
            for name in names:
                await done(line, find(line, vim.VirtualMachine, name).ReconfigVM_Task(spec))

        with it.beside() as line:
            for name in names:
                await done(line, find(line, vim.VirtualMachine, name).PowerOffVM_Task())
            await sized(line, 0.75)
        it.forget()
        light, said = room(await it.poll())
        assert (light, "are free in cluster DC0_C0 of vc" in said) == (Light.GREEN, True), said
        with it.beside() as line:
            await sized(line, 1.25)
        it.forget()
        light, said = room(await it.poll())
        assert (light, "free in cluster DC0_C0 of vc, and the largest machine takes" in said) == (Light.RED, True), said
        with it.beside() as line:
            await sized(line, 0.75)
            for name in ("DC0_C0_H1", "DC0_C0_H2"):
                await done(line, find(line, vim.HostSystem, name).EnterMaintenanceMode_Task(timeout=10))
        it.forget()
        light, said = room(await it.poll())
        assert (light, "free some, or add a host" in said) == (Light.RED, True), said


async def test_a_vm_that_moves_to_another_host_stays_ok(start, asked):
    with start() as simulator:
        it = asked(simulator, vms=(CLUSTERED,))
        before = (await it.poll())[f"vm/vc/{CLUSTERED}"]
        with it.beside() as line:
            vm = find(line, vim.VirtualMachine, CLUSTERED)
            other = next(host for host in vm.runtime.host.parent.host if host != vm.runtime.host)
            wanted = other.name
            await done(line, vm.RelocateVM_Task(vim.vm.RelocateSpec(host=other)))
        after = (await it.poll())[f"vm/vc/{CLUSTERED}"]
        assert (before.answer, after.answer) == (Answer.OK, Answer.OK)
        assert before.facts["host"] != after.facts["host"] == wanted
        assert before.facts["moref"] == after.facts["moref"]


async def test_a_vm_that_is_renamed_says_so(start, asked):
    with start() as simulator:
        it = asked(simulator, vms=(VM,))
        await it.poll()
        with it.beside() as line:
            await done(line, find(line, vim.VirtualMachine, VM).Rename_Task("old%2fdb"))
            await done(line, find(line, vim.VirtualMachine, "DC0_H0_VM1").Rename_Task("other"))
        it.forget()
        seen = await it.poll()
        assert (seen[f"vm/vc/{VM}"].answer, seen[f"vm/vc/{VM}"].reason) == (Answer.FAILED, "renamed to 'old/db'")
        assert seen["vm/vc/old/db"].answer is Answer.OK
        assert seen["vm/vc/DC0_H0_VM1"].facts == {"vanished": "yes"}
        seen = await it.poll()
        assert seen[f"vm/vc/{VM}"].answer is Answer.FAILED
        assert "vm/vc/DC0_H0_VM1" not in seen


@pytest.mark.parametrize("state", ["orphaned", "inaccessible", "invalid"])
async def test_what_the_vcenter_itself_calls_broken_is_down(start, asked, state):
    with start() as simulator:
        it = asked(simulator, vms=(VM,), replicas=("DC0_H0_VM1",))
        await it.poll()
        with it.beside() as line:
            for name in (VM, "DC0_H0_VM1"):
                option = vim.option.OptionValue(key="SET.runtime.connectionState", value=state)
                spec = vim.vm.ConfigSpec(extraConfig=[option])
                await done(line, find(line, vim.VirtualMachine, name).ReconfigVM_Task(spec))
        it.forget()
        seen = await it.poll()
        for name in (VM, "DC0_H0_VM1"):
            told = seen[f"vm/vc/{name}"]
            assert (told.answer, told.reason) == (Answer.FAILED, f"the vCenter calls it {state}")


async def test_a_replica_may_be_off_and_must_be_there(start, asked):
    with start() as simulator:
        it = asked(simulator, replicas=(VM, "ncts-db-1"))
        await it.poll()
        await it.probe._sessions[it.params].power(VM, False, 20)
        seen = await it.poll()
        assert (seen[f"vm/vc/{VM}"].answer, seen[f"vm/vc/{VM}"].facts["role"]) == (Answer.OK, "replica")
        assert seen["vm/vc/ncts-db-1"].reason == "not in the vCenter"
        assert seen["vm/vc/ncts-db-1"].answer is Answer.FAILED
        await it.probe._sessions[it.params].destroy(VM, 20)
        assert (await it.poll())[f"vm/vc/{VM}"].answer is Answer.FAILED


async def test_a_template_is_no_vm_that_could_run(start, asked):
    with start() as simulator:
        it = asked(simulator, vms=(VM,))
        await it.poll()
        session = it.probe._sessions[it.params]
        for name in (VM, "DC0_H0_VM1"):
            await session.power(name, False, 20)
            with it.beside() as line:
                find(line, vim.VirtualMachine, name).MarkAsTemplate()
        it.forget()
        seen = await it.poll()
        assert "template" in seen[f"vm/vc/{VM}"].reason
        assert seen["vm/vc/DC0_H0_VM1"].answer is Answer.OK


async def test_snapshots_are_counted_dated_and_measured(start, asked):
    with start() as simulator:
        it = asked(simulator, vms=(VM,))
        await it.poll()
        session = it.probe._sessions[it.params]
        for name in ("first", "second"):
            await session.snapshot(VM, name, 20)
        told = (await it.poll())[f"vm/vc/{VM}"]
        assert told.values["snapshots"] == 2
        assert abs(time.time() - told.values["snapshot_oldest_at"]) < 600
        assert told.facts["snapshots"].startswith("2, the oldest of 20")
        session._survey_due = 0.0
        told = (await it.until(lambda seen: "snapshot_bytes" in seen[f"vm/vc/{VM}"].values))[f"vm/vc/{VM}"]
        assert told.values["snapshot_bytes"] >= 0  # the simulator keeps no deltas
        with it.beside() as line:
            tree = find(line, vim.VirtualMachine, VM).snapshot.rootSnapshotList[0]
            tree.snapshot.RemoveSnapshot_Task(True)
        seen = await it.until(lambda seen: seen[f"vm/vc/{VM}"].values["snapshots"] == 0)
        assert "snapshot_oldest_at" not in seen[f"vm/vc/{VM}"].values


async def test_six_counters_of_what_runs(start, asked):
    with start("-machines", "40") as simulator:
        it = asked(simulator, counters=SIX, survey_interval_s=OFTEN_S)
        await it.poll()
        session = it.probe._sessions[it.params]
        await session.power(VM, False, 20)
        seen = await it.until(
            lambda seen: (
                sum("cpu_usage" in one.values for one in seen.values()) == 79
                and "cpu_usage" not in seen[f"vm/vc/{VM}"].values
            )
        )
        values = seen["vm/vc/DC0_H0_VM1"].values
        assert {name.replace("-", "_") for name in SIX} <= values.keys()
        assert 0 < values["cpu_usage"] < 1
        assert 0 < values["memory_usage"] < 1
        assert values["disk_read"] % 1024 == 0
        assert abs(seen["vcenter/vc"].values["performance_at"] - time.time()) < 600


async def test_a_survey_that_fails_delays_no_poll_and_is_made_again(start, asked, monkeypatch):
    with start() as simulator:
        it = asked(simulator, counters=SIX, survey_interval_s=OFTEN_S)
        await it.until(lambda seen: "cpu_usage" in seen[f"vm/vc/{VM}"].values)
        session = it.probe._sessions[it.params]
        with monkeypatch.context() as patched:
            patched.setattr("monitor.clients.vsphere_survey.query", lambda *_: "<QueryPerf/>")
            await it.until(lambda _: session.survey_error)
            seen = await it.until(lambda seen: "performance" in seen["vcenter/vc"].facts)
        assert "no performance counters" in seen["vcenter/vc"].facts["findings"]
        assert "cpu_usage" not in seen[f"vm/vc/{VM}"].values
        await it.until(lambda seen: "cpu_usage" in seen[f"vm/vc/{VM}"].values)
        assert session.survey_error == ""


async def test_vms_by_folder_and_by_custom_attribute(start, asked):
    rules = (
        Rule("ncts/main/web", "DC0/vm/NCTS", "", "", 2),
        Rule("ncts/main/application", "", "tier", "ncts-app", 1),
        Rule("ncts/main/database", "DC0/vm/nowhere", "", "", 1),
    )
    with start() as simulator:
        it = asked(simulator, rules=rules)
        await it.poll()
        with it.beside() as line:
            folder = find(line, vim.Datacenter, "DC0").vmFolder.CreateFolder("NCTS")
            below = folder.CreateFolder("a%2fb")
            vms = {name: find(line, vim.VirtualMachine, name) for name in (VM, "DC0_H0_VM1", CLUSTERED)}
            await done(line, folder.MoveIntoFolder_Task([vms[VM]]))
            await done(line, below.MoveIntoFolder_Task([vms["DC0_H0_VM1"]]))
            fields = line.content.customFieldsManager
            key = fields.AddCustomFieldDef("tier", vim.VirtualMachine).key
            fields.SetField(vms[CLUSTERED], key, "ncts-app")
        it.forget()  # names of attributes are read with the inventory
        seen = await it.poll()
        places = {subject: one.facts["belongs_to"] for subject, one in seen.items() if "belongs_to" in one.facts}
        assert places == {
            f"vm/vc/{VM}": "ncts/main/web",
            "vm/vc/DC0_H0_VM1": "ncts/main/web",
            f"vm/vc/{CLUSTERED}": "ncts/main/application",
        }
        assert seen["vcenter/vc"].facts["findings"] == (
            "0 VMs of ncts/main/database by folder 'DC0/vm/nowhere', at least 1 should be there"
        )
        await it.probe._sessions[it.params].power(VM, False, 20)
        seen = await it.poll()
        assert (seen[f"vm/vc/{VM}"].answer, seen[f"vm/vc/{VM}"].reason) == (Answer.FAILED, "powered off")


async def test_a_changed_inventory_ends_the_old_session(start, asked):
    with start() as simulator:
        it = asked(simulator)
        await it.poll()
        it.params = replace(it.params, vms=(VM,))
        await it.poll()
        assert list(it.probe._sessions) == [it.params]
        with it.beside() as line:
            assert len(line.content.sessionManager.sessionList) <= 2


def test_every_counter_can_be_asked_of_a_real_vcenter_by_its_name():
    assert len({(one.group, one.name, one.rollup) for one in COUNTERS.values()}) == len(COUNTERS)


async def test_a_survey_outlives_the_end_of_its_session(start, asked):
    with start() as simulator:
        it = asked(simulator, counters=SIX, survey_interval_s=60)
        await it.until(lambda seen: "cpu_usage" in seen[f"vm/vc/{VM}"].values)
        session = it.probe._sessions[it.params]
        first = session.survey
        with it.beside() as line:
            manager, mine = line.content.sessionManager, line.session_id
            manager.TerminateSession([other.key for other in manager.sessionList if other.key != mine])
        session._survey_due = 0.0
        await it.until(lambda _: session.survey is not first)
        assert session.survey_error == ""
        with it.beside() as line:
            assert len(line.content.sessionManager.sessionList) <= 4  # poll, survey, both log-ins beside


async def test_a_vcenter_that_freezes_in_a_survey_is_left_in_time(start, asked):
    with start() as simulator:
        it = asked(simulator, counters=SIX, survey_interval_s=OFTEN_S)
        it.deadline_s = 1.5
        await it.until(lambda seen: "cpu_usage" in seen[f"vm/vc/{VM}"].values)
        simulator.freeze()
        began = time.monotonic()
        await it.probe.close()
        assert time.monotonic() - began < 25  # two deadlines: nobody waits for a vCenter to say farewell
        simulator.thaw()


async def test_two_of_one_name_are_not_known(start, asked):
    with start() as simulator:
        it = asked(simulator, vms=(VM,))
        await it.poll()
        with it.beside() as line:
            vm = find(line, vim.VirtualMachine, "DC0_H0_VM1")
            await done(line, vm.ReconfigVM_Task(vim.vm.ConfigSpec(name=VM)))
        it.forget()
        told = (await it.poll())[f"vm/vc/{VM}"]
        assert told.answer is Answer.UNKNOWN
        assert told.reason.startswith("2 VMs of this name: vm-")
