"""Clones and networks on a vCenter that this project did not write, and a drill's bubble on it."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyVmomi import vim
from vcsim.beside import VM, behind_its_back

from dr.action import Context, Holds
from dr.actions.bubble import BubbleArgs, BubbleCreate, BubbleRemove
from dr.errors import StepFailed
from dr.world import World
from monitor.clock import RealClock
from monitor.errors import NotFound, Refused
from monitor.inventory.read import read

pytestmark = [pytest.mark.anyio, pytest.mark.real]
ROOT = Path(__file__).parents[2]
kind = vim.vm.device


async def test_a_clone_is_plugged_elsewhere_read_back_and_only_then_started(start, enter):
    """From a distributed port group to a standard one and back, as what was read back says."""
    with start() as simulator:
        session = enter(simulator.port)
        await session.clone(VM, "clone", 20)
        before = (await session.wirings([VM, "clone", "nobody"]))["clone"]
        assert (before.power, before.networks, len(before.nics)) == ("off", ("DC0_DVPG0",), 1)
        assert before.astray("VM Network") == f"{before.nics[0].label} is on network 'DC0_DVPG0'"
        for network in ("VM Network", "DC0_DVPG0", "VM Network", "VM Network"):
            wiring = await session.plug("clone", network, 20)
            assert (wiring.power, wiring.astray(network)) == ("off", "")
            assert [nic.start_connected for nic in wiring.nics] == [True]
            assert "clone" in await session.on_network(network)
        assert await session.on_network("VM Network") == ("clone",)
        with behind_its_back(session) as line:
            found = vim.VirtualMachine((await session.vm("clone")).moref, line)
            (card,) = (
                one for one in found.config.hardware.device if isinstance(one, vim.vm.device.VirtualEthernetCard)
            )
            assert (card.backing.deviceName, card.backing.network.name) == ("VM Network", "VM Network")
            original = vim.VirtualMachine((await session.vm(VM)).moref, line)
            assert [one.name for one in original.network] == ["DC0_DVPG0"]
        await session.power("clone", True, 20)
        seen = await session.wirings(["clone", "nobody"])
        assert (seen["clone"].power, seen["clone"].astray("VM Network"), seen["nobody"]) == ("on", "", None)
        assert (await session.plug("clone", "VM Network", 20)).power == "on"  # as wanted: nothing is sent
        with pytest.raises(Refused, match=r"'clone' is on, and not on network 'DC0_DVPG0' alone: .* 'VM Network'"):
            await session.plug("clone", "DC0_DVPG0", 20)
        assert (await session.wirings(["clone"]))["clone"].networks == ("VM Network",)


async def test_every_card_of_a_clone_is_plugged_elsewhere(start, enter):
    with start() as simulator:
        session = enter(simulator.port)
        await session.clone(VM, "clone", 20)
        with behind_its_back(session) as line:
            (network,) = (one for one in vim.Datacenter("datacenter-2", line).network if one.name == "VM Network")
            card = kind.VirtualE1000(
                key=-1,
                backing=kind.VirtualEthernetCard.NetworkBackingInfo(deviceName="VM Network", network=network),
                connectable=kind.VirtualDevice.ConnectInfo(startConnected=False),
            )
            change = [kind.VirtualDeviceSpec(operation="add", device=card)]
            clone = vim.VirtualMachine((await session.vm("clone")).moref, line)
            clone.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=change))
        mixed = (await session.wirings(["clone"]))["clone"]
        assert {nic.network for nic in mixed.nics} == {"VM Network", "DC0_DVPG0"}
        assert "is on network 'DC0_DVPG0'" in mixed.astray("VM Network")
        wiring = await session.plug("clone", "VM Network", 20)
        assert [(nic.network, nic.start_connected) for nic in wiring.nics] == [("VM Network", True)] * 2


async def test_a_network_that_is_not_there(start, enter):
    with start() as simulator:
        session = enter(simulator.port, datacenter="DC0")
        await session.clone(VM, "clone", 20)
        for job in (session.plug("clone", "bubble", 20), session.on_network("bubble")):
            with pytest.raises(NotFound, match=r"no network 'bubble'; there are: 'DC0_DVPG0', .*'VM Network'"):
                await job
        with pytest.raises(NotFound, match="no VM 'nobody'"):
            await session.plug("nobody", "VM Network", 20)
        wiring = (await session.wirings(["clone"]))["clone"]
        assert (wiring.power, wiring.networks) == ("off", ("DC0_DVPG0",))


async def test_a_drill_on_it_starts_its_clones_in_the_bubble_alone(start, enter, tmp_path):
    """The action that the drill's playbook calls, on this vCenter: made, plugged, read back, started, removed."""
    text = (ROOT / "inventory.yaml").read_text(encoding="utf-8")
    for tier, other in (("db-1", VM), ("app-1, ncts-app-2", "DC0_H0_VM1"), ("web-1, ncts-web-2", "DC0_H0_VM2")):
        text = text.replace(f"[ncts-{tier}]", f"[{other}]")
    text = text.replace("vm: ncts-db-1", f"vm: {VM}")
    path = tmp_path / "inventory.yaml"
    with start() as simulator:
        session = enter(simulator.port)

        def bubble(network):
            path.write_text(text.replace("drill-bubble", network), encoding="utf-8")
            vcenters = {"vc-main": session, "vc-dr": session}
            world = World(read(path), None, RealClock(), None, vcenters, None, None, lambda _system: None)
            said = []
            context = Context("run-1", "bubble", 1, "k", 1, 60, world, said.append)
            return BubbleArgs(system="ncts", site="dr"), context, said

        args, context, said = bubble("VM Network")
        assert "does not exist" in (await BubbleCreate().probe(args, context)).evidence
        done = await BubbleCreate().run(args, context)
        assert (done.outputs["count"], done.outputs["network"]) == (3, "VM Network")
        seen = await BubbleCreate().probe(args, context)
        assert (seen.holds, seen.outputs) == (Holds.YES, done.outputs)
        assert "read back on 'VM Network' and no other network" in seen.evidence
        assert sum("power on" in line for line in said) == 3
        assert await session.on_network("VM Network") == tuple(sorted(done.outputs["vms"].split(", ")))
        assert (await BubbleRemove().run(args, context)).outputs["removed"] == 3

        args, context, _ = bubble("DC0_DVPG0")
        with pytest.raises(StepFailed, match=f"is no bubble, production is on it: {VM}, .*nothing was cloned"):
            await BubbleCreate().run(args, context)
        args, context, _ = bubble("elsewhere")
        with pytest.raises(NotFound, match="no network 'elsewhere'; there are"):
            await BubbleCreate().run(args, context)
        assert (await BubbleCreate().probe(args, context)).holds is Holds.NO
        assert len((await session.refresh()).vms) == 8
