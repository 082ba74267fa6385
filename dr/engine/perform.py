"""Performing one step: run its action, observe its declared effect, and say in one event what came of it.

The only place where actions are called. An action that claims success is not believed: its effect is probed. What
cannot be told is UNKNOWN, never success and never failure. Whatever an action does or throws, a step gets an outcome.
"""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from pydantic import ValidationError

from dr.action import Action, Context, Done, Holds, Seen
from dr.engine import tidy
from dr.engine.transition import resolve
from dr.errors import StepFailed
from dr.journal.event import Event, StepProbed, StepSucceeded, StepUnknown, UndoFailed, UndoSucceeded
from dr.journal.event import StepFailed as StepFailedEvent
from dr.journal.run import Run, StepRecord
from dr.journal.sqlite import StepOutput
from dr.world import World
from monitor.errors import CredentialError, TargetError

log = logging.getLogger(__name__)
OUTPUT_LIMIT_CHARS = 4_000_000
OVERRIDDEN = "overridden"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The event to write and the output to keep with it."""

    event: Event
    output: StepOutput | None


@dataclass(frozen=True, slots=True)
class _Fell:
    """How an action ended when it did not end well."""

    reason: str
    retry_helps: bool = False
    outcome_known: bool = True
    timed_out: bool = False


class Performer:
    """Calls actions on behalf of the runner; holds no state of its own."""

    def __init__(
        self, actions: Mapping[str, Action], world: World, heard: Callable[[str, str, int, str], None]
    ) -> None:
        """``heard(run_id, step, attempt, line)`` is told every line of output as it comes, redacted."""
        self.actions = actions
        self.world = world
        self.heard = heard

    async def run(self, run: Run, step_id: str) -> Outcome:
        """Run the step's action and observe its effect. Raises nothing but cancellation."""
        record = run.steps[step_id]
        lines = _Lines(self, run.id, step_id, record.attempt)
        ready = self._ready(run, step_id, lines.add, record.plan.timeout_s)
        seen: Seen | None = None
        done = Done()
        if isinstance(ready, _Fell):
            fell: _Fell | None = ready
        else:
            action, args, context = ready
            fell, done = await self._attempt(action.run(args, context), record.plan.timeout_s)
            if fell is None and not action.reads_only:
                seen = await self._look(action, args, context)
                fell = _disbelief(seen)
        now = self.world.clock.now()
        if fell is None:
            outputs = tidy.outputs(done.outputs, self._redact, lines.add)
            for name, value in outputs.items():
                lines.add(f"{name} = {value}")
            evidence = self._text(seen.evidence) if seen is not None else ""
            output = lines.output()
            return Outcome(StepSucceeded(now, step_id, record.attempt, outputs, evidence, output.sha256), output)
        lines.add(f"not done: {fell.reason}")
        reason, output = self._text(fell.reason), lines.output()
        if fell.outcome_known or record.plan.reads_only:
            failed = StepFailedEvent(
                now, step_id, record.attempt, reason, fell.timed_out, fell.retry_helps, output.sha256
            )
            return Outcome(failed, output)
        return Outcome(StepUnknown(now, step_id, record.attempt, reason, fell.timed_out, output.sha256), output)

    async def probe(self, run: Run, step_id: str) -> Outcome:
        """Ask the world whether the effect of an UNKNOWN step holds. Raises nothing but cancellation."""
        record = run.steps[step_id]
        ready = self._ready(run, step_id, lambda _line: None, record.plan.timeout_s)
        seen = Seen(Holds.CANNOT_TELL, ready.reason) if isinstance(ready, _Fell) else await self._look(*ready)
        outputs = tidy.outputs(seen.outputs, self._redact, log.warning)
        event = StepProbed(
            self.world.clock.now(), step_id, record.attempt, seen.holds.value, self._text(seen.evidence), outputs
        )
        return Outcome(event, None)

    async def look(self, run: Run, step_id: str, limit_s: float) -> Seen:
        """Say of a step that has not begun whether its effect holds; of one that only looks, whether it would succeed.

        Changes nothing and writes nothing down. Raises nothing but cancellation.
        """
        record = run.steps[step_id]
        ready = self._ready(run, step_id, lambda _line: None, min(limit_s, record.plan.timeout_s))
        if isinstance(ready, _Fell):
            seen = Seen(Holds.CANNOT_TELL, ready.reason)
        elif ready[0].reads_only:
            seen = await self._tried(*ready)
        else:
            seen = await self._look(*ready)
        return Seen(seen.holds, self._text(seen.evidence))

    async def _tried(self, action: Action, args: Any, context: Context) -> Seen:
        """Do what only looks, and say whether it found what it wants."""
        fell, done = await self._attempt(action.run(args, context), context.timeout_s)
        if fell is None:
            found = tidy.outputs(done.outputs, self._redact, log.warning)
            return Seen(Holds.YES, ", ".join(f"{name}={value}" for name, value in found.items()))
        return Seen(Holds.NO if fell.outcome_known else Holds.CANNOT_TELL, fell.reason)

    async def undo(self, run: Run, step_id: str) -> Outcome:
        """Take the step's effect back; what that prints is kept, too. Raises nothing but cancellation."""
        record = run.steps[step_id]
        lines = _Lines(self, run.id, step_id, -run.seq)  # no attempt, and no other undo of the step, has that number
        ready = self._ready(run, step_id, lines.add, record.plan.timeout_s)
        if isinstance(ready, _Fell):
            fell: _Fell | None = ready
        else:
            action, args, context = ready
            fell, _ = await self._attempt(action.undo(args, context, record.outputs), record.plan.timeout_s)
        now = self.world.clock.now()
        lines.add("undone" if fell is None else f"not undone: {fell.reason}")
        output = lines.output()
        kept = (output.sha256, output.attempt)
        if fell is None:
            return Outcome(UndoSucceeded(now, step_id, *kept), output)
        return Outcome(UndoFailed(now, step_id, self._text(fell.reason), *kept), output)

    async def _attempt(self, work: Awaitable[Done], timeout_s: float) -> tuple[_Fell | None, Done]:
        """Await an action within its time; return how it fell, or None and what it yielded."""
        fell: _Fell | None = None
        done = Done()
        try:
            async with asyncio.timeout(timeout_s) as limit:
                done = await work
        except TargetError as error:
            fell = _Fell(str(error), retry_helps=error.retry_helps, outcome_known=error.outcome_known)
        except StepFailed as error:
            fell = _Fell(str(error), retry_helps=error.retry_helps)
        except CredentialError as error:
            fell = _Fell(str(error))
        except BaseException as error:  # the border of foreign code, which may panic or cancel itself
            if _ours(error):
                raise
            if limit.expired():
                reason = f"no answer within {timeout_s:g} s"
                fell = _Fell(reason, retry_helps=True, outcome_known=False, timed_out=True)
            else:
                fell = self._broke("the action", error)
        return fell, done

    async def _look(self, action: Action, args: object, context: Context) -> Seen:
        """Probe, within its own limit; anything that goes wrong means that it cannot be told."""
        limit_s = min(action.probe_limit_s, context.timeout_s)
        try:
            async with asyncio.timeout(limit_s) as limit:
                return await action.probe(args, context)
        except (TargetError, CredentialError, StepFailed) as error:
            return Seen(Holds.CANNOT_TELL, str(error))
        except BaseException as error:  # the border of foreign code: a defect in a probe must not end the run
            if _ours(error):
                raise
            if limit.expired():
                return Seen(Holds.CANNOT_TELL, f"no answer to the probe within {limit_s:g} s")
            return Seen(Holds.CANNOT_TELL, self._broke(f"the probe of '{action.name}'", error).reason)

    def _broke(self, what: str, error: BaseException) -> _Fell:
        """Log a defect, without secrets, and return the fall of what it hit: what was done is not known."""
        log.error("%s broke\n%s", what, self._redact("".join(traceback.format_exception(error))))
        return _Fell(f"{what} broke: {_plain(error)}", outcome_known=False)

    def _redact(self, said: str) -> str:
        return self.world.credentials.redact(said)

    def _text(self, said: str) -> str:
        return tidy.text(said, self._redact)

    def _ready(
        self, run: Run, step_id: str, say: Callable[[str], None], timeout_s: float
    ) -> tuple[Action, Any, Context] | _Fell:
        """Return all that calling the step's action takes, or why it cannot be called."""
        record = run.steps[step_id]
        action = self.actions.get(record.plan.action)
        if action is None:
            return _Fell(
                f"this version of Karaula has no action '{record.plan.action}'; cancel the run and start it anew"
            )
        try:
            args = action.Args.model_validate(resolve(run, record))
        except (KeyError, ValidationError) as error:
            return _Fell(f"its arguments do not fit: {_plain(error)}")
        except Exception as error:  # noqa: BLE001 - the border of foreign code: nothing was begun
            return _Fell(self._broke("what takes its arguments", error).reason)
        return action, args, self._context(run, record, say, timeout_s)

    def _context(self, run: Run, record: StepRecord, say: Callable[[str], None], timeout_s: float) -> Context:
        """Return what the action is told. An effect bears its attempt's token; to undo it is an order of its own."""
        step_id = record.plan.id
        return Context(
            run_id=run.id,
            step=step_id,
            attempt=record.attempt,
            key=f"{run.id}/{step_id}",
            token=run.token if record.undoing else record.token,
            timeout_s=timeout_s,
            world=self.world,
            say=say,
            overridden=_overridden(run, step_id),
        )


class _Lines:
    """A step's output: redacted, told live, kept up to a limit that is said."""

    def __init__(self, performer: Performer, run_id: str, step: str, attempt: int) -> None:
        self._performer = performer
        self._run_id, self._step, self._attempt = run_id, step, attempt
        self._lines: list[str] = []
        self._chars = 0
        self._dropped = 0

    def add(self, line: str) -> None:
        line = tidy.text(line, self._performer.world.credentials.redact, OUTPUT_LIMIT_CHARS)
        if self._chars + len(line) > OUTPUT_LIMIT_CHARS:
            self._dropped += 1
            return
        self._chars += len(line) + 1
        self._lines.append(line)
        self._performer.heard(self._run_id, self._step, self._attempt, line)

    def output(self) -> StepOutput:
        lines = list(self._lines)
        if self._dropped:
            lines.append(f"[{self._dropped} more lines were not kept: over {OUTPUT_LIMIT_CHARS} characters]")
        return StepOutput(self._step, self._attempt, "\n".join(lines))


def _overridden(run: Run, step_id: str) -> frozenset[str]:
    """Return the guards whose last word on the step was that people have overridden them."""
    if OVERRIDDEN not in map(attrgetter("reason"), run.guards):  # as a rule, and a long run has thousands of notes
        return frozenset()
    last = {note.guard: note.reason for note in run.guards if note.step == step_id}
    return frozenset(guard for guard, reason in last.items() if reason == OVERRIDDEN)


def _disbelief(seen: Seen) -> _Fell | None:
    """Return the fall of an action whose declared effect was not observed."""
    if seen.holds is Holds.YES:
        return None
    if seen.holds is Holds.NO:
        return _Fell(f"it reported success, but its effect was not observed: {seen.evidence}")
    return _Fell(f"it reported success, but that cannot be confirmed: {seen.evidence}", outcome_known=False)


def _ours(error: BaseException) -> bool:
    """Tell whether it is the daemon that ends this task (or the interpreter this coroutine), not the action itself."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is None or task.cancelling() > 0
    return isinstance(error, GeneratorExit)


def _plain(error: BaseException) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
    return f"{type(error).__name__}: {json.dumps(str(error))}"
