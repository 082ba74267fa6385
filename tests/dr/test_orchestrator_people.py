"""What people do to runs: two at once, too late, out of turn, and gone before the answer."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest
from orchestrator_kit import (
    BACKUP,
    FAILOVER,
    HOUR_S,
    PATIENCE_S,
    Act,
    Gate,
    acts,
    blind,
    by_ana,
    house,
    lost,
    proven,
    refused,
)

from dr.action import Context, Holds, Seen
from dr.engine import commands
from dr.errors import RunRefused
from dr.journal.event import RunStarted
from dr.journal.run import Run, RunState, StepState

pytestmark = pytest.mark.anyio


async def test_of_two_approvals_at_once_one_counts(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        run = await at.submit()
        answers = await asyncio.gather(at.approve(run), at.approve(run, "vera"), return_exceptions=True)
        assert isinstance(answers[0], Run)
        assert isinstance(answers[1], RunRefused)
        assert "does not wait for an approval" in str(answers[1])
        run = await at.until(run)
        assert (run.state, run.approved_by) == (RunState.SUCCEEDED, "boris")
        assert sum(isinstance(event, RunStarted) for event in at.orchestrator.events(run.id)) == 1


async def test_an_approval_that_comes_too_late_is_refused_and_the_run_ends(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        run = await at.submit()
        at.clock.jump(2 * HOUR_S)  # the runner still sleeps: only wall time has moved
        with pytest.raises(RunRefused, match=r"the time to approve .* is over"):
            await at.approve(run)
        run = await at.until(run)
        assert run.state is RunState.CANCELED
        assert "nobody approved in time" in run.end_reason
        assert at.actions["fence"].calls == []


async def test_a_clock_set_back_leaves_an_approval_its_time_and_no_more(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        run = await at.submit()
        at.clock.jump(-HOUR_S)
        at.clock.advance(HOUR_S + 1)
        await asyncio.sleep(0.01)
        assert at.orchestrator.run(run.id).state is RunState.WAITING
        at.clock.advance(HOUR_S)
        assert (await at.until(run)).state is RunState.CANCELED


@pytest.mark.parametrize("by", ["ana", " Ana "])
async def test_nobody_approves_what_he_asked_for(tmp_path: Path, by: str) -> None:
    async with house(tmp_path) as at:
        run = await at.submit()
        with pytest.raises(RunRefused, match="somebody else must approve"):
            await at.approve(run, by)
        assert at.orchestrator.run(run.id).state is RunState.WAITING


async def test_a_command_to_a_run_that_is_over_is_answered(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        run = await at.until(await at.submit("backup"))
        for command in (commands.cancel, commands.resume):
            with pytest.raises(RunRefused, match="SUCCEEDED"):
                await at.orchestrator.command(run.id, partial(by_ana, command))
        with pytest.raises(RunRefused, match="there is no run"):
            at.orchestrator.run("")


async def test_commands_that_come_while_a_run_ends_are_all_answered(tmp_path: Path) -> None:
    """Some find the run under way, some between its end and its runner's; none may wait for ever."""
    async with house(tmp_path) as at:
        for number in range(20):
            run = await at.submit("backup")
            answers = []
            while not at.orchestrator.run(run.id).state.final or number == 0:
                answers.append(asyncio.ensure_future(at.orchestrator.command(run.id, partial(by_ana, commands.resume))))
                await asyncio.sleep(0)
                number += 1  # noqa: PLW2901 - the first round goes on a little after the end
            answers.append(asyncio.ensure_future(at.orchestrator.command(run.id, partial(by_ana, commands.resume))))
            async with asyncio.timeout(PATIENCE_S):
                told = await asyncio.gather(*answers, return_exceptions=True)
            assert all(isinstance(answer, RunRefused) for answer in told)


async def test_a_command_put_after_the_runner_closed_is_answered(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        run = await at.submit()
        runner = at.orchestrator._runners[run.id]
        await at.orchestrator.command(run.id, partial(by_ana, commands.deny))
        await at.until(run)
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(RunRefused, match="it is over"):
                await runner.command(partial(by_ana, commands.cancel))


async def test_a_daemon_that_stops_answers_whoever_waits(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        run = await at.submit()
        at.journal.full = True
        waiting = [asyncio.ensure_future(at.approve(run, who)) for who in ("boris", "vera")]
        await asyncio.sleep(0.02)
    told = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(answer, RunRefused) and "after the restart" in str(answer) for answer in told)


async def test_cancel_while_a_step_is_stuck_ends_and_says_what_is_not_known(tmp_path: Path) -> None:
    actions = acts(promote=Act("promote", ("role", "primary"), lost, blind))
    async with house(tmp_path, actions) as at:
        run = await at.until(await at.approve(await at.submit()), RunState.PAUSED)
        assert run.steps["promote"].stuck
        await at.orchestrator.command(run.id, partial(by_ana, commands.cancel))
        run = await at.until(run)
        assert run.state is RunState.FAILED
        assert "cannot be told whether it happened" in run.end_reason


async def test_cancel_lets_end_what_runs_and_starts_nothing_more(tmp_path: Path) -> None:
    gate = Gate()
    actions = acts(fence=Act("fence", ("fence", "on"), gate, outputs=("proof",)))
    async with house(tmp_path, actions) as at:
        run = await at.approve(await at.submit())
        await gate.entered.wait()
        await at.orchestrator.command(run.id, partial(by_ana, commands.cancel))
        with pytest.raises(RunRefused, match="nothing to cancel"):
            await at.orchestrator.command(run.id, partial(by_ana, commands.cancel))
        gate.open.set()
        run = await at.until(run)
        assert run.state is RunState.CANCELED
        assert run.steps["fence-old"].state is StepState.SUCCEEDED
        assert actions["promote"].calls == []


FINALLY = BACKUP + "finally:\n  - { id: tidy, action: look, timeout_s: 60 }\n"


async def test_cancel_while_final_steps_run_lets_them_end(tmp_path: Path) -> None:
    gate = Gate()
    async with house(tmp_path, acts(look=Act("look", does=gate)), {"backup": FINALLY}) as at:
        run = await at.submit("backup")
        await gate.entered.wait()
        await at.orchestrator.command(run.id, partial(by_ana, commands.cancel))
        gate.open.set()
        run = await at.until(run)
        assert run.state is RunState.CANCELED
        assert run.steps["tidy"].state is StepState.SUCCEEDED


async def test_deny_then_resume_changes_nothing(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        run = await at.submit()
        await at.orchestrator.command(run.id, partial(by_ana, commands.deny))
        with pytest.raises(RunRefused):
            await at.orchestrator.command(run.id, partial(by_ana, commands.resume))
        assert (await at.until(run)).state is RunState.CANCELED


async def test_retry_of_a_step_that_is_just_being_probed_is_refused_and_the_run_lives(tmp_path: Path) -> None:
    """Taking it would start the step beside its probe, and the probe's answer would then fit nothing."""
    asked, answer = asyncio.Event(), asyncio.Event()

    async def slow_probe(context: Context) -> Seen:
        asked.set()
        await answer.wait()
        return Seen(Holds.YES, "it is on", {"value": 1})

    actions = acts(fence=Act("fence", ("fence", "on"), refused), power=Act("power", ("power", "on"), lost, slow_probe))
    async with house(tmp_path, actions) as at:
        run = await at.approve(await at.submit())
        await asked.wait()
        await asyncio.sleep(0.01)
        for command in (commands.retry, commands.ignore):
            with pytest.raises(RunRefused):
                await at.orchestrator.command(run.id, lambda run, now, do=command: do(run, "machines", "ana", "x", now))
        answer.set()
        run = await at.until(run, RunState.PAUSED, also=lambda run: run.steps["machines"].over)
        assert run.steps["machines"].state is StepState.SUCCEEDED
        assert at.orchestrator.problems() == []
        assert actions["power"].calls == ["run 1", "probe"]


async def test_a_persons_retry_begins_at_once(tmp_path: Path) -> None:
    text = FAILOVER.replace("site: from, timeout_s: 60", "site: from, timeout_s: 60, retry_wait_s: 3600")
    fence = Act("fence", ("fence", "on"), refused)
    async with house(tmp_path, acts(fence=fence), {"failover": text}) as at:
        run = await at.until(await at.approve(await at.submit()), RunState.PAUSED)
        fence.does = proven
        await at.orchestrator.command(run.id, lambda run, now: commands.retry(run, "fence-old", "ana", "", now))
        assert (await at.until(run)).state is RunState.SUCCEEDED


async def test_whoever_goes_away_while_asking_leaves_a_run_that_is_followed_up(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        asking = asyncio.ensure_future(at.submit())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        async with asyncio.timeout(PATIENCE_S):
            while not at.orchestrator.runs():  # noqa: ASYNC110 - the run is announced to nobody yet
                await asyncio.sleep(0.001)
        (run,) = at.orchestrator.runs()
        assert (await at.until(run, RunState.WAITING)).requester == "ana"


# -- two requests at once, tokens --------------------------------------------------------------------------------------


async def test_of_two_requests_at_once_one_is_let_in(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        told = await asyncio.gather(*(at.submit() for _ in range(5)), return_exceptions=True)
        assert [type(answer) for answer in told].count(Run) == 1
        assert all(isinstance(answer, Run) or answer.guard == "exclusive" for answer in told)  # type: ignore[union-attr]  # a refusal
        assert len({run.id for run in at.orchestrator.runs()}) == 5


async def test_tokens_only_grow_over_restarts_and_over_what_databases_hold(tmp_path: Path) -> None:
    tokens, epoch = [], 40
    for _ in range(3):
        async with house(tmp_path, epochs=lambda _system: epoch) as at:  # noqa: B023 - as it is then
            at.clock.advance(10)
            tokens += [(await at.until(await at.submit("backup"))).token for _ in range(2)]
        epoch = 0
    assert tokens == [41, 42, 43, 44, 45, 46]


async def test_two_runs_that_begin_at_once_get_two_tokens(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        runs = [await at.submit(system=system) for system in ("ncts", "ite")]
        await asyncio.gather(*(at.approve(run) for run in runs))
        done = [await at.until(run) for run in runs]
        assert len({run.token for run in done}) == 2
