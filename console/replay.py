"""A counterexample of the checker played again on the lab: with the real orchestrator, guards, actions and protocols.

The course is followed deed by deed: an action runs when the course says that it does; a step that fails or whose answer
is lost does so at the border to its action; people decide when the course lets them; the orchestrator dies with what it
has under way and another one takes up its journal. Then the laws are asked of what is true in the lab.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from dr.checker.deeds import Deed, Kind
from dr.checker.explore import REQUESTER, Counterexample
from dr.checker.laws import Broken, beneath, effect, moment
from dr.checker.moves import PERSON
from dr.checker.world import World as Truth
from dr.engine import commands
from dr.engine.orchestrator import Orchestrator, Request, Rules
from dr.engine.perform import Outcome
from dr.engine.runner import Command, Performing
from dr.errors import RunRefused
from dr.extensions import installed
from dr.guards import RUN_GUARDS, STEP_GUARDS
from dr.journal.event import StepFailed, StepProbed, StepUnknown, UndoFailed
from dr.journal.run import Run, RunState, StepState
from dr.journal.sqlite import SqliteJournal
from dr.playbook.model import Plan
from dr.world import World

PLAYED = frozenset({1, 2, 3, 5, 7})  # the laws that the lab's truth can be held against
PATIENCE_S = 120.0
SETTLE_S = 20.0
LOOK_AGAIN_S = 0.2
OF_ACTIONS = frozenset({Kind.ACTS, Kind.FAILS, Kind.SILENT, Kind.REPLY_LOST})
OF_LOOKS = frozenset({Kind.LOOKS, Kind.BLIND})
OF_UNDOING = frozenset({Kind.UNDOES, Kind.UNDO_FAILS, Kind.UNDO_LOST})
STANDS = frozenset({RunState.PAUSED, RunState.WAITING})


@dataclass(frozen=True, slots=True)
class Ending:
    """How it ended on the lab: the laws that were seen broken there, the run's state, and what became of its steps."""

    broken: tuple[Broken, ...]
    state: str
    reason: str
    steps: tuple[tuple[str, str], ...]

    def same(self, story: Counterexample) -> bool:
        """Tell whether the lab ended as the model did: with the same law broken."""
        return any(broken.law == story.law for broken in self.broken)


class Astray(RunRefused):
    """The lab took another course than the story."""

    def __init__(self, words: str) -> None:
        """Say where it left the story."""
        super().__init__("replay", words)


async def replay(
    plan: Plan,
    story: Counterexample,
    world: World,
    truth: Callable[[], Awaitable[Truth]],
    folder: Path,
    *,
    epoch: int = 0,
) -> Ending:
    """Play ``story`` of ``plan``; ``truth`` reads the lab, whose databases have seen fencing tokens up to ``epoch``.

    The journal is kept in ``folder``. Raises RunRefused when it cannot be played, or when the lab goes another way.
    """
    if story.law not in PLAYED:
        known = ", ".join(map(str, sorted(PLAYED)))
        raise RunRefused("replay", f"law {story.law} is about the engine itself; on the lab laws {known} can be seen")
    stage = _Stage(plan, world, truth, folder, epoch)
    try:
        await stage.open()
        if story.deeds:
            for deed in story.deeds:
                await stage.play(deed)
            await stage.settle(story.law)
        else:
            await stage.undisturbed()
        return await stage.ending(story.law)
    finally:
        await stage.close()


@dataclass(slots=True)
class _Turn:
    """A step that has come to its action, its look or its undoing, and waits for the course to say how that ends."""

    step: str
    kinds: frozenset[Kind]
    deed: asyncio.Future[Deed] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    over: asyncio.Event = field(default_factory=asyncio.Event)


class _Played:
    """Stands between the runner and the performer, and does as the course says."""

    def __init__(self, real: Performing, stage: _Stage) -> None:
        self.real = real
        self.stage = stage

    async def run(self, run: Run, step_id: str) -> Outcome:
        deed = await self.stage.turn(step_id, OF_ACTIONS)
        attempt, now = run.steps[step_id].attempt, self.stage.world.clock.now()
        if deed.kind is Kind.FAILS:
            said = StepFailed(now, step_id, attempt, "the story lets it fail", False, True, "")  # noqa: FBT003 - its fields
            return Outcome(said, None)
        lost = Outcome(StepUnknown(now, step_id, attempt, "the story loses the answer", True, ""), None)  # noqa: FBT003 - likewise
        if deed.kind is Kind.SILENT:
            return lost
        outcome = await self.stage.really(run, step_id, lambda: self.real.run(run, step_id))
        return outcome if deed.kind is Kind.ACTS else lost

    async def probe(self, run: Run, step_id: str) -> Outcome:
        deed = await self.stage.turn(step_id, OF_LOOKS)
        if deed.kind is Kind.LOOKS:
            return await self.real.probe(run, step_id)
        now, attempt = self.stage.world.clock.now(), run.steps[step_id].attempt
        return Outcome(StepProbed(now, step_id, attempt, "cannot-tell", "the story lets nobody see", {}), None)

    async def undo(self, run: Run, step_id: str) -> Outcome:
        self.stage.broken += beneath(run, step_id)
        deed = await self.stage.turn(step_id, OF_UNDOING)
        if deed.kind is Kind.UNDOES:
            return await self.real.undo(run, step_id)
        if deed.kind is Kind.UNDO_LOST:
            await self.real.undo(run, step_id)
        return Outcome(UndoFailed(self.stage.world.clock.now(), step_id, "the story lets it fail"), None)


class _Stage:
    """One run on the lab, and who conducts it."""

    def __init__(
        self, plan: Plan, world: World, truth: Callable[[], Awaitable[Truth]], folder: Path, epoch: int
    ) -> None:
        self.plan = plan
        # the model knows no safety rules, and nobody watches here whose observations they could be held against
        self.world = replace(world, inventory=world.inventory.model_copy(update={"safety": {}}))
        self.truth = truth
        self.folder = folder
        self.broken: list[Broken] = []
        self.waiting: dict[str, _Turn] = {}
        self.changed = asyncio.Event()
        self.free = False
        self.epoch = epoch
        self.run_id = ""
        self.orchestrator: Orchestrator

    async def open(self) -> None:
        await self._begin()
        request = Request(self.plan.playbook, self.plan.system, REQUESTER, "a story of the checker, on the lab")
        run = await self.orchestrator.submit(request, self.plan)
        self.run_id = run.id

    async def close(self) -> None:
        await self.orchestrator.stop()

    async def _begin(self) -> None:
        rules = Rules({}, installed().actions, RUN_GUARDS, STEP_GUARDS, self.plan.inventory_hash)
        journal = await asyncio.to_thread(SqliteJournal, self.folder / "replay.sqlite")
        self.orchestrator = Orchestrator(
            journal,
            self.world,
            rules,
            epoch_seen=lambda _system: self.epoch,
            acting=lambda performer: _Played(performer, self),
        )
        await self.orchestrator.start()
        self.orchestrator.subscribe(lambda _run, _events: self.changed.set())

    @property
    def run(self) -> Run:
        return self.orchestrator.run(self.run_id)

    # -- the steps' side --------------------------------------------------------------------------------------------

    async def turn(self, step: str, kinds: frozenset[Kind]) -> Deed:
        """Wait until the course says how this ends."""
        if self.free:
            return Deed(Kind.ACTS if kinds is OF_ACTIONS else Kind.LOOKS if kinds is OF_LOOKS else Kind.UNDOES, step)
        turn = self.waiting[step] = _Turn(step, kinds)
        self.changed.set()
        return await turn.deed

    async def really(self, run: Run, step: str, act: Callable[[], Awaitable[Outcome]]) -> Outcome:
        """Let the action do its work, and hold the laws about effects against how things stood before."""
        before = await self.truth()
        outcome = await act()
        planned = self.plan.step(step)
        if planned.effects and not isinstance(outcome.event, StepFailed):
            self.broken += effect(run, planned, before, forced=True)
        return outcome

    # -- the course -------------------------------------------------------------------------------------------------

    async def play(self, deed: Deed) -> None:
        """Let one deed happen. Raises Astray when it cannot."""
        if deed.kind is Kind.PERSON:
            await self._decide(deed)
        elif deed.kind is Kind.DIES:
            await self._die(deed)
        elif deed.step:
            if self.run.state is RunState.WAITING and not self.run.approved_by:
                # in the story an alarm began it by itself; no alarm stands here, so a person lets it begin
                await self._decide(Deed(Kind.PERSON, "", "approve"))
            await self._until(lambda: deed.step in self.waiting, f"'{deed.step}' to come to: {deed.kind}")
            turn = self.waiting.pop(deed.step)
            if deed.kind not in turn.kinds:
                raise Astray(f"the story says of '{deed.step}': {deed.kind}; the engine does something else with it")
            seq = self.run.seq
            turn.deed.set_result(deed)
            await self._until(lambda: self.run.seq > seq, f"the end of '{deed.step}' in the journal")

    async def undisturbed(self) -> None:
        """Let everything go as it goes, with a person who approves and who resumes nothing."""
        self.free = True
        await self._until(lambda: self.run.state.final or self.run.state in STANDS, "the run to stand or end")
        if self.run.state is RunState.WAITING:
            await self._decide(Deed(Kind.PERSON, "", "approve"))
            await self._until(lambda: self.run.state.final or self.run.state in STANDS, "the run to stand or end")

    async def settle(self, law: int) -> None:
        """Wait until what the story has set off is seen: the law broken, or nothing moving any more."""
        clock = self.world.clock
        until = clock.monotonic() + SETTLE_S
        while clock.monotonic() < until and not any(one.law == law for one in await self._seen()):
            await clock.sleep(LOOK_AGAIN_S)

    async def ending(self, law: int) -> Ending:
        """Return how things stand on the lab."""
        run = self.run
        broken = await self._seen()
        if law == 3 and run.state is not RunState.SUCCEEDED and self.free:  # noqa: PLR2004 - the law's number
            broken.append(Broken(3, f"without any disturbance the run stands as {run.state}"))
        steps = tuple((key, record.state.value) for key, record in run.steps.items())
        return Ending(tuple(dict.fromkeys(broken)), run.state.value, run.end_reason or run.pause_reason, steps)

    async def _seen(self) -> list[Broken]:
        return [*self.broken, *moment(self.run, await self.truth())]

    async def _decide(self, deed: Deed) -> None:
        states = {"approve": {RunState.WAITING}, "deny": {RunState.WAITING}}.get(deed.word)
        if states is None:
            states = {RunState.PAUSED} if deed.word in {"resume", "retry", "ignore"} else set(RunState)
        await self._until(lambda: self.run.state in states, f"the run to be one that can be told: {deed.word}")
        await self.orchestrator.command(self.run_id, _decision(deed))

    async def _die(self, deed: Deed) -> None:
        """Kill the orchestrator with what it has under way; of that, do what the course says happened."""
        under_way = set(deed.step.split())
        await self._until(
            lambda: under_way <= self.waiting.keys() and self._all_wait(),
            "the steps under way to come to their actions",
        )
        for step in deed.word.split():
            turn = self.waiting.get(step)
            if turn is not None and turn.kinds is OF_ACTIONS:
                run, real = self.run, self.orchestrator.performer
                await self.really(run, step, lambda step=step, run=run, real=real: real.run(run, step))  # type: ignore[misc]  # a lambda with defaults
        await self.orchestrator.stop()
        self.waiting.clear()
        await self._begin()

    def _all_wait(self) -> bool:
        busy = {
            key
            for key, one in self.run.steps.items()
            if (one.state is StepState.IN_PROGRESS and not one.plan.asks) or one.undoing
        }
        return busy <= self.waiting.keys()

    async def _until(self, holds: Callable[[], bool], what: str) -> None:
        clock = self.world.clock
        until = clock.monotonic() + PATIENCE_S
        while not holds():
            self.changed.clear()
            if clock.monotonic() > until:
                raise Astray(f"the lab left the story: waited in vain for {what}; the run is {self.run.state}")
            try:
                await asyncio.wait_for(self.changed.wait(), 1.0)
            except TimeoutError:
                continue


def _decision(deed: Deed) -> Command:
    step, said = deed.step, "as the story says"
    made: dict[str, Command] = {
        "approve": lambda run, now: commands.approve(run, PERSON, said, run.plan_hash, now),
        "deny": lambda run, now: commands.deny(run, PERSON, said, now),
        "pause": lambda run, now: commands.pause(run, PERSON, said, now),
        "resume": lambda run, now: commands.resume(run, PERSON, said, now),
        "retry": lambda run, now: commands.retry(run, step, PERSON, said, now),
        "ignore": lambda run, now: commands.ignore(run, step, PERSON, said, now),
        "undo": lambda run, now: commands.undo(run, PERSON, said, now),
        "cancel": lambda run, now: commands.cancel(run, PERSON, said, now),
    }
    return made.get(deed.word, lambda run, now: commands.answer(run, step, PERSON, deed.word, said, now))


def told(ending: Ending) -> Sequence[str]:
    """Return the ending in words, a line each."""
    run = f"the run is {ending.state}" + (f": {ending.reason}" if ending.reason else "")
    return [run, *(f"law {broken.law}: {broken.words}" for broken in ending.broken)]
