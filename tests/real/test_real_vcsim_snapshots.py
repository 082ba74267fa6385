"""``vm_snapshot`` against govmomi's simulator: taken once though the answers get lost, and removed alone."""

from __future__ import annotations

import pytest
from actions_kit import Desk
from orchestrator_kit import ROOT
from vcsim.beside import VM, forgetful

from dr.action import Holds
from dr.world import World
from monitor.clock import RealClock
from monitor.errors import NotFound, Refused, SessionLost
from monitor.inventory.read import read

pytestmark = [pytest.mark.anyio, pytest.mark.real]
OTHER = "DC0_H0_VM1"


def desk_at(session):
    """Return a desk for a system whose machines at dr are two of the simulator's."""
    inventory = read(ROOT / "inventory.yaml")
    entry = inventory.systems["ite"]
    here = entry.sites["dr"]
    vms = here.vms.model_copy(update={"database": (VM,), "application": (OTHER,), "web": ()})
    sites = {**entry.sites, "dr": here.model_copy(update={"vms": vms})}
    systems = {**inventory.systems, "ite": entry.model_copy(update={"sites": sites})}
    inventory = inventory.model_copy(update={"systems": systems})
    return Desk(World(inventory, None, RealClock(), None, {here.vcenter: session}, None, None, lambda _: None), "ite")


async def test_snapshots_are_found_after_lost_answers_and_removed_alone(start, ca, enter):
    with start() as simulator:
        session = enter(simulator.port)
        desk = desk_at(session)
        await session.snapshot(VM, "older/1", 20)
        assert (await desk.probe("vm_snapshot", "dr")).holds is Holds.NO
        with forgetful(simulator, ca, "CreateSnapshot_Task") as proxy:
            with pytest.raises(SessionLost) as caught:
                await desk_at(enter(proxy.port)).run("vm_snapshot", "dr")
            assert not caught.value.outcome_known
            assert sum(b"CreateSnapshot_Task" in request.body for request in proxy.requests) == 2
        seen = await desk.probe("vm_snapshot", "dr")
        assert seen.holds is Holds.YES
        ours = seen.outputs["snapshot"]
        done = await desk.run("vm_snapshot", "dr", attempt=2)
        assert done.outputs == seen.outputs == {"snapshot": ours, "count": 2}
        await session.snapshot(VM, "newer", 20)
        assert await session.snapshots([VM, OTHER, "nobody"]) == {
            VM: ("older/1", ours, "newer"),
            OTHER: (ours,),
            "nobody": None,
        }
        await desk.undo("vm_snapshot", "dr", done)
        await desk.undo("vm_snapshot", "dr", done)
        assert await session.snapshots([VM, OTHER]) == {VM: ("older/1", "newer"), OTHER: ()}
    assert (await desk.probe("vm_snapshot", "dr")).holds is Holds.CANNOT_TELL


async def test_of_two_snapshots_of_one_name_none_is_removed(start, enter):
    with start() as simulator:
        session = enter(simulator.port)
        for name in ("twice", "twice", "once"):
            await session.snapshot(VM, name, 20)
        with pytest.raises(
            Refused, match=r"has 2 snapshots named 'twice' \(snapshot-\d+, snapshot-\d+\); none was removed"
        ):
            await session.remove_snapshot(VM, "twice", 20)
        await session.remove_snapshot(VM, "once", 20)
        await session.remove_snapshot(VM, "once", 20)
        assert await session.snapshots([VM]) == {VM: ("twice", "twice")}
        with pytest.raises(NotFound, match="has no VM 'nobody'"):
            await session.remove_snapshot("nobody", "once", 20)
