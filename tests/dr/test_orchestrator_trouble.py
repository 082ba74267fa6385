"""What befalls a daemon: full disks, broken parts, upgrades, damaged journals, clocks that jump, death and return."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from functools import partial
from pathlib import Path

import pytest
from orchestrator_kit import (
    BACKUP,
    FAILOVER,
    HOUR_S,
    INVENTORY,
    PATIENCE_S,
    TEXTS,
    Act,
    Gate,
    HeldClock,
    acts,
    blind,
    by_ana,
    house,
    lost,
    refused,
)

from dr.action import Context, Done, Holds, Seen
from dr.engine import commands
from dr.engine.orchestrator import Request
from dr.errors import RunRefused
from dr.journal.event import RunStarted, StepStarted
from dr.journal.run import RunState, StepState
from monitor.errors import DeadlineExceeded, StateError

pytestmark = pytest.mark.anyio


# -- the disk ----------------------------------------------------------------------------------------------------------


async def test_a_request_on_a_full_disk_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        at.journal.full = True
        with pytest.raises(StateError, match="full"):
            await at.submit()
        assert at.orchestrator.runs() == []
        assert at.orchestrator.problems() == ["database or disk is full"]
        at.journal.full = False
        assert (await at.submit()).state is RunState.WAITING
        assert at.orchestrator.problems() == []


async def test_a_request_that_the_disk_stops_half_way_holds_up_nobody(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        at.journal.full_after = 1
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(StateError, match="goes on once the journal can be written"):
                await at.submit()
            with pytest.raises(StateError, match="full"):
                await at.submit(system="ite")
        at.journal.full_after, at.journal.full = None, False
        at.clock.advance(2)
        (run,) = at.orchestrator.runs()
        assert (await at.until(run, RunState.WAITING)).system == "ncts"


# -- what listens, what breaks -----------------------------------------------------------------------------------------


async def test_a_listener_that_breaks_stops_no_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_args: object) -> None:
        raise RuntimeError("the page is gone")

    async def talks(context: Context) -> Done:
        context.say("a line")
        return Done()

    async with house(tmp_path, acts(write=Act("write", ("backup", "written"), talks))) as at:
        heard: list[str] = []
        at.orchestrator.subscribe(broken, broken)
        at.orchestrator.subscribe(
            lambda run, _events: heard.append(run.state.value), lambda *line: heard.append(line[3])
        )
        with caplog.at_level(logging.CRITICAL):
            run = await at.until(await at.submit("backup"))
        assert run.state is RunState.SUCCEEDED
        assert {"a line", "SUCCEEDED"} <= set(heard)
        assert at.orchestrator.problems() == []


async def test_a_run_that_cannot_be_driven_is_shown_until_the_restart(tmp_path: Path) -> None:
    """Any other run's success must not wipe the sentence away."""
    async with house(tmp_path) as at:
        run = await at.submit()
        at.orchestrator._runners[run.id].run = None  # type: ignore[assignment]  # a defect of ours
        with pytest.raises(AttributeError):
            await at.orchestrator.command(run.id, partial(by_ana, commands.deny))
        async with asyncio.timeout(PATIENCE_S):
            while not at.orchestrator.problems():  # noqa: ASYNC110 - nobody is told of a defect
                await asyncio.sleep(0.001)
        await at.until(await at.submit("backup", "ite"))
        (problem,) = at.orchestrator.problems()
        assert f"run {run.id} is not driven any more" in problem
        with pytest.raises(RunRefused, match="restart the daemon"):
            await at.approve(run)
    async with house(tmp_path) as at:
        assert (await at.until(run, RunState.WAITING)).id == run.id
        assert at.orchestrator.problems() == []


async def test_an_action_that_an_upgrade_took_away_fails_its_step_and_nothing_else(tmp_path: Path) -> None:
    gate = Gate()
    async with house(tmp_path, acts(power=Act("power", ("power", "on"), gate))) as at:
        run = await at.approve(await at.submit())
        await gate.entered.wait()
        await at.until(run, RunState.IN_PROGRESS, also=lambda run: run.steps["fence-old"].outputs != {})
    actions = acts()
    del actions["power"]
    other_texts = {
        "failover": FAILOVER.replace("  - { id: machines, action: power, timeout_s: 60 }\n", "").replace(
            ", machines", ""
        )
    }
    async with house(tmp_path, actions, other_texts) as at:
        run = await at.until(run, RunState.PAUSED)
        assert "no action 'power'" in run.pause_reason
        assert (await at.until(await at.submit("failover", "ite"), RunState.WAITING)).system == "ite"
        await at.orchestrator.command(run.id, partial(by_ana, commands.resume))
        run = await at.until(run, RunState.PAUSED)
        await at.orchestrator.command(run.id, partial(by_ana, commands.cancel))
        assert (await at.until(run)).state is RunState.FAILED


async def test_a_system_that_an_upgrade_took_away_is_refused_at_its_approval(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        run = await at.submit(system="ite")
    fewer = INVENTORY.model_copy(update={"systems": {"ncts": INVENTORY.systems["ncts"]}})

    def epochs(system: str) -> int:
        return {"ncts": 1}[system]

    async with house(tmp_path, inventory=fewer, epochs=epochs) as at:
        await at.approve(run)
        run = await at.until(run)
        assert run.state is RunState.CANCELED
        assert "the inventory has no system 'ite' any more" in run.end_reason


# -- damaged journals --------------------------------------------------------------------------------------------------


def spoil(folder: Path, run_id: str, how: str) -> None:
    with sqlite3.connect(folder / "journal.sqlite") as db:
        if how == "word":
            db.execute("UPDATE events SET word = 'Teleported' WHERE run_id = ? AND seq = 3", (run_id,))
        elif how == "gap":
            db.execute("DELETE FROM events WHERE run_id = ? AND seq = 2", (run_id,))
        elif how == "bytes":
            db.execute("UPDATE events SET body = CAST(X'C328' AS TEXT) WHERE run_id = ? AND seq = 4", (run_id,))
        elif how == "order":
            db.execute(
                "UPDATE events SET word = 'Recovered', body = '{\"at\":1.0}' WHERE run_id = ? AND seq = 3", (run_id,)
            )
        else:
            db.execute("UPDATE events SET body = '{' WHERE run_id = ? AND seq = 0", (run_id,))
    db.close()


@pytest.mark.parametrize("how", ["word", "gap", "bytes", "order", "first"])
async def test_one_damaged_run_holds_up_no_other_system_and_is_not_guessed_at(tmp_path: Path, how: str) -> None:
    async with house(tmp_path) as at:
        bad = await at.moved()
        good = await at.submit(system="ite")
    spoil(tmp_path, bad.id, how)
    async with house(tmp_path) as at:
        assert [run.id for run in at.orchestrator.runs()] == [good.id]
        assert (await at.until(good, RunState.WAITING)).system == "ite"
        (problem,) = at.orchestrator.problems()
        assert f"the journal of run {bad.id}" in problem
        assert "is damaged" in problem
        with pytest.raises(RunRefused, match="is damaged"):
            at.orchestrator.run(bad.id)
        with pytest.raises(RunRefused) as refusal:
            await at.submit(origin="alarm", origin_ref="a:1")
        assert refusal.value.guard == "journal"
        mine = await at.submit()
        assert mine.id not in {bad.id, good.id}
        assert any(note.reason == "person-despite-damage" for note in mine.guards)
        mine = await at.until(await at.approve(mine))
        assert mine.state is RunState.SUCCEEDED
        assert mine.token > bad.token


# -- where a system is -------------------------------------------------------------------------------------------------


async def test_backups_follow_the_active_site_there_and_back(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        assert at.orchestrator.plan("backup", "ncts").from_site == "main"
        await at.moved("failover")
        assert at.orchestrator.placement()["ncts"] == at.orchestrator.promoted("ncts") == "dr"
        assert (at.orchestrator.plan("backup", "ncts").from_site, at.orchestrator.plan("backup", "ite").from_site) == (
            "dr",
            "main",
        )
        at.clock.advance(HOUR_S)
        await at.moved("failback")
        assert at.orchestrator.plan("backup", "ncts").from_site == "main"


async def test_a_failover_that_fails_after_its_promotion_has_still_moved_the_database(tmp_path: Path) -> None:
    async with house(tmp_path, acts(http_check=Act("http_check", does=refused))) as at:
        run = await at.until(await at.approve(await at.submit()), RunState.PAUSED)
        await at.orchestrator.command(run.id, partial(by_ana, commands.cancel))
        assert (await at.until(run)).state is RunState.FAILED
        assert (at.orchestrator.promoted("ncts"), at.orchestrator.placement()["ncts"]) == ("dr", "main")
        assert at.orchestrator.plan("backup", "ncts").from_site == "dr"


async def test_a_promotion_that_a_person_vouched_for_counts_once_traffic_was_seen(tmp_path: Path) -> None:
    async with house(tmp_path, acts(promote=Act("promote", ("role", "primary"), lost, blind))) as at:
        run = await at.until(await at.approve(await at.submit()), RunState.PAUSED)
        await at.orchestrator.command(run.id, lambda run, now: commands.ignore(run, "promote", "ana", "I looked", now))
        assert (await at.until(run)).state is RunState.SUCCEEDED_WITH_WARNINGS
        assert at.orchestrator.promoted("ncts") == "dr"


async def test_that_everything_arrived_is_not_passed_over(tmp_path: Path) -> None:
    """Whoever may steer would lose by that what only who may approve can accept."""
    async with house(tmp_path, acts(wait_replica=Act("wait_replica", None, refused))) as at:
        await at.moved("failover")
        at.clock.advance(1)
        run = await at.until(await at.approve(await at.submit("failback")), RunState.PAUSED)
        with pytest.raises(RunRefused, match="'all-there' sees that main has everything; passed over, the"):
            await at.orchestrator.command(run.id, lambda run, now: commands.ignore(run, "all-there", "a", "late", now))
        assert not any(record.plan.promotes and record.attempt for record in at.orchestrator.run(run.id).steps.values())


async def test_a_reprotect_moves_nothing(tmp_path: Path) -> None:
    text = "kind: reprotect\nsummary: Replicate back\nsteps:\n  - { id: power, action: power, timeout_s: 60 }\n"
    async with house(tmp_path, texts={**TEXTS, "reprotect": text}) as at:
        await at.moved("failover")
        at.clock.advance(1)
        assert (await at.moved("reprotect")).state is RunState.SUCCEEDED
        assert at.orchestrator.placement()["ncts"] == "dr"


# -- time --------------------------------------------------------------------------------------------------------------


async def test_a_clock_set_back_does_not_stretch_the_wait_for_a_retry(tmp_path: Path) -> None:
    async def first(context: Context) -> Done:
        if context.attempt == 1:
            at.clock.jump(-24 * HOUR_S)
            raise DeadlineExceeded("late")
        return Done()

    async def no(context: Context) -> Seen:
        return Seen(Holds.YES if len(write.calls) > 2 else Holds.NO, "looked")

    write = Act("write", ("backup", "written"), first, no)
    text = BACKUP.replace("timeout_s: 60", "timeout_s: 60, retries: 1, retry_wait_s: 60")
    async with house(tmp_path, acts(write=write), {"backup": text}) as at:
        run = await at.submit("backup")
        while not at.orchestrator.run(run.id).state.final:
            await asyncio.sleep(0.01)  # for the journal's thread
            at.clock.advance(1)
            assert at.clock.monotonic() < HOUR_S
        assert at.orchestrator.run(run.id).state is RunState.SUCCEEDED


async def test_a_clock_set_back_does_not_unprove_a_fence(tmp_path: Path) -> None:
    clock = HeldClock()

    async def fenced(context: Context) -> Done:
        return Done({"proof": "PROVEN"})

    async with house(tmp_path, acts(fence=Act("fence", ("fence", "on"), fenced)), clock=clock) as at:
        run = await at.submit()
        at.orchestrator.subscribe(
            lambda _run, events: clock.jump(-HOUR_S) if any(isinstance(event, RunStarted) for event in events) else None
        )
        assert (await at.until(await at.approve(run))).state is RunState.SUCCEEDED


# -- death and return --------------------------------------------------------------------------------------------------


async def test_undo_that_a_crash_cut_short_is_taken_up_again(tmp_path: Path) -> None:
    gate = Gate()

    class Slow(Act):
        async def undo(self, args: object, context: Context, outputs: object) -> Done:
            self.calls.append("undo")
            return await gate(context)

    text = """
kind: backup
summary: Undo
steps:
  - { id: one, action: mark, timeout_s: 60 }
  - { id: two, action: look, needs: [one], timeout_s: 60, on_failure: undo }
"""
    actions = acts(mark=Slow("mark", ("backup", "marked"), undoable=True), look=Act("look", does=refused))
    async with house(tmp_path, actions, {"backup": text}) as at:
        run = await at.submit("backup")
        await gate.entered.wait()
    gate.open.set()
    async with house(tmp_path, actions, {"backup": text}) as at:
        run = await at.until(run)
        assert run.state is RunState.FAILED
        assert run.steps["one"].state is StepState.UNDONE
        assert run.interruptions == 1
    assert actions["mark"].calls == ["run 1", "probe", "undo", "undo"]


async def test_what_was_asked_for_and_not_yet_judged_is_judged_after_the_restart(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        at.journal.full_after = 1
        with pytest.raises(StateError):
            await at.submit()
    async with house(tmp_path) as at:
        (run,) = at.orchestrator.runs()
        assert (await at.until(run, RunState.WAITING)).requester == "ana"


async def test_resume_asks_the_world_again_and_repeats_nothing(tmp_path: Path) -> None:
    answers = [Holds.CANNOT_TELL, Holds.CANNOT_TELL, Holds.YES]

    async def sees(context: Context) -> Seen:
        return Seen(answers.pop(0), "looked")

    promote = Act("promote", ("role", "primary"), lost, sees)
    async with house(tmp_path, acts(promote=promote)) as at:
        run = await at.until(await at.approve(await at.submit()), RunState.PAUSED)
        for left in (1, 0):
            await at.orchestrator.command(run.id, partial(by_ana, commands.resume))
            run = await at.until(
                run, RunState.PAUSED, RunState.SUCCEEDED, also=lambda _run, left=left: len(answers) == left
            )
        run = await at.until(run)
        assert run.state is RunState.SUCCEEDED
        assert promote.calls == ["run 1", "probe", "probe", "probe"]
        started = [event for event in at.orchestrator.events(run.id) if isinstance(event, StepStarted)]
        assert sum(event.step == "promote" for event in started) == 1


async def test_requests_that_fit_nothing_are_refusedby_ana_a_hint(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        with pytest.raises(RunRefused, match="did you mean 'failover'"):
            await at.orchestrator.submit(Request("failovr", "ncts", "ana"))
        with pytest.raises(RunRefused, match="unknown system"):
            await at.orchestrator.submit(Request("failover", "ntcs", "ana"))
        assert at.orchestrator.runs() == []
