"""The engine's course through failures, crashes and people's decisions, on the real runner and the real fold."""

from __future__ import annotations

from functools import partial

import pytest
from engine_kit import FAILOVER, Crash, MemoryJournal, SimWorld, accepted, again, drive, plan, step
from hypothesis import given
from hypothesis import strategies as st

from dr.engine import commands
from dr.errors import IllegalEvent, RunRefused
from dr.journal.event import Event, RunEnded, StepStarted, StepSucceeded, decode, encode
from dr.journal.fold import fold, fold_all
from dr.journal.run import Run, RunState, StepState

pytestmark = pytest.mark.anyio
WAITS = {RunState.WAITING, RunState.PAUSED}


async def approved(world: SimWorld, the_plan: object = FAILOVER) -> tuple[Run, list[Event]]:
    run, events = accepted(the_plan)  # type: ignore[arg-type]  # a Plan
    journal = MemoryJournal(run, events)
    run = await drive(run, world, journal, until=lambda run: run.state is RunState.WAITING)
    if run.state is RunState.WAITING:
        for event in commands.approve(run, "ana", "", run.plan_hash, 0.0):
            events.append(event)
            run = fold(run, event)
    return run, events


async def to_rest(world: SimWorld, the_plan: object = FAILOVER) -> tuple[Run, list[Event]]:
    run, events = await approved(world, the_plan)
    journal = MemoryJournal(run, events)
    return await drive(run, world, journal, until=lambda run: run.state in WAITS), events


async def test_a_failover_without_faults_succeeds_in_order() -> None:
    world = SimWorld()
    run, _ = await to_rest(world)
    assert run.state is RunState.SUCCEEDED
    assert world.order.index("fence") < world.order.index("promote") < world.order.index("dns")
    assert all(count == 1 for count in world.happened.values())


async def test_it_waits_for_a_second_person() -> None:
    run, events = accepted(FAILOVER)
    run = await drive(run, SimWorld(), MemoryJournal(run, events), until=lambda run: run.state in WAITS)
    assert run.state is RunState.WAITING
    with pytest.raises(RunRefused, match="somebody else must approve"):
        commands.approve(run, run.requester, "", run.plan_hash, 1.0)
    with pytest.raises(RunRefused, match="not the plan"):
        commands.approve(run, "ana", "", "0" * 64, 1.0)


async def test_nobody_approving_in_time_is_a_refusal() -> None:
    run, events = accepted(FAILOVER)
    world = SimWorld()
    run = await drive(run, world, MemoryJournal(run, events), until=lambda run: run.state.final)
    assert run.state is RunState.CANCELED
    assert "nobody approved in time" in run.end_reason
    assert world.calls == {}


async def test_a_lost_reply_is_probed_and_not_repeated() -> None:
    world = SimWorld(script={("promote", 1): "lost"})
    run, _ = await to_rest(world)
    assert run.state is RunState.SUCCEEDED
    assert world.calls["promote"] == 1


async def test_what_cannot_be_told_waits_for_a_person() -> None:
    world = SimWorld(script={("promote", 1): "lost"}, blind={"promote"})
    run, events = await to_rest(world)
    assert run.state is RunState.PAUSED
    assert "cannot be told whether it happened" in run.pause_reason
    assert world.calls["promote"] == 1
    for event in commands.ignore(run, "promote", "ana", "I looked: dr is primary", 0.0):
        events.append(event)
        run = fold(run, event)
    run = await drive(run, world, MemoryJournal(run, events), until=lambda run: run.state in WAITS)
    assert run.state is RunState.SUCCEEDED_WITH_WARNINGS


async def test_an_unproven_fence_cannot_be_passed_over() -> None:
    world = SimWorld(script={("fence", 1): "failed", ("fence", 2): "failed"})
    run, _ = await to_rest(world)
    assert run.state is RunState.PAUSED
    assert world.calls["fence"] == 2
    assert "promote" not in world.calls
    with pytest.raises(RunRefused, match="cannot be passed over"):
        commands.ignore(run, "fence", "ana", "it will be fine", 0.0)


async def test_resume_goes_on_from_the_failed_step() -> None:
    world = SimWorld(script={("dns", 1): "failed"})
    run, events = await to_rest(world)
    assert run.state is RunState.PAUSED
    for event in commands.resume(run, "ana", "the server is back", 0.0):
        events.append(event)
        run = fold(run, event)
    run = await drive(run, world, MemoryJournal(run, events), until=lambda run: run.state in WAITS)
    assert run.state is RunState.SUCCEEDED
    assert world.calls["promote"] == 1
    assert world.calls["dns"] == 2


async def test_cancel_runs_the_final_steps_and_nothing_else() -> None:
    drill = plan(
        step("clone", effects=(("system/ncts/dr", "bubble", "present"),)),
        step("look", "clone"),
        step("remove", effects=(("system/ncts/dr", "bubble", "absent"),), final=True),
        kind="drill",
    )
    world = SimWorld(script={("look", 1): "failed"})
    run, _ = await to_rest(world, drill)
    assert run.state is RunState.FAILED
    assert world.order == ["clone", "remove"]


async def test_on_failure_undo_takes_back_in_reverse_order() -> None:
    steps = (
        step("one", effects=(("a", "power", "on"),), undoable=True),
        step("two", "one", effects=(("b", "power", "on"),), undoable=True),
        step("three", "two", effects=(("c", "power", "on"),), on_failure="undo"),
    )
    world = SimWorld(script={("three", 1): "failed"})
    run, _ = await to_rest(world, plan(*steps))
    assert run.state is RunState.FAILED
    assert world.order == ["one", "two", "undo two", "undo one"]
    assert run.steps["one"].state is StepState.UNDONE


def journal_writes(the_plan: object) -> int:
    """Count the writes of a run without faults after its approval."""

    async def count() -> int:
        run, events = await approved(SimWorld(), the_plan)
        journal = MemoryJournal(run, events)
        await drive(run, SimWorld(), journal, until=lambda run: run.state.final)
        return journal.writes

    import anyio  # noqa: PLC0415 - only to count at collection

    return anyio.run(count)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", range(1, journal_writes(FAILOVER) + 1))
async def test_a_crash_at_any_write_repeats_no_effect(at: int, when: str) -> None:
    world = SimWorld()
    run, events = await approved(world)
    journal = MemoryJournal(run, events)
    journal.die_at = (at, when)
    with pytest.raises(Crash):
        await drive(run, world, journal, until=lambda run: run.state.final)
    run = again(events)
    run = await drive(run, world, MemoryJournal(run, events), until=lambda run: run.state in WAITS)
    assert run.state is RunState.SUCCEEDED
    assert all(count == 1 for step_id, count in world.happened.items() if not run.steps[step_id].plan.reads_only)
    assert fold_all(run.id, events) == run


WORDS = st.sampled_from(["ok", "failed", "lost", "silent", "crash-before", "crash-after"])
NAMES = [item.id for item in FAILOVER.steps]


@given(
    st.dictionaries(st.tuples(st.sampled_from(NAMES), st.integers(1, 3)), WORDS, max_size=4),
    st.sets(st.sampled_from(NAMES), max_size=1),
)
def test_whatever_fails_the_invariants_hold(script: dict[tuple[str, int], str], blind: set[str]) -> None:
    """No promotion without a fence that happened, no effect twice, success only when all of it happened."""
    import anyio  # noqa: PLC0415 - hypothesis drives a plain function

    world = SimWorld(script=dict(script), blind=set(blind))
    anyio.run(partial(_story, world))


async def _story(world: SimWorld) -> None:
    run, events = await approved(world)
    for _ in range(12):
        try:
            run = await drive(run, world, MemoryJournal(run, events), until=lambda run: run.state in WAITS)
        except Crash:
            run = again(events)
            continue
        if run.state.final:
            break
        for event in commands.resume(run, "ana", "again", 0.0):
            events.append(event)
            run = fold(run, event)
        world.blind.clear()
    if "promote" in world.order:
        assert "fence" in world.order[: world.order.index("promote")]
    for step_id, count in world.happened.items():
        assert run.steps[step_id].plan.reads_only or count <= 1, f"{step_id} happened {count} times"
    if run.state is RunState.SUCCEEDED:
        assert set(world.happened) == set(NAMES)
    assert fold_all(run.id, events) == run
    for event in events:
        assert decode(*encode(event)) == event


async def test_illegal_journals_do_not_fold() -> None:
    run, events = await to_rest(SimWorld())
    with pytest.raises(IllegalEvent):
        fold(run, RunEnded(0.0, "SUCCEEDED", ""))
    started = next(index for index, event in enumerate(events) if isinstance(event, StepStarted))
    with pytest.raises(IllegalEvent):
        fold_all(run.id, [*events[:started], *events[started + 1 :]])
    succeeded = next(index for index, event in enumerate(events) if isinstance(event, StepSucceeded))
    with pytest.raises(IllegalEvent):
        fold_all(run.id, [*events[: succeeded + 1], *events[succeeded:]])
