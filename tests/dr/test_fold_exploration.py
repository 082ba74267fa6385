"""Every pair of faults in a failover, through the real runner, ``decide`` and ``fold``: the invariants hold in each.

What this proves it proves for the declared effects of this plan and at most two faults.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from itertools import combinations

import pytest
from engine_kit import FAILOVER, Crash, MemoryJournal, SimWorld, accepted, again, drive

from dr.engine import commands
from dr.errors import RunRefused
from dr.journal.event import Event, RunEnded, StepStarted, decode, encode
from dr.journal.fold import fold, fold_all
from dr.journal.run import Run, RunState

pytestmark = pytest.mark.proof
STEPS = [step.id for step in FAILOVER.steps]
READING = {step.id for step in FAILOVER.steps if step.reads_only}
WAITS = {RunState.WAITING, RunState.PAUSED}
Fault = tuple[str, str, int]
# What may go wrong with an attempt, and what a person may do about a run that pauses because of it.
FAULTS: list[Fault] = [
    (word, step, attempt)
    for step in STEPS
    for attempt in (1, 2)
    for word in ("failed", "lost", "silent", "crash-before", "crash-after")
    if step not in READING or word in {"failed", "crash-before"}
] + [("blind", step, 1) for step in STEPS if step not in READING]
PEOPLE = ("resume", "retry", "ignore", "cancel")


@dataclass
class Case:
    """One course of a run: who does what when, what really happened, and all that was written."""

    faults: tuple[Fault, ...]
    person: str
    events: list[Event] = field(default_factory=list, repr=False)
    forced: set[str] = field(default_factory=set)
    crashes: int = 0
    asked: int = 0

    async def play(self) -> Run:
        world = SimWorld(
            script={(step, attempt): word for word, step, attempt in self.faults if word != "blind"},
            blind={step for word, step, _ in self.faults if word == "blind"},
        )
        self.world = world
        run, self.events = accepted(FAILOVER)
        for _ in range(30):
            try:
                journal = MemoryJournal(run, self.events)
                run = await drive(run, world, journal, until=lambda run: run.state in WAITS)
            except Crash:
                self.crashes += 1
                run = again(self.events)
                continue
            if run.state.final:
                return run
            run = self.decided(run)
        raise AssertionError(f"{self}: no way out of {run.state}: {run.pause_reason}")

    def decided(self, run: Run) -> Run:
        """Let a person do what they always do; where that is refused, go on."""
        self.asked += run.state is RunState.PAUSED
        if run.state is RunState.WAITING:
            return self.write(run, commands.approve(run, "ana", "", run.plan_hash, 0.0))
        self.world.blind.clear()
        broken = next((id_ for id_, one in run.steps.items() if one.state.failed or one.stuck), "")
        try:
            if self.person == "retry" and broken:
                self.forced |= {broken} if run.steps[broken].stuck else set()
                return self.write(run, commands.retry(run, broken, "ana", "again", 0.0))
            if self.person == "ignore" and broken:
                return self.write(run, commands.ignore(run, broken, "ana", "I looked", 0.0))
            if self.person == "cancel":
                return self.write(run, commands.cancel(run, "ana", "enough", 0.0))
        except RunRefused:
            pass
        return self.write(run, commands.resume(run, "ana", "go on", 0.0))

    def write(self, run: Run, events: object) -> Run:
        for event in events:  # type: ignore[attr-defined]  # a sequence of events
            self.events.append(event)
            run = fold(run, event)
        return run

    def check(self, run: Run) -> None:
        order, happened = self.world.order, self.world.happened
        assert not ("promote" in order and "fence" not in order[: order.index("promote")]), f"{self}: no fence"
        repeated = {step for step, count in happened.items() if step not in READING and count > 1}
        assert repeated <= self.forced, f"{self}: {repeated} happened twice"
        if run.state is RunState.SUCCEEDED:
            assert set(happened) == set(STEPS), f"{self}: succeeded without {set(STEPS) - set(happened)}"
        assert isinstance(self.events[-1], RunEnded)
        assert fold_all(run.id, self.events) == run
        assert all(decode(*encode(event)) == event for event in self.events)
        begun = [(event.step, event.attempt) for event in self.events if isinstance(event, StepStarted)]
        assert len(begun) == len(set(begun)), f"{self}: an attempt began twice"


def sets_of_faults() -> list[tuple[Fault, ...]]:
    """Return every set of at most two faults; an attempt can go wrong in one way only."""
    pairs = [
        (one, other) for one, other in combinations(FAULTS, 2) if one[1:] != other[1:] or "blind" in {one[0], other[0]}
    ]
    return [(), *((fault,) for fault in FAULTS), *pairs]


def test_every_pair_of_faults_under_every_habit_of_people() -> None:
    """Where nobody is asked, one course stands for all habits."""
    ends: Counter[str] = Counter()
    crashes = 0

    async def explore() -> None:
        nonlocal crashes
        for faults in sets_of_faults():
            for person in PEOPLE:
                case = Case(faults, person)
                run = await case.play()
                case.check(run)
                crashes += case.crashes
                ends[run.state.value] += 1
                if not case.asked:
                    break

    asyncio.run(explore())
    count = ends.total()
    print(f"{count} of {count} courses explored, {crashes} crashes among them; ends: {dict(ends)}")  # noqa: T201 - the figure
    assert count > 1500
    assert ends.keys() == {"SUCCEEDED", "SUCCEEDED_WITH_WARNINGS", "FAILED"}
