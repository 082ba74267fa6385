"""Requests whose answer got lost between the disk and the daemon, and runs that end while others are taken up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from machine_kit import Machine

from dr.engine import joint_course
from dr.engine.orchestrator import Request
from dr.engine.standing import OverrideAsk
from dr.engine.unheard import PERHAPS
from dr.journal.fold import fold_all
from dr.journal.pause import Pause
from dr.journal.run import Run, RunState
from monitor.errors import StateError

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def machine(folder: Path) -> AsyncIterator[Machine]:
    made = Machine(folder)
    await made.open()
    try:
        yield made
    finally:
        await made.die()
    assert not made.wrong


async def submit(made: Machine, playbook: str = "failover", system: str = "ncts") -> Run:
    return await made.orchestrator.submit(Request(playbook, system, "ana", "why"))


@pytest.mark.parametrize("learned_by", ["the next look at the journal", "the next request", "a restart"])
async def test_a_request_that_stands_although_the_disk_said_otherwise_is_taken_up(
    tmp_path: Path, learned_by: str
) -> None:
    async with machine(tmp_path) as made:
        made.journal.lies = True
        with pytest.raises(StateError, match=PERHAPS):
            await submit(made)
        made.journal.lies = False
        if learned_by == "a restart":
            await made.die()
            await made.open()
        elif learned_by == "the next request":
            await submit(made, system="cdeps")
        else:
            await made.orchestrator.recheck()
        await made.rest()
        (run,) = [run for run in made.orchestrator.runs() if run.system == "ncts"]
        assert run.state is RunState.WAITING
        assert made.orchestrator.events(run.id) == made.journal.load()[run.id]
        assert made.orchestrator.problems() == []


async def test_it_is_taken_up_once_however_many_look_at_the_same_time(tmp_path: Path) -> None:
    async with machine(tmp_path) as made:
        made.journal.lies = True
        with pytest.raises(StateError, match=PERHAPS):
            await submit(made, "backup")
        made.journal.lies, made.desk.hangs = False, True
        looks = [made.ask(look) for look in (made.orchestrator.recheck(), submit(made, system="cdeps"))]
        looks.append(made.ask(made.joints.submit("drill", ("cdeps",), "ana", "why")))
        await made.rest()
        made.desk.go_on()
        await made.rest()
        assert all(look.done() for look in looks)
        for run in made.orchestrator.runs():
            assert made.orchestrator.events(run.id) == made.journal.load()[run.id]
            assert run == fold_all(run.id, made.journal.load()[run.id])
        assert made.orchestrator.problems() == []


async def test_one_that_does_not_stand_is_forgotten(tmp_path: Path) -> None:
    async with machine(tmp_path) as made:
        made.journal.full = True
        with pytest.raises(StateError, match="full"):
            await submit(made)
        await made.orchestrator.recheck()
        made.journal.full = False
        await made.orchestrator.recheck()
        assert made.orchestrator.runs() == []
        assert (await submit(made)).state is RunState.WAITING


async def test_so_is_a_joint_run_and_a_member_of_one(tmp_path: Path) -> None:
    async with machine(tmp_path) as made:
        made.journal.lies = True
        with pytest.raises(StateError, match=PERHAPS):
            await made.joints.submit("failover", ("ncts", "cdeps"), "ana", "why")
        made.journal.lies = False
        await made.orchestrator.recheck()
        (joint,) = made.joints.joints()
        await made.joints.command(joint.id, lambda one, _runs, now: joint_course.approve(one, "boris", "", "", now))
        made.journal.lies = True  # the member is asked for now
        await made.rest()
        made.journal.lies = False
        made.clock.advance(5.0)
        await made.rest()
        (run,) = made.orchestrator.runs()
        assert (run.system, run.state, run.approved_by) == ("ncts", RunState.IN_PROGRESS, "boris")
        assert made.joints.runs(made.joints.joint(joint.id)) == {run.id: run}


async def test_a_run_that_ends_while_others_are_taken_up_is_not_driven_again(tmp_path: Path) -> None:
    async with machine(tmp_path) as made:
        await submit(made, system="cdeps")
        await submit(made)
        made.lose_lease()
        await made.rest()
        made.ask(submit(made, "switchover"))  # there is one, but that cannot be written down without the lease
        await made.rest()
        made.take_lease()
        await made.rest()
        made.clock.advance(60.0)
        await made.rest()
        assert made.orchestrator.problems() == []
        states = {run.plan.kind: run.state for run in made.orchestrator.runs() if run.system == "ncts"}
        assert states == {"failover": RunState.WAITING, "switchover": RunState.CANCELED}


async def test_so_is_what_stands_beside_the_runs(tmp_path: Path) -> None:
    async with machine(tmp_path) as made:
        standing, now = made.orchestrator.standing, made.clock.now()
        made.journal.lies = True
        with pytest.raises(StateError, match=PERHAPS):
            await standing.override(OverrideAsk("ncts", "blackout", "ana", "the vendor is here", 3600.0))
        with pytest.raises(StateError, match=PERHAPS):
            await standing.pause(Pause("ncts", "ana", "works", now, now + 3600.0))
        made.journal.lies = False
        assert standing.pauses() == [], "nobody knows yet; of the override somebody does, since the pause"
        await made.orchestrator.recheck()
        assert [(each.id, each.by) for each in standing.in_force()] == [("override/1", "ana")]
        assert [(each.system, each.owner) for each in standing.pauses()] == [("ncts", "ana")]


async def test_a_lift_that_stands_is_known_before_the_next_word(tmp_path: Path) -> None:
    async with machine(tmp_path) as made:
        standing, now = made.orchestrator.standing, made.clock.now()
        await standing.pause(Pause("ncts", "ana", "works", now, now + 3600.0))
        made.journal.lies = True
        with pytest.raises(StateError):
            await standing.lift_pause("ncts", "ana")
        assert standing.pauses(), "what is held back stays so until it is known"
        made.journal.lies = False
        assert await standing.lift_pause("ncts", "ana") == 0
        assert standing.pauses() == []


async def test_what_does_not_stand_is_not_made_up(tmp_path: Path) -> None:
    async with machine(tmp_path) as made:
        standing = made.orchestrator.standing
        made.journal.full = True
        with pytest.raises(StateError):
            await standing.override(OverrideAsk("ncts", "blackout", "ana", "the vendor is here", 3600.0))
        made.journal.full = False
        await made.orchestrator.recheck()
        assert standing.overrides() == []
