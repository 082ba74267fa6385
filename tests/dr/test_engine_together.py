"""Steps that may begin at the same moment: one write for all of them, and yet the course of one at a time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import anyio
import pytest
from engine_kit import MemoryJournal, SimWorld, accepted, drive, plan, step
from hypothesis import given
from hypothesis import strategies as st

from dr.engine.transition import Perform, WakeAt, decide
from dr.guard import Ruling, Verdict
from dr.journal.event import Event, Paused, StepStarted, StepSucceeded
from dr.journal.fold import begin, fold
from dr.journal.run import Run, RunState, StepState
from dr.journal.sqlite import StepOutput
from dr.playbook.model import Plan

pytestmark = pytest.mark.anyio
MANY = 40


class Ledger(MemoryJournal):
    """Remembers which events came in one write; ``against`` is a step that a guard holds up."""

    def __init__(self, run: Run, events: list[Event], against: str = "") -> None:
        super().__init__(run, events)
        self.together: list[tuple[Event, ...]] = []
        self.against = against

    async def append(self, run: Run, events: Sequence[Event], outputs: Sequence[StepOutput]) -> None:
        await super().append(run, events, outputs)
        self.together.append(tuple(events))

    def judge(self, run: Run, step_id: str | None, now: float) -> Sequence[Verdict]:
        if step_id is not None and step_id == self.against:
            return [Verdict("test", Ruling.REFUSE, "no", "it may not")]
        return super().judge(run, step_id, now)


def side_by_side(*steps: str, after: str = "") -> Plan:
    needs = (after,) if after else ()
    first = [step(after, effects=(("a", after, "on"),))] if after else []
    return plan(*first, *(step(name, *needs, effects=(("a", name, "on"),)) for name in steps), kind="drill")


async def carried_out(the_plan: Plan, world: SimWorld, against: str = "") -> tuple[Run, Ledger]:
    run, events = accepted(the_plan)
    journal = Ledger(run, events, against)
    at_rest = {RunState.WAITING, RunState.PAUSED}
    return await drive(run, world, journal, until=lambda run: run.state.final or run.state in at_rest), journal


def begun(events: Sequence[Event]) -> list[str]:
    return [event.step for event in events if isinstance(event, StepStarted)]


async def test_steps_that_may_begin_share_one_write_and_so_do_their_outcomes() -> None:
    names = [f"step-{number}" for number in range(MANY)]
    run, journal = await carried_out(side_by_side(*names, after="first"), SimWorld())
    assert run.state is RunState.SUCCEEDED
    assert [begun(events) for events in journal.together if begun(events)] == [["first"], names]
    ended = [[event.step for event in events if isinstance(event, StepSucceeded)] for events in journal.together]
    assert sorted(len(steps) for steps in ended if steps) == [1, MANY]


async def test_behind_a_step_that_may_not_begin_nothing_is_begun() -> None:
    plan_of_three = side_by_side("one", "two", "three")
    world = SimWorld()
    run, events = accepted(plan_of_three)
    journal = Ledger(run, events, against="two")
    run = await drive(run, world, journal, until=lambda run: run.state.final or "one" in world.happened)
    together = next(events for events in journal.together if begun(events))
    assert begun(together) == ["one"]
    assert isinstance(together[-1], Paused)
    assert "three" not in world.calls


NAMES = [f"s{number}" for number in range(7)]
WORDS = st.sampled_from(["ok", "ok", "failed", "lost"])


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Draw any graph of up to seven steps, some of which only read, may be passed over, or clean up."""
    steps = []
    for number, name in enumerate(NAMES[: draw(st.integers(1, len(NAMES)))]):
        needs = draw(st.sets(st.sampled_from(NAMES[:number]), max_size=3)) if number else set()
        effects = (("a", name, "on"),) if draw(st.booleans()) else ()
        on_failure = draw(st.sampled_from(["stop", "continue"]))
        steps.append(
            step(name, *sorted(needs), effects=effects, on_failure=on_failure, retries=draw(st.integers(0, 1)))
        )
    return plan(*steps, kind=draw(st.sampled_from(["drill", "backup"])))


@given(plans(), st.dictionaries(st.tuples(st.sampled_from(NAMES), st.integers(1, 2)), WORDS, max_size=5))
def test_each_step_begins_as_if_it_were_the_only_one(the_plan: Plan, script: dict[tuple[str, int], str]) -> None:
    """Before each intent in the journal, ``decide`` asks for that step first of all."""
    run, journal = anyio.run(partial(carried_out, the_plan, SimWorld(script=dict(script))))
    assert run.state.final
    now = begin(run.id, journal.events[0])
    for event in journal.events[1:]:
        if isinstance(event, StepStarted):
            first = next(intent for intent in decide(now, event.at) if not isinstance(intent, WakeAt))
            assert first == Perform(event.step, event.attempt)
        now = fold(now, event)
    assert all(record.state is not StepState.IN_PROGRESS for record in now.steps.values())
