"""Performing one step: run its action, observe its declared effect, and say in one event what came of it.

The only place where actions are called. An action that claims success is not believed: its effect is probed. What
cannot be told is UNKNOWN, never success and never failure.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from dr.action import Action, Context, Done, Holds, Seen
from dr.engine.transition import resolve
from dr.errors import StepFailed
from dr.journal.event import Event, StepProbed, StepSucceeded, StepUnknown, UndoFailed, UndoSucceeded
from dr.journal.event import StepFailed as StepFailedEvent
from dr.journal.run import Run
from dr.journal.sqlite import StepOutput
from dr.world import World
from monitor.errors import CredentialError, TargetError

log = logging.getLogger(__name__)
OUTPUT_LIMIT_CHARS = 4_000_000
PROBE_LIMIT_S = 20.0


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
        action = self.actions[record.plan.action]
        lines = _Lines(self, run.id, step_id, record.attempt)
        context = self._context(run, step_id, lines.add, record.plan.timeout_s)
        seen: Seen | None = None
        done = Done()
        try:
            args = action.Args.model_validate(resolve(run, record))
        except (KeyError, ValidationError) as error:
            fell: _Fell | None = _Fell(f"its arguments do not fit: {_plain(error)}")
        else:
            fell, done = await _attempt(action.run(args, context), record.plan.timeout_s, done)
            if fell is None and not action.reads_only:
                seen = await self._look(action, args, context)
                fell = _disbelief(seen)
        if fell is not None:
            lines.add(f"not done: {fell.reason}")
        output = lines.output()
        now = self.world.clock.now()
        if fell is None:
            for name, value in done.outputs.items():
                lines.add(f"{name} = {value}")
            output = lines.output()
            evidence = seen.evidence if seen is not None else ""
            return Outcome(
                StepSucceeded(now, step_id, record.attempt, dict(done.outputs), evidence, output.sha256), output
            )
        reason = self.world.credentials.redact(fell.reason)
        if fell.outcome_known or action.reads_only:
            failed = StepFailedEvent(
                now, step_id, record.attempt, reason, fell.timed_out, fell.retry_helps, output.sha256
            )
            return Outcome(failed, output)
        return Outcome(StepUnknown(now, step_id, record.attempt, reason, fell.timed_out, output.sha256), output)

    async def probe(self, run: Run, step_id: str) -> Outcome:
        """Ask the world whether the effect of an UNKNOWN step holds. Raises nothing but cancellation."""
        record = run.steps[step_id]
        action = self.actions[record.plan.action]
        try:
            args = action.Args.model_validate(resolve(run, record))
        except (KeyError, ValidationError) as error:
            seen = Seen(Holds.CANNOT_TELL, f"its arguments do not fit: {_plain(error)}")
        else:
            context = self._context(run, step_id, lambda _line: None, PROBE_LIMIT_S)
            seen = await self._look(action, args, context)
        now = self.world.clock.now()
        evidence = self.world.credentials.redact(seen.evidence)
        event = StepProbed(now, step_id, record.attempt, seen.holds.value, evidence, dict(seen.outputs))
        return Outcome(event, None)

    async def undo(self, run: Run, step_id: str) -> Outcome:
        """Take the step's effect back. Raises nothing but cancellation."""
        record = run.steps[step_id]
        action = self.actions[record.plan.action]
        context = self._context(run, step_id, lambda _line: None, record.plan.timeout_s)
        try:
            args = action.Args.model_validate(resolve(run, record))
        except (KeyError, ValidationError) as error:
            fell: _Fell | None = _Fell(f"its arguments do not fit: {_plain(error)}")
        else:
            fell, _ = await _attempt(action.undo(args, context, record.outputs), record.plan.timeout_s, Done())
        now = self.world.clock.now()
        if fell is None:
            return Outcome(UndoSucceeded(now, step_id), None)
        return Outcome(UndoFailed(now, step_id, self.world.credentials.redact(fell.reason)), None)

    async def _look(self, action: Action, args: object, context: Context) -> Seen:
        """Probe, within its own limit; anything that goes wrong means that it cannot be told."""
        limit_s = min(PROBE_LIMIT_S, context.timeout_s)
        try:
            async with asyncio.timeout(limit_s):
                return await action.probe(args, context)
        except TimeoutError:
            return Seen(Holds.CANNOT_TELL, f"no answer to the probe within {limit_s:g} s")
        except (TargetError, CredentialError, StepFailed) as error:
            return Seen(Holds.CANNOT_TELL, str(error))
        except Exception as error:  # the border of foreign code: a bug in a probe must not end the run
            log.exception("probe of action %s broke", action.name)
            return Seen(Holds.CANNOT_TELL, f"the probe of '{action.name}' broke: {_plain(error)}")

    def _context(self, run: Run, step_id: str, say: Callable[[str], None], timeout_s: float) -> Context:
        return Context(
            run_id=run.id,
            step=step_id,
            attempt=run.steps[step_id].attempt,
            key=f"{run.id}/{step_id}",
            token=run.token,
            timeout_s=timeout_s,
            world=self.world,
            say=say,
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
        line = self._performer.world.credentials.redact(line)
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


async def _attempt(work: Awaitable[Done], timeout_s: float, nothing: Done) -> tuple[_Fell | None, Done]:
    """Await an action within its time; return how it fell, or None and what it yielded."""
    try:
        async with asyncio.timeout(timeout_s):
            done = await work
    except TimeoutError:
        reason = f"no answer within {timeout_s:g} s"
        return _Fell(reason, retry_helps=True, outcome_known=False, timed_out=True), nothing
    except TargetError as error:
        return _Fell(str(error), retry_helps=error.retry_helps, outcome_known=error.outcome_known), nothing
    except StepFailed as error:
        return _Fell(str(error), retry_helps=error.retry_helps), nothing
    except CredentialError as error:
        return _Fell(str(error)), nothing
    except Exception as error:  # the border of foreign code: what a broken action did is not known
        log.exception("an action broke")
        return _Fell(f"the action broke: {_plain(error)}", outcome_known=False), nothing
    return None, done


def _disbelief(seen: Seen) -> _Fell | None:
    """Return the fall of an action whose declared effect was not observed."""
    if seen.holds is Holds.YES:
        return None
    if seen.holds is Holds.NO:
        return _Fell(f"it reported success, but its effect was not observed: {seen.evidence}")
    return _Fell(f"it reported success, but that cannot be confirmed: {seen.evidence}", outcome_known=False)


def _plain(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
    return f"{type(error).__name__}: {json.dumps(str(error))}"
