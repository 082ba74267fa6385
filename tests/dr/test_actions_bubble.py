"""A drill's clones on the simulated estate: on the bubble network alone, or not powered on at all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from actions_kit import Desk, carried_out, orchestrator_of, world_of
from estate_kit import RunningLab, start_lab

from dr.action import Holds
from dr.errors import StepFailed
from dr.estate import machines
from dr.journal.run import RunState, StepState
from monitor.errors import NotFound, Refused

pytestmark = [pytest.mark.anyio, pytest.mark.lab]
BUBBLE = "drill-bubble"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    with start_lab(tmp_path_factory.mktemp("bubble"), rate=0) as running:
        yield running


@pytest.fixture(autouse=True)
def healed(lab: RunningLab) -> Iterator[None]:
    yield
    lab.clear()


def clones(desk: Desk) -> list[tuple[str, str]]:
    return machines.clone_names(desk.world, desk.system, "dr", desk.run_id)


def networks(lab: RunningLab, name: str) -> list[str]:
    found: list[str] = lab.lab_state()["machines"][f"vc-dr/{name}"]["networks"]
    return found


def orders(lab: RunningLab, name: str) -> list[str]:
    """Return in order what was done to a machine by way of the vCenter."""
    system = name.split("-")[-3]
    mine = [one for one in lab.effects(system) if one["key"] == f"vc-dr/{name}"]
    return [one["what"] for one in mine if one["by"] == "vcenter"]


async def test_every_clone_is_off_until_it_is_read_back_on_the_bubble_network(lab: RunningLab) -> None:
    async with world_of(lab) as world:
        desk = Desk(world, "ncts", run_id="ncts-drill-good")
        assert (await desk.probe("bubble_create", "dr")).holds is Holds.NO
        done = await desk.run("bubble_create", "dr")
        assert done.outputs["network"] == BUBBLE
        seen = await desk.probe("bubble_create", "dr")
        assert (seen.holds, seen.outputs) == (Holds.YES, done.outputs)
        assert seen.evidence == f"5 clones are on, every network card read back on '{BUBBLE}' and no other network"
        for source, clone in clones(desk):
            assert orders(lab, clone) == ["clone", "plug", "power on"]
            assert set(networks(lab, clone)) == {BUBBLE}
            assert networks(lab, source)[0] == "production"
        database = clones(desk)[0][1]
        said = (
            f"{database}: Network adapter 1, Network adapter 2 read back on network '{BUBBLE}' and no other; power on"
        )
        assert said in desk.said
        await desk.run("bubble_remove", "dr")
        assert lab.truth("ncts")["production_clone"] is False


async def test_clones_that_were_left_half_way_are_carried_on(lab: RunningLab) -> None:
    async with world_of(lab) as world:
        desk, vcenter = Desk(world, "ite", run_id="ite-drill-half"), world.vcenters["vc-dr"]
        (db, db_clone), (app, app_clone), (web, web_clone), *_ = clones(desk)
        await asyncio.gather(
            vcenter.clone(db, db_clone, 10), vcenter.clone(app, app_clone, 10), vcenter.clone(web, web_clone, 10)
        )
        await vcenter.plug(app_clone, BUBBLE, 10)
        await vcenter.plug(web_clone, BUBBLE, 10)
        await vcenter.power(web_clone, True, 10)
        await desk.run("bubble_create", "dr")
        for _, clone in clones(desk):
            assert orders(lab, clone) == ["clone", "plug", "power on"]
        await desk.run("bubble_remove", "dr")
        assert lab.truth("ite")["production_clone"] is False


async def test_a_clone_that_runs_outside_is_powered_off_and_refused(lab: RunningLab) -> None:
    async with world_of(lab) as world:
        desk, vcenter = Desk(world, "exim", run_id="exim-drill-out"), world.vcenters["vc-dr"]
        source, clone = clones(desk)[0]
        await vcenter.clone(source, clone, 10)
        await vcenter.power(clone, True, 10)  # somebody's doing
        assert lab.truth("exim")["production_clone"] is True
        seen = await desk.probe("bubble_create", "dr")
        assert seen.holds is Holds.NO
        assert f"{clone}: Network adapter 1 is on network 'production', Network adapter 2 is" in seen.evidence
        with pytest.raises(
            StepFailed, match=r"powered on outside of the bubble network .*Powered off at once"
        ) as error:
            await desk.run("bubble_create", "dr")
        assert not error.value.retry_helps
        assert orders(lab, clone) == ["clone", "power on", "power off"]
        assert len(lab.effects("exim", "clone")) == 1  # nothing was begun beside it
        await desk.run("bubble_remove", "dr")


async def test_a_bubble_network_with_production_on_it_is_none(lab: RunningLab) -> None:
    async with world_of(lab) as world:
        vcenter = world.vcenters["vc-dr"]
        await vcenter.power("cdeps-web-2", False, 10)
        await vcenter.plug("cdeps-web-2", BUBBLE, 10)
        with pytest.raises(
            StepFailed, match="'drill-bubble' is no bubble, production is on it: cdeps-web-2; nothing was"
        ):
            await Desk(world, "ncts", run_id="ncts-drill-mixed").run("bubble_create", "dr")
        await vcenter.plug("cdeps-web-2", "production", 10)
        await vcenter.power("cdeps-web-2", True, 10)


async def test_a_bubble_network_that_is_not_there_is_told_with_those_that_are(lab: RunningLab) -> None:
    text = lab.inventory.read_text(encoding="utf-8")
    lab.inventory.write_text(text.replace(BUBBLE, "drill-buble"), encoding="utf-8")
    try:
        async with world_of(lab) as world:
            desk = Desk(world, "ncts", run_id="ncts-drill-none")
            names = "there are: 'drill-bubble', 'production', 'replication'"
            with pytest.raises(NotFound, match=f"has no network 'drill-buble'; {names}"):
                await desk.run("bubble_create", "dr")
            seen = await desk.probe("bubble_create", "dr")
            assert (seen.holds, names in seen.evidence) == (Holds.NO, True)
    finally:
        lab.inventory.write_text(text, encoding="utf-8")


async def test_a_vcenter_that_lies_fails_the_drill_before_anything_is_powered_on(tmp_path: Path) -> None:
    with start_lab(tmp_path, rate=0) as lab:
        lab.fault("lie-reconfigure", "vc-dr")
        before = lab.lab_state()["machines"]
        async with orchestrator_of(lab, tmp_path) as orchestrator:
            run = await carried_out(orchestrator, "drill")
            assert run.state is RunState.FAILED, run
            assert "was put on network 'drill-bubble', and yet is not on it alone" in run.end_reason
            assert "is on network 'production'" in run.end_reason
            states = {name: step.state for name, step in run.steps.items()}
            assert states["bubble"] is StepState.FAILED
            assert states["remove"] is states["after"] is StepState.SUCCEEDED
            assert run.steps["bubble"].attempt == 1  # trying again would not help
        assert lab.lab_state()["machines"] == before
        assert {one["what"] for one in lab.effects("ncts") if one["by"] == "vcenter"} == {"clone", "destroy"}
        assert lab.effects("ncts", "power on") == []
        assert lab.truth("ncts")["production_clone"] is False


async def test_a_lie_is_seen_by_the_client(lab: RunningLab) -> None:
    async with world_of(lab) as world:
        vcenter = world.vcenters["vc-dr"]
        await vcenter.clone("cdeps-app-1", "lied-to", 10)
        lab.fault("lie-reconfigure", "vc-dr")
        with pytest.raises(Refused, match="'lied-to' was put on network 'drill-bubble', and yet"):
            await vcenter.plug("lied-to", BUBBLE, 10)
        lab.clear()
        assert (await vcenter.plug("lied-to", BUBBLE, 10)).astray(BUBBLE) == ""
        await vcenter.destroy("lied-to", 10)
