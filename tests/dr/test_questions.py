"""People in the middle of a run: questions with their end, pauses, what is taken back; also over a daemon's death."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
from checker_kit import REAL, found, shipped, with_steps
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_kit import Act, Gate, HeldClock, House, acts, house, refused

from dr.actions.ask import Ask, AskArgs
from dr.actions.notify import Notify
from dr.engine import commands
from dr.engine.telling import MESSAGE, QUESTION, STILL, expires_at, questions, told
from dr.errors import IllegalEvent, RunRefused
from dr.evidence.report import report
from dr.forecast import Past
from dr.journal.event import StepSucceeded
from dr.journal.fold import fold, fold_all
from dr.journal.people import QuestionAnswered
from dr.journal.run import Run, RunState, StepState
from dr.playbook.model import Plan, PlannedStep

ASKING = """
kind: failover
summary: Ask, then move it
steps:
  - { id: power-up, action: power, timeout_s: 5 }
  - { id: ready, action: ask, needs: [power-up], timeout_s: 600, args: { question: "May ${system.key} move?" } }
  - { id: where, action: ask, timeout_s: 300, args: { question: How, choices: [fast, slow], go_on: [fast, slow],
      on_timeout: slow } }
  - { id: fence-old, action: fence, site: from, needs: [ready], timeout_s: 5 }
  - { id: promote, action: promote, needs: [fence-old, where], timeout_s: 5 }
  - { id: tell, action: notify, needs: [promote], timeout_s: 5, args: { message: "moved ${steps.where.answer}" } }
  - { id: service, action: http_check, needs: [tell], timeout_s: 5, args: { where: service, expect_role: active } }
"""


def in_a_loop(test: Callable[[Path], Coroutine[Any, Any, None]]) -> Callable[[Path], None]:
    @wraps(test)
    def run(tmp_path: Path) -> None:
        asyncio.run(test(tmp_path))

    return run


def asking(**more: Act) -> dict[str, Any]:
    return {**acts(**more), "ask": Ask(), "notify": Notify()}


async def to_the_question(here: House) -> Run:
    run = await here.approve(await here.submit("failover"))
    return await here.until(run, RunState.IN_PROGRESS, also=lambda run: len(questions(run)) == 2)


async def answer(here: House, run: Run, said: str, step: str = "", by: str = "vera") -> Run:
    return await here.orchestrator.command(
        run.id, lambda run, now: commands.answer(run, step, by, said, "I looked", now)
    )


@in_a_loop
async def test_answers_let_the_run_go_on_and_are_journaled_with_their_names(tmp_path: Path) -> None:
    async with house(tmp_path, asking(), {"failover": ASKING}) as here:
        run = await to_the_question(here)
        said = told([run], here.clock.now())[QUESTION, f"karaula/{run.id}"]
        assert "May ncts move? (yes or no, until " in said
        assert f"karaula run answer {run.id} ANSWER --step where" in said
        for wrong, step, why in (("yes", "", "say which question"), ("perhaps", "ready", "answer one of: yes, no")):
            with pytest.raises(RunRefused, match=why):
                await answer(here, run, wrong, step)
        await answer(here, run, "yes", "ready")
        await answer(here, run, "fast", "where", by="zoran")
        run = await here.until(run)
        assert run.state is RunState.SUCCEEDED
        assert dict(run.steps["where"].outputs) == {"answer": "fast", "answered_by": "zoran"}
        assert run.steps["tell"].outputs["message"] == "moved fast"
        assert told([run], here.clock.now()) == {(MESSAGE, f"karaula/{run.id}"): "moved fast"}
        assert told([run], here.clock.now() + 3600) == {}
        expected = Past(here.orchestrator).forecast(run.plan)
        people = report(
            run, here.orchestrator.events(run.id), {}, here.orchestrator.world.inventory, expected, 0.0
        ).people
        assert ("vera", "answered 'yes' to the question of step 'ready'", "I looked") in [
            (one.by, one.what, one.comment) for one in people
        ]


@in_a_loop
async def test_a_no_stops_and_the_question_can_be_put_again(tmp_path: Path) -> None:
    async with house(tmp_path, asking(), {"failover": ASKING}) as here:
        run = await to_the_question(here)
        await answer(here, run, "no", "ready")
        run = await here.until(run, RunState.PAUSED)
        assert run.pause_reason == "step 'ready' failed: vera answered 'no'"
        stands = told([run], here.clock.now())[STILL, f"karaula/{run.id}"]
        assert "the failover of ncts stands still until a person decides: step 'ready' failed: vera answered" in stands
        assert stands.endswith(f"karaula run show {run.id}")
        assert [record.plan.id for record in questions(run)] == ["where"]
        await answer(here, run, "slow", "where")  # a question waits in a pause too
        await here.orchestrator.command(run.id, lambda run, now: commands.retry(run, "ready", "ana", "", now))
        run = await here.until(run, RunState.IN_PROGRESS, also=lambda run: bool(questions(run)))
        assert (STILL, f"karaula/{run.id}") not in told([run], here.clock.now())
        await here.orchestrator.command(run.id, lambda run, now: commands.pause(run, "ana", "wait", now))
        by_hand = here.orchestrator.run(run.id)
        assert by_hand.state is RunState.PAUSED
        assert (STILL, f"karaula/{run.id}") not in told([by_hand], here.clock.now()), "who paused it knows"
        await here.orchestrator.command(run.id, lambda run, now: commands.resume(run, "ana", "", now))
        await answer(here, run, "yes")
        assert (await here.until(run)).state is RunState.SUCCEEDED


@in_a_loop
async def test_nobody_answers_in_time(tmp_path: Path) -> None:
    async with house(tmp_path, asking(), {"failover": ASKING}) as here:
        run = await to_the_question(here)
        await asyncio.sleep(0.01)
        here.clock.advance(301)
        run = await here.until(
            run, RunState.IN_PROGRESS, also=lambda run: run.steps["where"].state is StepState.SUCCEEDED
        )
        assert run.steps["where"].outputs == {"answer": "slow", "answered_by": "karaula"}
        await asyncio.sleep(0.01)
        here.clock.advance(301)
        run = await here.until(run, RunState.PAUSED)
        assert run.pause_reason == "step 'ready' failed: nobody answered within 600 s; a time-out is a refusal"
        assert run.steps["ready"].state is StepState.TIMED_OUT


@in_a_loop
async def test_a_question_outlives_the_daemon_with_the_same_end(tmp_path: Path) -> None:
    clock = HeldClock()
    async with house(tmp_path, asking(), {"failover": ASKING}, clock=clock) as here:
        run = await to_the_question(here)
        due = expires_at(run.steps["ready"])
    clock.advance(60)
    async with house(tmp_path, asking(), {"failover": ASKING}, clock=clock) as here:
        run = await here.until(run, RunState.IN_PROGRESS)
        assert next((one.attempt, expires_at(one)) for one in questions(run)) == (1, due)
        await answer(here, run, "yes", "ready")
        await answer(here, run, "fast", "where")
        assert (await here.until(run)).state is RunState.SUCCEEDED


@in_a_loop
async def test_a_canceled_run_takes_no_answer_any_more(tmp_path: Path) -> None:
    async with house(tmp_path, asking(), {"failover": ASKING}) as here:
        run = await to_the_question(here)
        await here.orchestrator.command(run.id, lambda run, now: commands.cancel(run, "ana", "power is back", now))
        run = await here.until(run)
        assert run.steps["ready"].reason == "the run was canceled before anybody answered"
        with pytest.raises(RunRefused):
            await answer(here, run, "yes", "ready")


@in_a_loop
async def test_a_person_pauses_a_run_and_lets_it_go_on(tmp_path: Path) -> None:
    gate = Gate()
    async with house(tmp_path, acts(fence=Act("fence", ("fence", "on"), gate, outputs=("proof",)))) as here:
        run = await here.approve(await here.submit())
        await gate.entered.wait()
        run = await here.orchestrator.command(run.id, lambda run, now: commands.pause(run, "vera", "wait", now))
        assert (run.state, run.paused_by) == (RunState.PAUSED, "vera")
        gate.open.set()
        run = await here.until(run, RunState.PAUSED, also=lambda run: run.steps["fence-old"].state.settled)
        assert here.actions["promote"].calls == []
        await here.orchestrator.command(run.id, lambda run, now: commands.resume(run, "vera", "on", now))
        assert (await here.until(run)).state is RunState.SUCCEEDED


CAREFUL = ASKING.replace("needs: [power-up], timeout_s: 600", "needs: [power-up, seen], timeout_s: 600").replace(
    "  - { id: where", "  - { id: seen, action: look, needs: [power-up], timeout_s: 5 }\n  - { id: where"
)


@in_a_loop
async def test_a_person_takes_back_what_was_done_but_nothing_beneath_a_hand_over(tmp_path: Path) -> None:
    async with house(tmp_path, asking(look=Act("look", None, refused)), {"failover": CAREFUL}) as here:
        run = await here.until(await here.approve(await here.submit()), RunState.PAUSED)
        await here.orchestrator.command(run.id, lambda run, now: commands.undo(run, "vera", "not tonight", now))
        run = await here.until(run)
        assert here.actions["power"].calls == ["run 1", "probe", "undo"]
        assert run.steps["power-up"].state is StepState.UNDONE
        assert (run.state, run.undo_asked, run.cancel_by) == (RunState.FAILED, True, "vera")  # the look had failed
    await asyncio.to_thread((tmp_path / "other").mkdir)
    fence = Act("fence", ("fence", "on"), refused, outputs=("proof",))
    async with house(tmp_path / "other", acts(fence=fence)) as here:
        run = await here.until(await here.approve(await here.submit()), RunState.PAUSED)
        with pytest.raises(RunRefused, match="'fence-old' has begun to hand over"):
            await here.orchestrator.command(run.id, lambda run, now: commands.undo(run, "vera", "", now))


def test_no_answer_no_success(tmp_path: Path) -> None:
    async def asked() -> list[Any]:
        async with house(tmp_path, asking(), {"failover": ASKING}) as here:
            return here.orchestrator.events((await to_the_question(here)).id)

    run = fold_all("r", asyncio.run(asked()))
    with pytest.raises(IllegalEvent, match="succeeds without an answer"):
        fold(run, StepSucceeded(9.0, "ready", 1, {"answer": "yes"}, "", ""))
    answered = fold(run, QuestionAnswered(9.0, "ready", 1, "vera", "yes", ""))
    with pytest.raises(IllegalEvent, match="asks nothing"):
        fold(answered, QuestionAnswered(9.0, "ready", 1, "boris", "no", ""))


@given(st.lists(st.sampled_from(["yes", "no", "later"]), min_size=1, unique=True), st.sampled_from(["", "yes", "no"]))
def test_a_question_s_parts_agree(choices: list[str], on_timeout: str) -> None:
    args = {"system": "ncts", "site": "dr", "question": "?", "choices": tuple(choices), "on_timeout": on_timeout}
    if "yes" in choices and on_timeout in {"", *choices}:
        assert AskArgs(**args).go_on == ("yes",)
    else:
        with pytest.raises(ValueError, match="is not among the choices"):
            AskArgs(**args)


def question_before(step_id: str, **changes: Any) -> Plan:
    """Return the shipped switchover with a question that ``step_id`` waits for."""
    plan = shipped("switchover")
    args = {"question": "?", "choices": ["yes", "no"], "go_on": ["yes"], "on_timeout": "", **changes}
    ask = PlannedStep(
        "ready",
        "ask",
        "dr",
        "",
        args,
        (),
        60.0,
        0,
        0.0,
        "stop",
        final=False,
        reads_only=True,
        undoable=False,
        effects=(),
    )
    needs = plan.step(step_id).needs
    steps = [*plan.steps, ask]
    return with_steps(
        plan,
        [one if one.id != step_id else _needing(one, (*needs, "ready")) for one in steps],
    )


def _needing(step: PlannedStep, needs: tuple[str, ...]) -> PlannedStep:
    return replace(step, needs=needs)


def test_the_checker_knows_questions_their_answers_and_their_silence() -> None:
    result = found(question_before("drain"), 1, REAL)
    assert result.proved, result.counterexample
    assert result.ends["CANCELED"]
    never = found(question_before("drain", choices=["no"], go_on=["yes"]), 0, REAL)
    assert never.counterexample is not None
    assert never.counterexample.law == 3  # nobody can say yes: it does not succeed


def test_what_a_run_has_set_up_is_not_passed_over_in_a_pause() -> None:
    """The checker found it: a paused drill whose clean-up was passed over called itself a success."""
    result = found(replace(shipped("drill"), steps=tuple(_hasty(step) for step in shipped("drill").steps)), 2, REAL)
    assert result.proved, result.counterexample


def _hasty(step: PlannedStep) -> PlannedStep:
    return replace(step, retries=0)
