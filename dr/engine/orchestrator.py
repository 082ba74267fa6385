"""All runs of this daemon: takes requests and commands, hands them to runners, and resumes what a dead daemon left.

It knows playbooks, the journal and the guards; it decides nothing about a run's course (``transition`` does). A run
whose journal cannot be read is shown, never guessed at, and does not hold up the others (docs/decisions/0013).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from dr.action import Action
from dr.engine import damaged, whereabouts
from dr.engine.facts import facts_of
from dr.engine.listeners import LineListener, Listener, Listeners
from dr.engine.names import complete, new_id
from dr.engine.perform import Performer
from dr.engine.planning import plan_of
from dr.engine.runner import Command, Performing, Runner
from dr.engine.runs import Runs
from dr.engine.standing import Standing
from dr.engine.tokens import Tokens
from dr.engine.unheard import Unheard
from dr.errors import IllegalEvent, RunRefused
from dr.guard import ALONE, Guard, Promise, Verdict
from dr.journal.ballot import heard
from dr.journal.event import Event, Interrupted, RunAccepted, VotesHeard
from dr.journal.fold import begin, fold, folded
from dr.journal.joint import Joint
from dr.journal.run import ACTIVE, Run, RunState
from dr.journal.sqlite import SqliteJournal, StepOutput
from dr.lease import Tenancy
from dr.playbook.model import ANY_RUN, Plan
from dr.playbook.parameters import AS_WRITTEN, Wish
from dr.playbook.read import PlaybookFile
from dr.world import World
from monitor.errors import StateError

log = logging.getLogger(__name__)
T = TypeVar("T")
APPROVAL_S = 3600.0


@dataclass(frozen=True, slots=True)
class Request:
    """Somebody wants a playbook run for a system.

    ``origin`` is ``person``, ``schedule`` or ``alarm``; ``origin_ref`` makes a request of the other two unique.
    ``service_lost_at`` and ``alarm_at`` (Unix seconds, 0: does not apply) are where recovery time is measured from.
    ``automatic``: it shall start without an approval if nothing speaks against it.
    """

    playbook: str
    system: str
    requester: str
    reason: str = ""
    origin: str = "person"
    origin_ref: str = ""
    service_lost_at: float = 0.0
    alarm_at: float = 0.0
    wish: Wish = AS_WRITTEN
    automatic: bool = False


@dataclass(frozen=True, slots=True)
class Rules:
    """What the daemon is wired with: playbooks by name, actions, guards, and the inventory's fingerprint."""

    playbooks: Mapping[str, PlaybookFile]
    actions: Mapping[str, Action]
    run_guards: Sequence[Guard]
    step_guards: Sequence[Guard]
    inventory_hash: str


class Orchestrator:
    """The one owner of the journal."""

    def __init__(
        self,
        journal: SqliteJournal,
        world: World,
        rules: Rules,
        *,
        epoch_seen: Callable[[str], int],
        epoch_known: Callable[[str], bool] = lambda _system: True,
        approval_s: float = APPROVAL_S,
        acting: Callable[[Performing], Performing] = lambda performer: performer,
    ) -> None:
        """``epoch_seen`` and ``epoch_known``: see ``Tokens``.

        ``acting`` may put somebody between the runners and the performer: a story that is played again does.
        """
        self.journal = journal
        self.world = world
        self.rules = rules
        self.approval_s = approval_s
        self.journal_error = ""
        self.tokens = Tokens(self, epoch_seen, epoch_known)
        self._listeners = Listeners()
        self.performer = Performer(rules.actions, world, self._listeners.heard)
        self._acting = acting(self.performer)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")
        self.held = Runs(journal, self._thread)
        self._runners: dict[str, Runner] = {}
        self._drives: dict[str, asyncio.Task[None]] = {}
        self.standing = Standing(journal, self.in_thread, lambda: self.world)
        self.admission = asyncio.Lock()
        self._taking_up = asyncio.Lock()
        self._submitting = asyncio.Lock()
        self._failing = asyncio.Event()
        self._undriven: dict[str, str] = {}
        self.unheard = Unheard(self)
        self._unsure: set[str] = set()  # runs of which more may be written down than was heard of
        self._asking: set[asyncio.Task[Run]] = set()
        self.joint_ids: set[str] = set()
        self.promised: Mapping[str, Promise] = {}
        self.tenancy: Callable[[], Tenancy] = lambda: ALONE
        self.may_act: Callable[[], Awaitable[None]] = lambda: asyncio.sleep(0)

    # -- life ----------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Load every run that can be read, and go on with those that are not over. Raises StateError.

        Those under way go on before all others are read (docs/decisions/0040).
        """
        await self.held.open()
        await self.standing.load()
        await self.take_up()
        await self.held.fill()
        await self.take_up()

    def let_go(self) -> None:
        """Let go of every run as it stands, at once: this daemon may not act any more."""
        self._unsure.update(self._drives)  # a write that the disk holds up may still come to its end
        for run_id, task in self._drives.items():
            self._runners[run_id].let_go()  # first: what it waits for may have come already
            task.cancel()

    async def take_up(self) -> None:
        """Go on with every run that nobody drives, as after a restart: what was under way is asked of the world.

        While not all is read, only with those under way: who may be let in, all others have a say in. Raises
        StateError; what was not taken up then is taken up by the next call.
        """
        async with self._taking_up:
            await asyncio.gather(*(task for task in self._drives.values() if task.cancelling()), return_exceptions=True)
            for run_id in [run.id for run in self.held.unfinished()]:
                if run_id not in self._drives:
                    await self._take_up_one(self.held.now(run_id))  # as it stands by then, not when we began

    async def _take_up_one(self, run: Run) -> None:
        if run.id in self._unsure:
            try:
                run = await self._read_again(run)
            except IllegalEvent as error:
                self._not_driven(run.id, error)
                return
        under_way = run.state in ACTIVE or run.state is RunState.INTERRUPTED
        if not run.state.final and (under_way or self.held.whole):
            await self._go_on(run)

    async def _read_again(self, run: Run) -> Run:
        """Learn what was written of the run while nobody waited for it any more. Raises IllegalEvent, StateError."""
        if events := await self.held.missed(run):
            run = folded(run, events)
            self.changed(run, events)
        self._unsure.discard(run.id)
        return run

    async def _go_on(self, run: Run) -> None:
        if run.state in ACTIVE:
            interrupted = Interrupted(self.world.clock.now())
            self._unsure.add(run.id)  # should the journal say that it is not written, that may not be so
            await self.append(run, (interrupted,))
            self._unsure.discard(run.id)
            run = fold(run, interrupted)
            self.changed(run, (interrupted,))
        self._undriven.pop(run.id, None)
        self._drive(run)

    async def stop(self) -> None:
        """Let go of every run as it stands; the next start probes what was under way."""
        self.let_go()
        await asyncio.gather(*self._drives.values(), return_exceptions=True)
        self._thread.shutdown(wait=True)
        self.journal.close()

    @contextlib.asynccontextmanager
    async def no_requests(self, within_s: float) -> AsyncIterator[None]:
        """Hold back new requests in the block. Raises StateError when one has been under way for ``within_s``."""
        try:
            await asyncio.wait_for(self._submitting.acquire(), within_s)
        except TimeoutError as error:
            raise StateError("a request for a run cannot be finished; try again when the journal works") from error
        with contextlib.ExitStack() as held:
            held.callback(self._submitting.release)
            yield

    def reload(self, world: World, rules: Rules) -> None:
        """Go on in ``world`` by ``rules``: each run keeps its plan, its next step meets the new world."""
        self.world, self.performer.world, self.rules = world, world, rules

    # -- looking -------------------------------------------------------------------------------------------------------

    def runs(self) -> list[Run]:
        """Return every run, newest first."""
        return self.held.newest_first()

    def run(self, run_id: str) -> Run:
        """Return the run of that id, or of a beginning that only it has. Raises RunRefused."""
        known, unread = self.held.by_id, self.held.damaged
        if run_id in known:
            return known[run_id]
        if run_id in unread:
            raise RunRefused("journal", damaged.sentence(run_id, unread[run_id]))
        return known[complete(run_id, known)]

    def events(self, run_id: str) -> list[Event]:
        """Return the run's journal so far."""
        return list(self.held.events_of(self.run(run_id).id))

    async def outputs(self, run_id: str) -> list[StepOutput]:
        """Return the kept output of the run's steps. Raises StateError."""
        run = self.run(run_id)
        return await self.in_thread(lambda: self.journal.outputs(run.id))

    def placement(self) -> dict[str, str]:
        """Return where each system belongs by the journal: the goal of its last hand-over that succeeded."""
        protected = {key: system.protected_site for key, system in self.world.inventory.systems.items()}
        return whereabouts.placement(self.held.by_id.values(), protected)

    def promoted(self, system: str) -> str:
        """Return the site of the system's newest promotion that is known to hold, else its protected site."""
        protected = self.world.inventory.systems[system].protected_site
        return whereabouts.promoted(self.held.by_id.values(), system, protected)

    def problems(self) -> list[str]:
        """Return what is wrong with the journal or with runs beneath it, one sentence each."""
        own = [self.journal_error] if self.journal_error else []
        unread = [damaged.sentence(key, story) for key, story in self.held.damaged.items()]
        return [*own, *self._undriven.values(), *unread]

    def plan(self, playbook: str, system: str, run_id: str = ANY_RUN, wish: Wish = AS_WRITTEN) -> Plan:
        """Return what a run would do. Raises RunRefused for unknown names and PlaybookError for mistakes."""
        return plan_of(self, playbook, system, run_id, wish)

    def verdicts(
        self, plan: Plan, requester: str, origin: str = "person", beside: frozenset[str] = frozenset()
    ) -> Sequence[Verdict]:
        """Return what the guards would say to a run of ``plan`` now, were the runs of ``beside`` not there."""
        now = self.world.clock.now()
        run = begin(ANY_RUN, RunAccepted(now, plan.to_json(), requester, "", origin, "", 0.0, 0.0))
        return self.judge(run if (votes := self.votes(run)) is None else fold(run, votes), None, now, beside)

    # -- asking --------------------------------------------------------------------------------------------------------

    async def submit(self, request: Request, plan: Plan | None = None, run_id: str = "") -> Run:
        """Make a run of ``request``, by ``plan`` under ``run_id`` if those are fixed; journaled even when refused.

        Returns the run, WAITING or under way. Raises RunRefused, PlaybookError, StateError. Whoever asked may go
        away: what has been written down is followed up all the same.
        """
        task = asyncio.create_task(self._submit(request, plan, run_id))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)
        return await asyncio.shield(task)

    async def _submit(self, request: Request, plan: Plan | None, run_id: str) -> Run:
        async with self._submitting:
            await self.unheard.learn()
            if run_id in self.held.by_id:
                return self.held.by_id[run_id]
            now = self.world.clock.now()
            run_id = run_id or self.free_id(request.system, request.playbook, now)
            plan = plan or self.plan(request.playbook, request.system, run_id, request.wish)
            by = (request.requester, request.reason, request.origin, request.origin_ref)
            since = (request.service_lost_at, request.alarm_at)
            accepted = RunAccepted(now, plan.to_json(), *by, *since, automatic=request.automatic)
            run = begin(run_id, accepted)
            try:
                await self._noting(lambda: self.journal.append(run_id, 0, (accepted,)))
            except StateError as error:
                raise self.unheard.refused(run_id, error) from error
            self.changed(run, (accepted,))
            await self._admitted(self._drive(run))
        run = self.held.by_id[run_id]
        for note in (note for note in run.guards if run.state.final and note.ruling == "refuse"):
            raise RunRefused(note.guard, note.sentence)
        return run

    def free_id(self, system: str, playbook: str, now: float) -> str:
        """Return an id that no run has, of one system or joint, and that is promised to none."""
        taken = {*self.held.by_id, *self.held.damaged, *self.held.joints, *self.joint_ids}
        taken |= {*self.promised, *self.unheard.ids}
        return new_id(system, playbook, now, taken)

    async def command(self, run_id: str, command: Command) -> Run:
        """Apply a person's command (see ``commands``) to the run. Raises RunRefused."""
        run = self.run(run_id)
        if (runner := self._runners.get(run.id)) is None:
            why = self._undriven.get(run.id, self.tenancy().why or "nothing can be done to it")
            raise RunRefused("state", f"run {run.id} is {run.state}; {why}")
        return await runner.command(command)

    def subscribe(self, listener: Listener, lines: LineListener | None = None) -> Callable[[], None]:
        """Tell ``listener`` every change of a run, and ``lines`` every line a step prints; call the result to leave."""
        return self._listeners.add(listener, lines)

    # -- what runners need (runner.Surroundings) -----------------------------------------------------------------------

    async def append(self, run: Run | Joint, events: Sequence[Event], outputs: Sequence[StepOutput] = ()) -> None:
        """Make the events that follow ``run`` durable, once this daemon may act. Raises StateError."""
        await self.may_act()
        await self._noting(lambda: self.journal.append(run.id, run.seq, events, outputs))

    async def recheck(self) -> None:
        """Try to write after a write failed, so that ``journal_error`` does not outlive its cause."""
        with contextlib.suppress(StateError):  # it is noted
            if self.journal_error:
                await self._noting(self.journal.touch)
            await self.unheard.learn()
            await self.standing.learn()

    def found(self, run: Run) -> None:
        """Go on with a run that was read only now."""
        self._listeners.changed(run, self.held.events_of(run.id))
        if not run.state.final:
            self._drive(run)

    def changed(self, run: Run, events: Sequence[Event]) -> None:
        """Hold the run's new state and tell who listens."""
        self.held.note(run, events)
        self._listeners.changed(run, events)

    def judge(self, run: Run, step: str | None, now: float, beside: frozenset[str] = frozenset()) -> Sequence[Verdict]:
        """Ask every guard of the run, or of the step, as if the runs of ``beside`` were not there, nor to come."""
        facts = facts_of(self, run, step, beside)
        if step is not None:
            return [guard(run, facts, step, now) for guard in self.rules.step_guards]
        return [
            *damaged.verdicts(run, self.held.damaged, self.world.inventory.systems),
            *(guard(run, facts, None, now) for guard in self.rules.run_guards),
        ]

    def votes(self, run: Run) -> VotesHeard | None:
        """Return what the vantage points say now of the side that a failover takes for lost."""
        if run.plan.kind != "failover" or (poll := self.world.poll(run.system, run.plan.from_site)) is None:
            return None
        return heard(poll, self.world.clock.now())

    async def in_thread(self, call: Callable[[], T]) -> T:
        """Run a blocking call on the journal in its own thread, after those before it."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    # -- inside --------------------------------------------------------------------------------------------------------

    async def _noting(self, write: Callable[[], None]) -> None:
        """Write to the journal and take note of whether that can be done. Raises StateError."""
        try:
            await self.in_thread(write)
        except StateError as error:
            self.journal_error = str(error)
            self._failing.set()
            raise
        self.journal_error = ""
        self._failing.clear()

    async def _admitted(self, runner: Runner) -> None:
        """Wait until the guards have spoken. Raises StateError when that cannot be written down now."""
        if not await runner.admitted_unless(self._failing):
            raise StateError(
                f"run {runner.run.id} is asked for and goes on once the journal can be written: {self.journal_error}"
            )

    def _drive(self, run: Run) -> Runner:
        runner = Runner(
            run, self._acting, self, self.world.clock, self.approval_s, self.world.inventory.polling.stale_after_s
        )
        task = asyncio.create_task(runner.drive(), name=run.id)
        self._runners[run.id] = runner
        self._drives[run.id] = task
        task.add_done_callback(lambda done: self._driven(run.id, done))
        return runner

    def _driven(self, run_id: str, task: asyncio.Task[None]) -> None:
        self._runners.pop(run_id, None)
        self._drives.pop(run_id, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._not_driven(run_id, error)

    def _not_driven(self, run_id: str, error: BaseException) -> None:
        self._undriven[run_id] = f"run {run_id} is not driven any more ({error}); restart the daemon to go on with it"
        log.error("run %s stopped being driven", run_id, exc_info=error)
