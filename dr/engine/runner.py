"""One run under way: asks ``decide``, writes the intent, lets the performer act, writes the outcome, asks again.

No audit, no action: an event that cannot be written is written again until it can, and nothing is begun before.
Steps that may begin at the same moment share one write to the disk, and so do outcomes that have come by then.
Commands of people and outcomes of steps come through one inbox, so the run changes in one place only. Whoever gave a
command gets an answer, whatever becomes of the run.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby, takewhile
from typing import Protocol

from dr.engine.doubts import Doubts
from dr.engine.perform import Outcome
from dr.engine.transition import Admit, Intent, Perform, Probe, Record, Undo, WakeAt, admit, decide, gate
from dr.errors import RunRefused
from dr.guard import Ruling, Verdict
from dr.journal.event import Event, StepProbed, StepStarted, StepUnknown, UndoFailed, UndoStarted, VotesHeard
from dr.journal.fold import folded
from dr.journal.run import Run, RunState
from dr.journal.sqlite import StepOutput
from monitor.clock import Clock
from monitor.errors import StateError

log = logging.getLogger(__name__)
APPEND_RETRY_S = 1.0

Command = Callable[[Run, float], Sequence[Event]]


class Performing(Protocol):
    """Who acts (dr.engine.perform.Performer, or a simulation)."""

    async def run(self, run: Run, step_id: str) -> Outcome:
        """Perform the step."""
        ...

    async def probe(self, run: Run, step_id: str) -> Outcome:
        """Probe the step's effect."""
        ...

    async def undo(self, run: Run, step_id: str) -> Outcome:
        """Undo the step."""
        ...


class TokenSource(Protocol):
    """Where fencing tokens come from (dr.engine.tokens)."""

    def next(self, run: Run) -> int:
        """Return one above every token handed out or seen."""
        ...

    def known(self, run: Run) -> bool:
        """Tell whether enough was seen to be sure of that."""
        ...


class Surroundings(Protocol):
    """What a runner needs of the orchestrator. ``admission`` is held while guards let a run in, one at a time."""

    admission: asyncio.Lock

    async def append(self, run: Run, events: Sequence[Event], outputs: Sequence[StepOutput]) -> None:
        """Write the events that follow ``run``, all of them or none. Raises StateError."""
        ...

    def changed(self, run: Run, events: Sequence[Event]) -> None:
        """Take note of the run's new state."""
        ...

    def judge(self, run: Run, step: str | None, now: float) -> Sequence[Verdict]:
        """Ask the guards of the run (None) or of a step."""
        ...

    def votes(self, run: Run) -> VotesHeard | None:
        """Return what the vantage points say now of the side that the run takes for lost; None: it takes none so."""
        ...

    @property
    def tokens(self) -> TokenSource:
        """Where fencing tokens come from."""
        ...


@dataclass(slots=True)
class _Letter:
    """Something for the inbox: a command with who waits for it, or an outcome."""

    step: str = ""
    command: Command | None = None
    outcome: Outcome | None = None
    reply: asyncio.Future[Run] | None = field(default=None)

    def answer(self, what: Run | Exception) -> None:
        """Tell who waits, unless nobody does any more."""
        if self.reply is None or self.reply.done():
            return
        if isinstance(what, Exception):
            self.reply.set_exception(what)
        else:
            self.reply.set_result(what)


class Runner:
    """Drives one run to its end. ``admitted`` is set once the guards have spoken and that is written down."""

    def __init__(
        self,
        run: Run,
        performing: Performing,
        surroundings: Surroundings,
        clock: Clock,
        approval_s: float,
        patience_s: float = 0.0,
    ) -> None:
        """``patience_s`` bounds how long a guard that lacks only knowledge is asked again before it is believed."""
        self.run = run
        self.performing = performing
        self.surroundings = surroundings
        self.clock = clock
        self.approval_s = approval_s
        self._doubts = Doubts(clock, patience_s)
        self.admitted = asyncio.Event()
        self._closed = False
        self._token = 0  # drawn by this runner: what whoever drove the run before has sent must not count any more
        self._inbox: deque[_Letter] = deque()
        self._mail = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def drive(self) -> None:
        """Go on until the run is final. Cancelling it is like a crash: the next daemon probes what was under way."""
        try:
            while not self.run.state.final:
                wake_at = await self._advance()
                if self.run.state.final:
                    break
                await self._mail_or_time(wake_at)
                await self._open()
        finally:
            self._closed = True
            self.admitted.set()
            self.let_go()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
            for letter in self._inbox:
                letter.answer(self._too_late())

    def let_go(self) -> None:
        """Stop what is under way before it does anything more; its outcome is not known then."""
        for task in self._tasks.values():
            task.cancel()

    async def admitted_unless(self, failing: asyncio.Event) -> bool:
        """Wait until the guards have spoken; False where ``failing`` was set before."""
        waits = [asyncio.ensure_future(event.wait()) for event in (self.admitted, failing)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return self.admitted.is_set()

    async def command(self, command: Command) -> Run:
        """Let a person's command change the run; return the run after it. Raises what the command raises."""
        if self._closed:
            raise self._too_late()
        reply: asyncio.Future[Run] = asyncio.get_running_loop().create_future()
        self._post(_Letter(command=command, reply=reply))
        return await reply

    def _post(self, letter: _Letter) -> None:
        self._inbox.append(letter)
        self._mail.set()

    def _too_late(self) -> RunRefused:
        over = "over" if self.run.state.final else "let go by this daemon; look at it after the restart"
        return RunRefused("state", f"run {self.run.id} is {self.run.state}: it is {over}")

    async def _advance(self) -> float | None:
        """Carry out intents until only waiting is left; return when to wake."""
        while True:
            self._doubts.ask_at = None
            intents = decide(self.run, self.clock.now())
            moved = await self._carry_out_one(intents)
            if self.run.state is not RunState.ACCEPTED:
                self.admitted.set()
            if not moved:
                wakes = [intent.at for intent in intents if isinstance(intent, WakeAt)]
                return min((at for at in (*wakes, self._doubts.ask_at) if at is not None), default=None)

    async def _carry_out_one(self, intents: Sequence[Intent]) -> bool:
        """Carry out the first intent that changes the run, steps that may begin together as one; False: none does."""
        for starting, group in groupby(intents, lambda intent: isinstance(intent, Perform)):
            if starting:
                if await self._begin([intent for intent in group if isinstance(intent, Perform)]):
                    return True
                continue
            for intent in group:
                if not isinstance(intent, (Perform, WakeAt)) and await self._carry_out(intent):
                    return True
        return False

    async def _carry_out(self, intent: Record | Admit | Probe | Undo) -> bool:
        """Carry out one intent; True when the run has changed by it."""
        now = self.clock.now()
        match intent:
            case Record(event):
                await self._write((event,))
            case Admit():
                async with self.surroundings.admission:
                    if (votes := self.surroundings.votes(self.run)) is not None:
                        await self._write((votes,))
                    verdicts = self.surroundings.judge(self.run, None, now)
                    begins = all(verdict.ruling is Ruling.ALLOW for verdict in verdicts)
                    unsure = begins and not self.surroundings.tokens.known(self.run)
                    if self._doubts.hold("", verdicts) or self._doubts.lacks("token", lacking=unsure):
                        return False
                    token = self._drawn() if begins else 0
                    await self._write(admit(self.run, verdicts, token, now, self.approval_s))
            case Probe(step, attempt):
                if step in self._tasks:
                    return False
                self._spawn(
                    step, self.performing.probe, lambda at, why: StepProbed(at, step, attempt, "cannot-tell", why, {})
                )
                return False
            case Undo(step):
                await self._write((UndoStarted(now, step, self._drawn()),))
                self._spawn(step, self.performing.undo, lambda at, why: UndoFailed(at, step, why))
        return True

    async def _begin(self, starts: Sequence[Perform]) -> bool:
        """Ask the guards of each step, one after the other; write down all that may begin at one stroke, then do it.

        The events and their order are those of one step at a time: that a step begins changes nothing for another
        that may begin as well. Behind one that may not nothing is begun: what follows then is decided anew.
        """
        now, after = self.clock.now(), self.run
        events: list[Event] = []
        begun: list[Perform] = []
        for start in starts:
            verdicts = self.surroundings.judge(after, start.step, now)
            if self._doubts.hold(start.step, verdicts):
                continue
            ruled = gate(after, verdicts, start.step, now)
            after, allowed = folded(after, ruled), all(verdict.ruling is Ruling.ALLOW for verdict in verdicts)
            events += ruled
            if not allowed:
                break
            key = f"{self.run.id}/{start.step}"
            started = StepStarted(now, start.step, start.attempt, key, self._drawn())
            after = folded(after, (started,))
            events.append(started)
            begun.append(start)
        if not events:
            return False
        await self._write(events)
        for start in begun:
            self._perform(start.step, start.attempt)
        return True

    def _perform(self, step: str, attempt: int) -> None:
        if self.run.steps[step].plan.asks:
            return  # nothing to perform: a person answers, or the time runs out
        self._spawn(
            step,
            self.performing.run,
            lambda at, why: StepUnknown(at, step, attempt, why, timed_out=False, output_sha256=""),
        )

    def _drawn(self) -> int:
        """Return the fencing token of everything that this runner has done."""
        if not self._token:
            self._token = self.surroundings.tokens.next(self.run)
        return self._token

    def _spawn(
        self, step: str, act: Callable[[Run, str], Awaitable[Outcome]], broken: Callable[[float, str], Event]
    ) -> None:
        """Let ``act`` run beside us; the step counts as under way until its outcome is taken from the inbox.

        ``broken`` makes the outcome when ``act`` fails to say one.
        """
        run = self.run

        async def watch() -> None:
            try:
                outcome = await act(run, step)
            except Exception as error:  # a task's outermost border: a step without an outcome has no way out
                log.exception("performing %s of run %s broke", step, run.id)
                outcome = Outcome(broken(self.clock.now(), f"performing it broke: {type(error).__name__}"), None)
            self._post(_Letter(step=step, outcome=outcome))

        self._tasks[step] = asyncio.create_task(watch(), name=f"{self.run.id}/{step}")

    async def _mail_or_time(self, wake_at: float | None) -> None:
        """Wait for a command, an outcome or the time to wake."""
        if self._inbox:
            return
        self._mail.clear()
        if wake_at is None:
            await self._mail.wait()
            return
        waits = [asyncio.ensure_future(self._mail.wait()), asyncio.ensure_future(self._sleep_until(wake_at))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _sleep_until(self, wake_at: float) -> None:
        await self.clock.sleep(max(0.0, wake_at - self.clock.now()))

    async def _open(self) -> None:
        """Take in the outcomes that have come, up to the next command; or that command, if it is the first."""
        outcomes = list(takewhile(lambda letter: letter.outcome is not None, self._inbox))
        if outcomes:
            for letter in outcomes:
                self._inbox.popleft()
                self._tasks.pop(letter.step, None)
            came = [letter.outcome for letter in outcomes if letter.outcome is not None]
            kept = [outcome.output for outcome in came if outcome.output is not None]
            await self._write([outcome.event for outcome in came], kept)
        elif self._inbox:
            await self._obey(self._inbox.popleft())

    async def _obey(self, letter: _Letter) -> None:
        if letter.command is None:
            return
        try:
            await self._write(letter.command(self.run, self.clock.now()))
        except asyncio.CancelledError:
            letter.answer(self._too_late())
            raise
        except Exception as error:  # noqa: BLE001 - handed to whoever gave the command
            letter.answer(error)
        else:
            letter.answer(self.run)

    async def _write(self, events: Sequence[Event], outputs: Sequence[StepOutput] = ()) -> None:
        """Make the events durable, then true. Tries for as long as the journal cannot be written."""
        after = folded(self.run, events)
        while True:
            try:
                await self.surroundings.append(self.run, events, outputs)
                break
            except StateError as error:
                log.error("run %s waits for its journal: %s", self.run.id, error)  # noqa: TRY400 - expected, no trace
                await self.clock.sleep(APPEND_RETRY_S)
        self.run = after
        self.surroundings.changed(after, events)
