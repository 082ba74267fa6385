"""A small simulated world for the engine: plans made by hand, steps whose outcomes are dictated, crashes anywhere.

The runner, ``decide``, ``fold`` and the journal are the real ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from dr.engine.perform import Outcome
from dr.engine.runner import Runner
from dr.guard import Facts, Verdict
from dr.guards import RUN_GUARDS, STEP_GUARDS
from dr.journal.event import (
    Event,
    Interrupted,
    RunAccepted,
    StepFailed,
    StepProbed,
    StepSucceeded,
    StepUnknown,
    UndoSucceeded,
    VotesHeard,
)
from dr.journal.fold import begin, fold, fold_all
from dr.journal.run import ACTIVE, Run
from dr.journal.sqlite import StepOutput
from dr.playbook.model import Plan, PlannedStep
from monitor.clock import ManualClock

ROLE = ("system/ncts/dr", "role", "primary")
FENCE = ("system/ncts/main", "fence", "on")


def step(step_id: str, *needs: str, effects: tuple[tuple[str, str, str], ...] = (), **changes: object) -> PlannedStep:
    """Return a step; without effects it only reads."""
    values: dict[str, object] = {
        "id": step_id,
        "action": step_id,
        "site": "dr",
        "description": "",
        "args": {},
        "needs": needs,
        "timeout_s": 5.0,
        "retries": 0,
        "retry_wait_s": 0.0,
        "on_failure": "stop",
        "final": False,
        "reads_only": not effects,
        "undoable": False,
        "effects": effects,
    }
    return PlannedStep(**{**values, **changes})  # type: ignore[arg-type]  # named above


def plan(*steps: PlannedStep, kind: str = "failover") -> Plan:
    return Plan(kind, kind, "a test", "ncts", "main", "dr", 900, 300, steps, "hash")  # type: ignore[arg-type]  # a kind


FAILOVER = plan(
    step("fence", effects=(FENCE,), site="main", retries=1),
    step("power", effects=(("system/ncts/dr", "power", "on"),)),
    step("point", "fence"),
    step("promote", "point", "power", effects=(ROLE,)),
    step("dns", "promote", effects=(("system/ncts/dr", "traffic", "dr"),)),
    step("check", "dns"),
)


@dataclass
class SimWorld:
    """What really happened, apart from what anybody was told. ``script`` maps (step, call number) to a word."""

    script: dict[tuple[str, int], str] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    happened: dict[str, int] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    blind: set[str] = field(default_factory=set)

    async def run(self, run: Run, step_id: str) -> Outcome:
        number = self.calls[step_id] = self.calls.get(step_id, 0) + 1
        word = self.script.get((step_id, number), "ok")
        attempt = run.steps[step_id].attempt
        await asyncio.sleep(0)
        if word in {"ok", "lost", "crash-after"}:
            self.happened[step_id] = self.happened.get(step_id, 0) + 1
            self.order.append(step_id)
        if word.startswith("crash"):
            raise Crash
        outputs = {"proof": "PROVEN"} if step_id == "fence" else {}
        if word == "ok":
            return Outcome(StepSucceeded(0.0, step_id, attempt, outputs, "seen", ""), None)
        if word == "failed" or run.steps[step_id].plan.reads_only:
            return Outcome(StepFailed(0.0, step_id, attempt, "no", False, True, ""), None)
        return Outcome(StepUnknown(0.0, step_id, attempt, "no reply", True, ""), None)

    async def probe(self, run: Run, step_id: str) -> Outcome:
        await asyncio.sleep(0)
        holds = "yes" if self.happened.get(step_id) else "no"
        if step_id in self.blind:
            holds = "cannot-tell"
        outputs = {"proof": "PROVEN"} if step_id == "fence" and holds == "yes" else {}
        return Outcome(StepProbed(0.0, step_id, run.steps[step_id].attempt, holds, "looked", outputs), None)

    async def undo(self, run: Run, step_id: str) -> Outcome:
        await asyncio.sleep(0)
        self.happened[step_id] = 0
        self.order.append(f"undo {step_id}")
        return Outcome(UndoSucceeded(0.0, step_id), None)


class Crash(BaseException):
    """The daemon dies here; no border may hold it."""


class Sevens:
    """Tokens that do not matter here."""

    def next(self, run: Run) -> int:
        return 7

    def known(self, run: Run) -> bool:
        return True


class MemoryJournal:
    """Surroundings that keep the journal in memory and may die before or after any write."""

    def __init__(self, run: Run, events: list[Event]) -> None:
        self.events = events
        self.run = run
        self.writes = 0
        self.admission = asyncio.Lock()
        self.die_at: tuple[int, str] | None = None

    async def append(self, run: Run, events: Sequence[Event], outputs: Sequence[StepOutput]) -> None:
        self.writes += 1
        if self.die_at == (self.writes, "before"):
            raise Crash
        assert run.seq == len(self.events), "an event out of turn"
        self.events.extend(events)
        if self.die_at == (self.writes, "after"):
            raise Crash

    def changed(self, run: Run, events: Sequence[Event]) -> None:
        self.run = run

    def judge(self, run: Run, step_id: str | None, now: float) -> Sequence[Verdict]:
        facts = Facts((), (), {"ncts": "main"})
        return [guard(run, facts, step_id, now) for guard in (RUN_GUARDS if step_id is None else STEP_GUARDS)]

    def votes(self, run: Run) -> VotesHeard | None:
        return None

    tokens = Sevens()


def accepted(the_plan: Plan) -> tuple[Run, list[Event]]:
    event = RunAccepted(0.0, the_plan.to_json(), "karaula", "test", "alarm", "a", 0.0, 0.0)
    return begin("ncts-test", event), [event]


def again(events: list[Event]) -> Run:
    """Load a journal as a daemon does that finds it: whatever was under way is interrupted."""
    run = fold_all("ncts-test", events)
    if run.state in ACTIVE:
        events.append(Interrupted(0.0))
        run = fold(run, events[-1])
    return run


async def drive(run: Run, world: SimWorld, journal: MemoryJournal, *, until: Callable[[Run], bool]) -> Run:
    """Drive until ``until`` holds or the run is final. Raises Crash where the world or the journal says so."""
    runner = Runner(run, world, journal, ManualClock(), 3600.0)
    task = asyncio.create_task(runner.drive())
    try:
        for _ in range(3000):
            await asyncio.sleep(0)
            crashed = next(
                (t for t in runner._tasks.values() if t.done() and not t.cancelled() and t.exception()), None
            )
            if crashed is not None:
                raise Crash
            if task.done():
                task.result()
                break
            if until(journal.run):
                break
        return journal.run
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
