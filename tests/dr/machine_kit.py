"""A whole recovery half whose world, disk, lease and clock are in somebody's hand, deed by deed, on one thread.

Real are the orchestrator, the joint runs, runners, guards, fold, the journal on its file, the trigger and the shipped
playbooks with what their actions declare. Played are the world, what becomes of each step, and when the disk answers:
the journal's thread is the event loop's own, so that between two deeds everything has come to rest.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any
from unittest.mock import patch

from orchestrator_kit import ROOT, FickleJournal, HeldClock, world_of

from dr.actions import ACTIONS
from dr.checker import laws
from dr.checker.looks import possible
from dr.checker.moment import outputs_of
from dr.checker.world import World as Truth
from dr.checker.world import first_world, positions
from dr.engine.joint import JointRuns
from dr.engine.orchestrator import Orchestrator, Rules
from dr.engine.perform import Outcome
from dr.guards import RUN_GUARDS, STEP_GUARDS
from dr.journal.event import Event, StepFailed, StepProbed, StepSucceeded, StepUnknown, UndoFailed, UndoSucceeded
from dr.journal.run import Run
from dr.journal.sqlite import StepOutput
from dr.lease import Tenancy
from dr.loss import Loss
from dr.playbook.model import PlannedStep
from dr.playbook.read import read_playbooks
from dr.trigger import Trigger
from monitor.errors import KaraulaError, StateError
from monitor.inventory.behaviour import Response
from monitor.inventory.model import Inventory
from monitor.inventory.read import read
from monitor.status.votes import Poll, Vote, Word

ESTATE = read(ROOT / "inventory.yaml").model_copy(update={"safety": {}, "windows": {}})  # nobody observes here
PLAYBOOKS = read_playbooks(ROOT / "playbooks")
AUTOMATIC = Response(alarm="system-down", system="ncts", playbook="failover", mode="automatic", grace_s=0)
RESTS_AFTER = 12  # turns of the loop in which nothing came
NEVER = 20_000


class Desk(Executor):
    """Does the journal's work in the loop's own thread: at once, or when the disk no longer hangs."""

    def __init__(self) -> None:
        self.hangs = self.dead = False
        self._under_way: list[tuple[Future[Any], Callable[[], None]]] = []
        self._waiting: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        work = partial(fn, *args, **kwargs)
        if self.dead:
            return future
        if not self.hangs:
            future.set_running_or_notify_cancel()
            _answer(future, work)()
        elif self._under_way:
            self._waiting.append((future, work))
        else:  # the disk takes it, and does not say so
            future.set_running_or_notify_cancel()
            self._under_way.append((future, _answer(future, work)))
        return future

    def go_on(self) -> None:
        """Let the disk answer, and do what has waited and is still wanted."""
        self.hangs = False
        for _, answer in self._under_way:
            answer()
        self._under_way.clear()
        waiting, self._waiting = self._waiting, []
        for future, work in waiting:
            if future.set_running_or_notify_cancel():
                _answer(future, work)()

    def die(self) -> None:
        """Answer nothing any more: the process is gone."""
        self.dead = True

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT002 - as its base
        del wait, cancel_futures
        if not self.dead:
            self.go_on()


def _answer(future: Future[Any], work: Callable[[], Any]) -> Callable[[], None]:
    """Do the work now; return what hands its result out."""
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001 - handed on
        said = error
        return lambda: future.set_exception(said)
    return lambda: future.set_result(result)


class LyingJournal(FickleJournal):
    """The real journal, on a disk that is full, or that takes what it says it did not take, whenever a test says so."""

    lies = False
    writes = 0

    def append(self, run_id: str, seq: int, events: Sequence[Event], outputs: Sequence[StepOutput] = ()) -> None:
        self.writes += 1
        super().append(run_id, seq, events, outputs)
        if self.lies:
            raise StateError("disk I/O error")


@dataclass(eq=False)
class Turn:
    """A step at its action, its look or its undoing, until somebody says how that ends."""

    run: Run
    step: PlannedStep
    what: str
    word: asyncio.Future[str]


@dataclass
class Machine:
    """The daemon's recovery half and all that it stands on. ``wrong`` is what must never be."""

    folder: Path
    clock: HeldClock = field(default_factory=HeldClock)
    truth: dict[str, Truth] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)
    turns: list[Turn] = field(default_factory=list)
    forced: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    asked: list[asyncio.Task[Any]] = field(default_factory=list)
    votes: tuple[Word, ...] = (Word.UP,)
    inventory: Inventory = ESTATE
    epoch: int = 0
    held: bool = False
    up: bool = False
    taking_up: asyncio.Task[None] | None = None
    pulse: int = 0

    # -- the daemon --------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Start the daemon on what is in the folder."""
        asyncio.get_running_loop().set_exception_handler(self._unheard)
        self._others = asyncio.all_tasks()  # whoever runs us
        self.desk, self.epoch, self.held = Desk(), self.epoch + 1, True
        self.journal = LyingJournal(self.folder / "journal.sqlite")
        with patch("dr.engine.orchestrator.ThreadPoolExecutor", lambda **_: self.desk):
            self.orchestrator = Orchestrator(
                self.journal, self._world(), self._rules(), epoch_seen=self._seen, acting=lambda _real: Hands(self)
            )
        self._lease = asyncio.Event()
        self._lease.set()
        self.orchestrator.tenancy = lambda: Tenancy(self.held, self.epoch, "" if self.held else "it has run out")
        self.orchestrator.may_act = self._may_act
        await self.orchestrator.start()
        self.joints = JointRuns(self.orchestrator)
        await self.joints.start()
        self.trigger = Trigger({"ncts-down": AUTOMATIC}, self.orchestrator, self.clock.now)
        self.up = True
        await self.rest()

    async def die(self) -> None:
        """Let the process die: what the disk had begun to take is there, nothing else."""
        self.desk.die()
        self.orchestrator.let_go()
        mine = asyncio.all_tasks() - self._others - {asyncio.current_task()}
        for task in mine:
            task.cancel()
        await asyncio.gather(*mine, return_exceptions=True)
        self.turns.clear()
        self.asked.clear()
        self.journal.close()
        self.up = False

    async def rest(self) -> None:
        """Let everything go on until nothing moves any more."""
        quiet = turned = 0
        while quiet < RESTS_AFTER:
            turned += 1
            assert turned < NEVER, "it never comes to rest"
            before = (self.pulse, self.journal.writes, len(self.turns))
            await asyncio.sleep(0)
            quiet = quiet + 1 if before == (self.pulse, self.journal.writes, len(self.turns)) else 0
        for task in [task for task in self.asked if task.done()]:
            self.asked.remove(task)
            if not task.cancelled() and (error := task.exception()) and not isinstance(error, KaraulaError):
                self.wrong.append(f"a person met {error!r}")

    def ask(self, what: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Let somebody ask for it, who waits for as long as it takes."""
        task = asyncio.get_running_loop().create_task(what)
        self.asked.append(task)
        return task

    @property
    def at_rest(self) -> bool:
        """Tell whether it may act, everything is written down, and nobody waits for an answer."""
        sure = not (self.desk.hangs or self.journal.full or self.journal.lies)
        taken_up = self.taking_up is None or self.taking_up.done()
        return self.up and self.held and sure and taken_up and not self.asked

    def lose_lease(self) -> None:
        """Let the lease run out, as ``Tenure`` does."""
        self.held = False
        self._lease.clear()
        self.orchestrator.let_go()

    def take_lease(self) -> None:
        """Take it again, and take the runs up beside that."""
        self.held, self.epoch = True, self.epoch + 1
        self._lease.set()
        if self.taking_up is None or self.taking_up.done():
            self.taking_up = asyncio.get_running_loop().create_task(self._take_up())

    async def _take_up(self) -> None:
        under = 0
        while under != self.epoch:
            under, before = self.epoch, under
            try:
                await self.orchestrator.take_up()
            except StateError:
                under = before
                await self.clock.sleep(10.0)

    def reload(self, inventory: Inventory) -> None:
        """Go on by another inventory."""
        self.inventory = inventory
        self.orchestrator.reload(self._world(), self._rules())

    async def _may_act(self) -> None:
        while not self.held:
            await self._lease.wait()

    def _rules(self) -> Rules:
        return Rules(PLAYBOOKS, ACTIONS, RUN_GUARDS, STEP_GUARDS, f"inventory {len(self.inventory.systems)}")

    def _world(self) -> Any:
        return replace(
            world_of(self.clock, None, self.inventory),
            poll=lambda _system, site: Poll(site, 2, self._said()),
            unverified=lambda _plan: "",
            expected_loss=lambda _system, _from, _to: Loss(0.0, 0, "seen"),
        )

    def _said(self) -> tuple[Vote, ...]:
        return tuple(Vote(f"p{n}", word, "site/main", 1.0, "") for n, word in enumerate(self.votes))

    def _seen(self, system: str) -> int:
        return self.seen[system]

    def _unheard(self, _loop: object, context: dict[str, Any]) -> None:
        self.wrong.append(f"nobody took {context.get('exception') or context['message']!r}")

    # -- the world ---------------------------------------------------------------------------------------------------

    def true(self, run: Run) -> Truth:
        """Return what is true of the run's system."""
        if run.system not in self.truth:
            entry = ESTATE.systems[run.system]
            home = replace(run.plan, kind="switchover", from_site=entry.protected_site, to_site=entry.recovery_site)
            self.truth[run.system] = first_world(home)
        return self.truth[run.system]

    def can(self, turn: Turn) -> bool:
        """Tell whether the world lets the step succeed."""
        return possible(self.true(turn.run), turn.run.plan, turn.step) if turn.step.action not in OTHER_RUNS else True

    def happens(self, turn: Turn) -> None:
        """Let what the turn does come about in the world, once a resource has looked at its token."""
        run, step = turn.run, turn.step
        record = run.steps[step.id]
        token = run.token if turn.what == "undo" else record.token
        if token < self.seen[run.system]:
            self.wrong.append(f"token {token} of {run.id} {step.id} after {self.seen[run.system]}")
        self.seen[run.system] = token
        if not self.held:
            self.wrong.append(f"{run.id} does {step.id} without the lease")
        name = replace(step, id=f"{run.id}/{step.id}")
        truth = self.true(run)
        if turn.what == "undo":
            self.truth[run.system] = truth.undo(name)
            return
        found = (*laws.effect(run, name, truth, forced=name.id in self.forced),)
        self.wrong += [f"law {broken.law}: {run.id}: {broken.words}" for broken in found]
        if run.plan.attended and not laws.allowed(run):
            self.wrong.append(f"{run.id} does {step.id}, and nobody approved")
        self.truth[run.system] = after = truth.apply(name)
        both = [site for site in ESTATE.systems[run.system].sites if after.accepts(run.system, site)]
        if len(both) > 1:
            self.wrong.append(f"law 1: {run.id} {step.id}: {both} both accept")

    def ended(self, turn: Turn) -> None:
        """Learn what has arrived by now."""
        run = turn.run
        truth = replace(self.true(run), asked=positions(run.plan))
        self.truth[run.system] = truth.ended(turn.step, run.plan)

    def answer(self, turn: Turn, word: str) -> None:
        """End a turn: ``well``, ``badly``, ``lost`` (it happened, no answer), ``silent`` (it did not), ``blind``."""
        if not turn.word.done():
            turn.word.set_result(word)
            self.pulse += 1


OTHER_RUNS = frozenset({"production_unchanged"})  # held against what this run found, which is not kept here


class Hands:
    """Stands between the runners and the world: each step waits for the word how it ends."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    async def run(self, run: Run, step_id: str) -> Outcome:
        machine, step, attempt = self.machine, run.steps[step_id].plan, run.steps[step_id].attempt
        turn, word = await self._turn(run, step, "run")
        now = machine.clock.now()
        if (word == "well" and machine.can(turn)) or (word == "lost" and machine.can(turn) and not step.reads_only):
            if step.effects:
                machine.happens(turn)
            machine.ended(turn)
            if word == "well":
                outputs = outputs_of(run.plan)[step_id]
                return Outcome(StepSucceeded(now, step_id, attempt, outputs, "seen", ""), None)
        if word in {"lost", "silent"} and not step.reads_only:
            return Outcome(StepUnknown(now, step_id, attempt, "no answer", timed_out=True, output_sha256=""), None)
        failed = StepFailed(now, step_id, attempt, "no", timed_out=False, retry_helps=True, output_sha256="")
        return Outcome(failed, None)

    async def probe(self, run: Run, step_id: str) -> Outcome:
        machine, step, attempt = self.machine, run.steps[step_id].plan, run.steps[step_id].attempt
        _, word = await self._turn(run, step, "probe")
        holds, outputs = "cannot-tell", {}
        if word != "blind":
            holds = "yes" if machine.true(run).holds(step) else "no"
            outputs = outputs_of(run.plan)[step_id] if holds == "yes" else {}
        return Outcome(StepProbed(machine.clock.now(), step_id, attempt, holds, "looked", outputs), None)

    async def undo(self, run: Run, step_id: str) -> Outcome:
        machine, step = self.machine, run.steps[step_id].plan
        machine.wrong += [f"law 13: {run.id}: {broken.words}" for broken in laws.beneath(run, step_id)]
        turn, word = await self._turn(run, step, "undo")
        if word in {"well", "lost"}:
            machine.happens(turn)
        if word == "well":
            return Outcome(UndoSucceeded(machine.clock.now(), step_id), None)
        return Outcome(UndoFailed(machine.clock.now(), step_id, "no"), None)

    async def _turn(self, run: Run, step: PlannedStep, what: str) -> tuple[Turn, str]:
        machine = self.machine
        turn = Turn(run, step, what, asyncio.get_running_loop().create_future())
        machine.turns.append(turn)
        machine.pulse += 1
        try:
            return turn, await turn.word
        finally:
            if turn in machine.turns:
                machine.turns.remove(turn)


def without(*gone: str) -> Inventory:
    """Return the estate without some of its systems."""
    left = {key: system for key, system in ESTATE.systems.items() if key not in gone}
    lean = {
        key: system.model_copy(update={"depends_on": tuple(each for each in system.depends_on if each in left)})
        for key, system in left.items()
    }
    return ESTATE.model_copy(update={"systems": MappingProxyType(lean)})
