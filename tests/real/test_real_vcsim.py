"""The vSphere client and probe against a vCenter that this project did not write: govmomi's simulator."""

from __future__ import annotations

import asyncio

import pytest
from pyVmomi import vim
from real_kit import free_port
from tls_kit import ThrowawayCa
from vcsim.beside import VM, behind_its_back, forgetful

from monitor.clock import RealClock
from monitor.credential import Credentials
from monitor.errors import DeadlineExceeded, NotFound, Refused, SessionLost, TargetError, Unreachable, Untrusted
from monitor.inventory.estate import Trust
from monitor.probe import Answer, Target
from monitor.probes.vsphere import VsphereParams, VsphereProbe

pytestmark = [pytest.mark.anyio, pytest.mark.real]


async def test_inventory_in_full_then_by_increments(start, enter):
    with start() as simulator:
        session = enter(simulator.port)
        first = await session.refresh()
        assert (first.full, len(first.vms), len(first.hosts), first.api_version) == (True, 8, 4, "6.5")
        vm = first.named(VM)[0]
        assert (vm.power, vm.connection, vm.template) == ("on", "connected", False)
        assert vm.instance_uuid
        assert first.hosts[vm.host].name == "DC0_H0"

        quiet = await session.refresh()
        assert (quiet.full, quiet.changed, quiet.vms) == (False, 0, first.vms)

        await session.power(VM, False, 20)
        after = await session.refresh()
        assert (after.full, after.changed, after.named(VM)[0].power) == (False, 1, "off")
        assert first.named(VM)[0].power == "on"  # a snapshot does not change


async def test_power_is_brought_to_where_it_should_be(start, enter):
    with start() as simulator:
        session = enter(simulator.port)
        for on, state in ((False, "off"), (False, "off"), (True, "on"), (True, "on")):
            await session.power(VM, on, 20)
            assert (await session.vm(VM)).power == state


async def test_what_is_not_there(start, enter):
    with start() as simulator:
        session = enter(simulator.port)
        assert await session.vm("nobody") is None
        with pytest.raises(NotFound, match="no VM 'nobody'"):
            await session.power("nobody", True, 20)
        with pytest.raises(NotFound, match="no VM 'nobody'"):
            await session.destroy("nobody", 20)


async def test_two_vms_of_one_name_are_refused(start, enter):
    with start() as simulator:
        session = enter(simulator.port)
        other = (await session.vm("DC0_H0_VM1")).moref
        with behind_its_back(session) as line:
            vim.VirtualMachine(other, line).ReconfigVM_Task(vim.vm.ConfigSpec(name=VM))
        for job in (session.vm(VM), session.power(VM, False, 20), session.destroy(VM, 20)):
            with pytest.raises(Refused, match=rf"2 VMs of that name: {VM} \(vm-\d+\), {VM} \(vm-\d+\)"):
                await job


async def test_clone_snapshot_and_removal(start, enter):
    with start() as simulator:
        session = enter(simulator.port)
        await session.refresh()
        await session.snapshot(VM, "before the drill", 20)
        await session.clone(VM, "drill-1/db%", 20)
        assert (await session.vm("drill-1/db%")).power == "off"
        with pytest.raises(Refused, match="already has a VM"):
            await session.clone(VM, "drill-1/db%", 20)
        await session.power("drill-1/db%", True, 20)
        with pytest.raises(Refused, match="refused the deletion"):
            await session.destroy("drill-1/db%", 20)
        await session.power("drill-1/db%", False, 20)
        assert (await session.refresh()).named("drill-1/db%")[0].power == "off"
        await session.destroy("drill-1/db%", 20)
        assert await session.vm("drill-1/db%") is None
        assert (await session.refresh()).named("drill-1/db%") == ()


async def test_tasks_side_by_side(start, enter):
    with start() as simulator:
        session = enter(simulator.port)
        names = [vm.name for vm in (await session.refresh()).vms.values()]
        await asyncio.gather(*(session.power(name, False, 30) for name in names))
        assert {vm.power for vm in (await session.refresh()).vms.values()} == {"off"}


async def test_a_datacenter_limits_what_is_seen(start, enter):
    with start() as simulator:
        assert len((await enter(simulator.port, datacenter="DC0").refresh()).vms) == 8
        wrong = enter(simulator.port, datacenter="DC9")
        for job in (wrong.refresh(), wrong.vm(VM)):
            with pytest.raises(NotFound, match="no datacenter 'DC9'"):
                await job


async def test_wrong_password_and_wrong_ca(start, enter, tmp_path):
    with start() as simulator:
        wrong = enter(simulator.port, password="guess")
        for job in (wrong.refresh(), wrong.vm(VM)):
            with pytest.raises(Refused, match="user 'karaula' with this password") as caught:
                await job
            assert "guess" not in str(caught.value)
        stranger = enter(simulator.port, ca_file=ThrowawayCa(tmp_path, "Somebody else").bundle)
        for job in (stranger.refresh(), stranger.vm(VM)):
            with pytest.raises(Untrusted):
                await job


async def test_a_session_that_was_ended_is_renewed_in_the_same_poll(start, enter):
    with start() as simulator:
        session = enter(simulator.port)
        await session.refresh()
        await session.vm(VM)
        with behind_its_back(session) as line:
            manager = line.content.sessionManager
            mine = line.session_id
            manager.TerminateSession([other.key for other in manager.sessionList if other.key != mine])
        renewed = await session.refresh()
        assert (renewed.full, len(renewed.vms)) == (True, 8)
        assert (await session.vm(VM)).power == "on"
        assert (await session.refresh()).full is False


async def test_a_session_that_expired_is_renewed(start, enter):
    with start("-idle", "200ms") as simulator:
        session = enter(simulator.port)
        await session.refresh()
        await session.power(VM, False, 20)
        await asyncio.sleep(0.7)
        assert len((await session.refresh()).vms) == 8
        assert (await session.vm(VM)).power == "off"


async def test_no_sessions_pile_up(start, enter):
    with start() as simulator:
        session = enter(simulator.port)
        for _ in range(4):
            session._collector._keeper.drop()
            await session.refresh()
            await session.vm(VM)
        with behind_its_back(session) as line:
            assert len(line.content.sessionManager.sessionList) == 3  # the poll's, the errands', and this one
            await session.close()
            assert len(line.content.sessionManager.sessionList) == 1


async def test_a_restart_is_survived(start, enter):
    port = free_port()
    with start(port=port) as simulator:
        session = enter(port)
        await session.refresh()
        await session.vm(VM)
        simulator.kill()
        with pytest.raises(Unreachable, match="refused"):
            await session.refresh()
        with pytest.raises(Unreachable):
            await session.vm(VM)
    with start("-machines", "2", port=port):
        assert len((await session.refresh()).vms) == 4
        assert (await session.vm(VM)).power == "on"


async def test_a_vcenter_that_hangs_costs_only_itself(start, enter):
    with start() as hung, start() as well:
        session, other = enter(hung.port, deadline_s=0.5), enter(well.port)
        await session.refresh()
        hung.freeze()
        for _ in range(3):
            with pytest.raises(TargetError) as caught:
                await session.refresh()
            assert isinstance(caught.value, DeadlineExceeded | Unreachable)
        with pytest.raises(TargetError):
            await session.vm(VM)
        slow = asyncio.ensure_future(session.power(VM, False, 20))
        assert len((await other.refresh()).vms) == 8
        assert (await other.vm(VM)).power == "on"
        assert not slow.done()
        hung.thaw()
        await slow
        thawed = await session.refresh()
        assert (thawed.full, thawed.named(VM)[0].power) == (True, "off")
        with behind_its_back(session) as line:
            assert len(line.content.sessionManager.sessionList) <= 3


@pytest.mark.parametrize(("call", "lost"), [("PowerOffVM_Task", "reply"), ("PowerOffVM_Task", "silence")])
async def test_a_task_whose_answer_is_lost_is_not_sent_again(start, ca, enter, call, lost):
    """Between us and the vCenter the answer to the task's start is lost: it happened, and it happened once."""
    with start() as simulator, forgetful(simulator, ca, call, silent=lost == "silence") as proxy:
        session = enter(proxy.port)
        with pytest.raises(SessionLost if lost == "reply" else DeadlineExceeded) as caught:
            await session.power(VM, False, 10 if lost == "reply" else 1)
        assert not caught.value.outcome_known
        assert sum(call.encode() in request.body for request in proxy.requests) == 1
        assert (await session.vm(VM)).power == "off"  # looking is how the outcome becomes known
        proxy.stop.set()


async def test_the_probe_tells_of_every_vm(start, ca, tmp_path):
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "vcenter-main").write_text("secret\n")
    (folder / "lab-ca.pem").write_bytes(ca.bundle.read_bytes())
    probe = VsphereProbe(Credentials(folder), Trust(tls_ca="lab-ca.pem", known_hosts="known_hosts"), RealClock())
    with start("-machines", "2") as simulator:
        params = VsphereParams(
            "vc-main", "127.0.0.1", simulator.port, "karaula", "vcenter-main", vms=(VM, "DC0_H0_VM1", "ncts-db-1")
        )
        target = Target("vcenter/vc-main", "vsphere", params, 10, 10)

        async def poll():
            return {seen.subject: seen async for seen in probe.observe([target])}

        seen = await poll()
        assert seen["vcenter/vc-main"].answer is Answer.OK
        assert seen["vcenter/vc-main"].values["vms"] == 4
        assert seen[f"vm/vc-main/{VM}"].answer is Answer.OK
        assert seen[f"vm/vc-main/{VM}"].facts["host"] == "DC0_H0"
        assert seen["vm/vc-main/ncts-db-1"].reason == "not in the vCenter"

        session = probe._sessions[params]
        await session.power(VM, False, 20)
        await session.power("DC0_C0_RP0_VM0", False, 20)
        for name in ("DC0_H0_VM1", "DC0_C0_RP0_VM1"):
            await session.power(name, False, 20)
            await session.destroy(name, 20)
        seen = await poll()
        assert (seen[f"vm/vc-main/{VM}"].answer, seen[f"vm/vc-main/{VM}"].reason) == (Answer.FAILED, "powered off")
        assert seen["vm/vc-main/DC0_C0_RP0_VM0"].answer is Answer.OK  # nobody needs it: off is no failure
        for name in ("DC0_H0_VM1", "DC0_C0_RP0_VM1"):
            gone = seen[f"vm/vc-main/{name}"]
            assert (gone.answer, gone.reason) == (Answer.FAILED, "vanished from the vCenter")
        seen = await poll()
        assert "vm/vc-main/DC0_C0_RP0_VM1" not in seen  # said once
        assert seen["vm/vc-main/DC0_H0_VM1"].answer is Answer.FAILED  # the inventory needs it

        simulator.kill()
        seen = await poll()
        assert seen["vcenter/vc-main"].answer is Answer.FAILED
        assert seen[f"vm/vc-main/{VM}"].answer is Answer.UNKNOWN
    await probe.close()
