"""A failover that begins by itself: only when everything holds, and else it is one that was prepared, and says why."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from engine_kit import plan, step
from examples_kit import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from orchestrator_kit import HOUR_S, House, house

from dr.checker.explore import explore
from dr.checker.moment import Engine
from dr.engine.transition import admit
from dr.errors import IllegalEvent
from dr.guard import Facts, Ruling, Verdict
from dr.guards import RUN_GUARDS, STEP_GUARDS
from dr.guards.approval import approval
from dr.journal.ballot import heard
from dr.journal.event import RunAccepted, RunEnded, RunStarted
from dr.journal.fold import begin, fold
from dr.journal.pause import Pause
from dr.journal.run import Run, RunState
from dr.loss import Loss
from dr.readiness.lights import ACCESS, Check, Light, Readiness
from dr.trigger import AlarmNote, Trigger
from monitor.inventory.behaviour import Response
from monitor.status.votes import Poll, Vote, Word

NOW = 1_790_000_000.0
AUTOMATIC = Response(alarm="system-down", system="ncts", playbook="failover", mode="automatic", grace_s=30)


def told(*words: Word, needed: int = 2) -> Poll:
    return Poll("main", needed, tuple(Vote(f"p{n}", word, "site/main", 1.0, "") for n, word in enumerate(words)))


LOST, ALONE = told(Word.DOWN, Word.DOWN), told(Word.DOWN, Word.UNKNOWN)
CONTRADICTED = told(Word.DOWN, Word.DOWN, Word.UP)
POLLS = st.none() | st.builds(
    lambda words, needed: told(*words, needed=needed), st.lists(st.sampled_from(Word), max_size=4), st.integers(2, 3)
)


def earlier(ended_s_ago: float) -> Run:
    accepted = RunAccepted(NOW - ended_s_ago - 60, plan(step("look")).to_json(), "ana", "", "person", "", 0.0, 0.0)
    begun = replace(begin("earlier", accepted), started_at=NOW - ended_s_ago - 30, approved_by="boris")
    return fold(begun, RunEnded(NOW - ended_s_ago, "FAILED", "it did"))


@given(
    poll=POLLS,
    automatic=st.booleans(),
    origin=st.sampled_from(["alarm", "alarm", "alarm", "person", "schedule"]),
    kind=st.sampled_from(["failover", "failover", "failover", "switchover", "failback", "reprotect"]),
    unverified=st.sampled_from(["", "", "not proven since the inventory changed"]),
    isolated=st.sampled_from(["", "", "no anchor answers"]),
    paused_for_s=st.sampled_from([0.0, 0.0, HOUR_S]),
    ended_s_ago=st.sampled_from([None, None, 60.0, 2 * HOUR_S, 25 * HOUR_S]),
    ready=st.sampled_from([None, None, *Light]),
)
@settings(max_examples=examples(500))
def test_nothing_begins_by_itself_unless_all_holds(
    *,
    poll: Poll | None,
    automatic: bool,
    origin: str,
    kind: str,
    unverified: str,
    isolated: str,
    paused_for_s: float,
    ended_s_ago: float | None,
    ready: Light | None,
) -> None:
    """The law of this page: the guards, asked as the runner asks them, and what is made of their answers."""
    the_plan = plan(step("look"), kind=kind)
    accepted = RunAccepted(NOW, the_plan.to_json(), "karaula", "", origin, "", 0.0, 0.0, automatic=automatic)
    run = begin("one", accepted)
    run = run if poll is None else fold(run, heard(poll, NOW))
    pauses = (Pause("all", "vera", "works", NOW - 1, NOW + paused_for_s),) if paused_for_s else ()
    before = () if ended_s_ago is None else (earlier(ended_s_ago),)
    looked = None if ready is None else Readiness("ncts", the_plan.to_site, NOW, (Check(ACCESS, ready, "asked"),))
    where, loss = {"ncts": the_plan.from_site}, Loss(0.0, 0, "seen")
    facts = Facts(before, pauses, where, isolated, unverified=unverified, loss=loss, readiness=looked)
    events = admit(run, [guard(run, facts, None, NOW) for guard in RUN_GUARDS], 7, NOW, 60.0)
    begins = isinstance(events[-1], RunStarted)
    calm = ended_s_ago is None or ended_s_ago > 24 * HOUR_S
    agreed = poll is not None and poll.reached
    asked_for = automatic and origin == "alarm" and kind == "failover"
    assert begins is (
        asked_for and agreed and calm and not (unverified or isolated or pauses or ready in {Light.RED, Light.UNKNOWN})
    )
    for event in events:
        run = fold(run, event)  # the journal takes it
    if not begins and not run.state.final:
        assert run.state is RunState.WAITING
        assert any(note.ruling == "wait" and note.sentence for note in run.guards)


@given(POLLS, st.booleans())
def test_no_journal_holds_an_automatic_start_without_a_quorum(poll: Poll | None, automatic: bool) -> None:
    accepted = RunAccepted(NOW, plan(step("look"), kind="failover").to_json(), "karaula", "", "alarm", "", 0.0, 0.0)
    run = begin("one", replace(accepted, automatic=automatic))
    run = run if poll is None else fold(run, heard(poll, NOW))
    if automatic and poll is not None and poll.reached:
        assert fold(run, RunStarted(NOW, 7)).state is RunState.IN_PROGRESS
    else:
        with pytest.raises(IllegalEvent, match="without an approval"):
            fold(run, RunStarted(NOW, 7))


def test_the_checker_finds_a_start_that_nothing_allows() -> None:
    """Guards that let it begin are stopped by the journal; where that is lenient as well, by the law."""

    def lets_in(run: Run, facts: Facts, step: str | None, now: float) -> Verdict:
        verdict = approval(run, facts, step, now)
        return replace(verdict, ruling=Ruling.ALLOW) if verdict.ruling is Ruling.WAIT else verdict

    def lenient(run: Run, event: object) -> Run:
        if isinstance(event, RunStarted):
            return replace(run, state=RunState.IN_PROGRESS, started_at=event.at, token=event.token, seq=run.seq + 1)
        return fold(run, event)  # type: ignore[arg-type]  # an event

    the_plan = plan(step("look"), kind="failover")
    spoiled = Engine(
        (*(guard for guard in RUN_GUARDS if guard.__name__ not in {"approval", "quorum"}), lets_in), STEP_GUARDS
    )
    found = explore(the_plan, 0, spoiled).counterexample
    assert found is not None
    assert found.law == 9
    found = explore(the_plan, 0, replace(spoiled, fold=lenient)).counterexample
    assert found is not None
    assert found.law == 10


@asynccontextmanager
async def tower(folder: Path, poll: Poll | None = LOST, unverified: str = "") -> AsyncIterator[tuple[House, Trigger]]:
    async with house(folder) as at:
        sees(at, poll, unverified)
        trigger = Trigger({"ncts-down": AUTOMATIC}, at.orchestrator, at.clock.now)
        trigger.raised(AlarmNote("1", "system-down", "system/ncts", at.clock.now(), "no front answers", 0.0))
        yield at, trigger


def sees(at: House, poll: Poll | None, unverified: str = "") -> None:
    world = replace(
        at.orchestrator.world,
        poll=lambda _system, _site: poll,
        unverified=lambda _plan: unverified,
        expected_loss=lambda *_: Loss(0.0, 0, "seen"),
    )
    at.orchestrator.world = world


async def only_run(at: House, trigger: Trigger, after_s: float) -> Run:
    at.clock.advance(after_s)
    await trigger.tick()
    (run,) = at.orchestrator.runs()
    return run


@pytest.mark.anyio
async def test_when_all_holds_it_begins_without_an_approval_and_pages(tmp_path: Path) -> None:
    async with tower(tmp_path) as (at, trigger):
        assert not at.orchestrator.runs()
        at.clock.advance(29)
        await trigger.tick()
        assert not at.orchestrator.runs(), "the grace is not over"
        run = await only_run(at, trigger, 1)
        assert f"{run.id} runs without an approval" in trigger.pages().get(run.id, "") or run.state.final
        run = await at.until(run)
        assert (run.state, run.approved_by, run.automatic) == (RunState.SUCCEEDED, "", True)
        assert "run 1" in at.actions["fence"].calls
        assert [note.reason for note in run.guards if note.guard in {"quorum", "approval"}] == ["quorum", "automatic"]
        assert trigger.pages() == {}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("poll", "unverified", "said"),
    [
        (ALONE, "", "no quorum: 1 of 2 vantage points say that main is down (p0); p1 cannot tell"),
        (CONTRADICTED, "", "it answers, says p2"),
        (None, "", "no vantage point was asked"),
        (LOST, "the proof is of another inventory", "the proof is of another inventory"),
    ],
)
async def test_whatever_is_missing_makes_it_a_prepared_one_that_says_why(
    poll: Poll | None, unverified: str, said: str, tmp_path: Path
) -> None:
    async with tower(tmp_path, poll, unverified) as (at, trigger):
        patience_s = at.orchestrator.world.inventory.vantage.vote_max_age_s
        if poll is not None and not poll.reached:
            at.clock.advance(30)
            await trigger.tick()
            assert not at.orchestrator.runs(), "votes may still come"
        run = await only_run(at, trigger, 30 + patience_s)
        assert run.state is RunState.WAITING
        assert said in trigger.pages()[run.id]
        assert f"{run.id} waits for a person" in trigger.pages()[run.id]
        assert trigger.pages()[run.id].count(str(poll)) == (poll is not None and not poll.reached), "and once"
        assert at.actions["fence"].calls == []
        # What came too late starts nothing by itself: a person has been asked.
        sees(at, LOST)
        assert (await only_run(at, trigger, 60)).state is RunState.WAITING
        await at.approve(run)
        assert (await at.until(run)).state is RunState.SUCCEEDED


@pytest.mark.anyio
async def test_votes_that_come_within_the_patience_are_waited_for(tmp_path: Path) -> None:
    async with tower(tmp_path, ALONE) as (at, trigger):
        at.clock.advance(35)
        await trigger.tick()
        assert not at.orchestrator.runs()
        sees(at, LOST)
        run = await at.until(await only_run(at, trigger, 1))
        assert (run.state, run.approved_by) == (RunState.SUCCEEDED, "")


@pytest.mark.anyio
async def test_a_pause_holds_an_automatic_one_back(tmp_path: Path) -> None:
    async with tower(tmp_path) as (at, trigger):
        now = at.clock.now()
        await at.orchestrator.standing.pause(Pause("all", "vera", "works", now, now + HOUR_S))
        run = await only_run(at, trigger, 31)
        assert run.state is RunState.CANCELED
        assert "paused" in trigger.refusals["1"]
        assert at.actions["fence"].calls == []
        at.clock.advance(HOUR_S)
        await trigger.tick()
        newest = at.orchestrator.runs()[0]
        assert (await at.until(newest)).state is RunState.SUCCEEDED
