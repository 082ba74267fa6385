"""``decide(run, now)``: what happens next. Pure, total, and the only place that decides it.

The runner carries out what is returned and journals what came of it; then ``decide`` is asked again. Calling it
twice on the same run gives the same answer, so a daemon that died is continued by asking once more.

What must never happen, whatever fails: a step that changes production starts before what it needs has passed; an
UNKNOWN step is run again before the world was asked; a promotion starts without a proven fence (``gate``); anything
is undone beneath a promotion, or by the machine alone beneath what may still stand (``undoing``); a run ends as
succeeded with a step that failed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dr.engine import undoing
from dr.guard import Ruling, Verdict
from dr.guards.safety import NAME as SAFETY
from dr.journal.event import (
    ApprovalAsked,
    CancelAsked,
    Denied,
    Event,
    GuardRuled,
    Paused,
    Recovered,
    RunEnded,
    RunStarted,
    Scalar,
    StepFailed,
    StepIgnored,
    StepProbed,
    StepSkipped,
    StepSucceeded,
)
from dr.journal.people import QuestionAnswered
from dr.journal.run import Run, RunState, StepRecord, StepState
from dr.playbook.model import PlannedStep

DAEMON = "karaula"
TROUBLED = frozenset({StepState.FAILED, StepState.TIMED_OUT, StepState.UNKNOWN})
STEP_REFERENCE = re.compile(r"\$\{steps\.([a-z][a-z0-9-]*)\.([a-z][a-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class Record:
    """Write this event; nothing else is done."""

    event: Event


@dataclass(frozen=True, slots=True)
class Admit:
    """Ask the run's guards, then write what ``admit`` makes of their verdicts."""


@dataclass(frozen=True, slots=True)
class Perform:
    """Write the intent, then run the step's action."""

    step: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Probe:
    """Ask the world whether the effect of an UNKNOWN step holds."""

    step: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Undo:
    """Write the intent, then take the step's effect back."""

    step: str


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Nothing to do before ``at`` (Unix seconds)."""

    at: float


Intent = Record | Admit | Perform | Probe | Undo | WakeAt


def decide(run: Run, now: float) -> tuple[Intent, ...]:
    """Return the next intents; empty when only a person or a step under way can move the run."""
    match run.state:
        case RunState.ACCEPTED:
            return (Admit(),)
        case RunState.WAITING:
            return _waiting(run, now)
        case RunState.INTERRUPTED:
            return (Record(Recovered(now)),)
        case RunState.PAUSED:
            return (*_questions(run, now), *_probes(run, now))
        case RunState.IN_PROGRESS | RunState.CANCELING:
            return _moving(run, now)
    return ()


def admit(run: Run, verdicts: Sequence[Verdict], token: int, now: float, approval_s: float) -> tuple[Event, ...]:
    """Return the events that a run's verdicts lead to: refused, waiting for an approval, or started."""
    notes = tuple(_note(verdict, "", now) for verdict in verdicts)
    for verdict in verdicts:
        if verdict.ruling is Ruling.REFUSE:
            reason = f"refused by guard '{verdict.guard}': {verdict.sentence}"
            return (*notes, RunEnded(now, RunState.CANCELED.value, reason))
    if any(verdict.ruling is Ruling.WAIT for verdict in verdicts):
        until = now + approval_s if run.approval_expires_at is None else run.approval_expires_at
        return (*notes, ApprovalAsked(now, until, run.plan_hash))
    return (*notes, RunStarted(now, token))


def gate(run: Run, verdicts: Sequence[Verdict], step: str, now: float) -> tuple[Event, ...]:
    """Return the events that a step's verdicts lead to: their notes, and unless all allow a pause.

    A run that is being canceled cannot pause; there the step is left out. One that nobody attends does not wait for a
    rule of the inventory to hold again, for it would keep its system from a failover meanwhile: it is canceled, and
    cleans up. (What cleans up is kept from beginning only by a rule that names it: then a person is asked.)
    """
    notes: list[Event] = [_note(verdict, step, now) for verdict in verdicts]
    blocked = [verdict for verdict in verdicts if verdict.ruling is not Ruling.ALLOW]
    if blocked:
        why = "; ".join(f"guard '{verdict.guard}': {verdict.sentence}" for verdict in blocked)
        rules = all(verdict.guard == SAFETY for verdict in blocked)
        if run.state is RunState.IN_PROGRESS:
            attended = run.plan.attended or run.steps[step].plan.final or not rules
            kept = f"step '{step}' may not begin: {why}"
            notes.append(Paused(now, DAEMON, kept) if attended else CancelAsked(now, DAEMON, kept))
        else:
            notes.append(StepSkipped(now, step, f"it may not begin: {why}"))
    return tuple(notes)


def resolve(run: Run, record: StepRecord) -> dict[str, Any]:
    """Return the step's arguments with earlier outputs filled in. Raises KeyError where one is missing."""

    def fill(value: Any) -> Any:
        if isinstance(value, str):
            whole = STEP_REFERENCE.fullmatch(value)
            if whole:
                return _output(run, whole)
            return STEP_REFERENCE.sub(lambda match: str(_output(run, match)), value)
        if isinstance(value, Mapping):
            return {key: fill(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [fill(item) for item in value]
        return value

    return {key: fill(value) for key, value in record.plan.args.items()}


def _output(run: Run, reference: re.Match[str]) -> Any:
    record = run.steps.get(reference[1])
    if record is None or reference[2] not in record.outputs:
        raise KeyError(f"steps.{reference[1]}.{reference[2]}")
    return record.outputs[reference[2]]


def uses(step: PlannedStep, other: str) -> bool:
    """Tell whether ``step`` refers to an output of step ``other``."""
    return any(match[1] == other for match in STEP_REFERENCE.finditer(_text_of(step.args)))


def _text_of(value: Any) -> str:
    if isinstance(value, Mapping):
        return "\n".join(_text_of(item) for item in value.values())
    if isinstance(value, (list, tuple)):
        return "\n".join(_text_of(item) for item in value)
    return value if isinstance(value, str) else ""


def _note(verdict: Verdict, step: str, now: float) -> GuardRuled:
    return GuardRuled(now, verdict.guard, verdict.ruling.value, verdict.reason, verdict.sentence, step)


def _waiting(run: Run, now: float) -> tuple[Intent, ...]:
    expires = run.approval_expires_at or now
    if now >= expires:
        return (Record(Denied(now, DAEMON, _unanswered(run))),)
    return (WakeAt(expires),)


def _unanswered(run: Run) -> str:
    what = "accepted the loss" if run.approved_by else "approved"
    return f"nobody {what} in time; a time-out is a refusal"


def _moving(run: Run, now: float) -> tuple[Intent, ...]:
    """Decide for a run whose steps may begin (or, canceling, whose final steps may)."""
    questions = tuple(_questions(run, now))
    settled = tuple(each for each in questions if isinstance(each, Record))
    return settled or (*_moving_on(run, now), *questions)


def _moving_on(run: Run, now: float) -> tuple[Intent, ...]:
    main = [run.steps[step.id] for step in run.plan.steps if not step.final]
    broken: list[StepRecord] = []
    if any(record.state in TROUBLED for record in run.steps.values()):  # seldom, and a run may have a thousand steps
        probes = tuple(_probes(run, now))
        ignored = tuple(_continue_past_failures(run, now))
        if probes or ignored:
            return (*probes, *ignored)
        broken = [record for record in main if record.state.failed or record.stuck]
    if run.state is RunState.IN_PROGRESS and broken and run.plan.attended and not undoing.wanted(run):
        under_way = any(_busy(record) and not record.plan.asks for record in main)  # a question waits in a pause, too
        return () if under_way else (Record(Paused(now, DAEMON, _what_broke(broken))),)
    if broken or run.undo_begun or run.state is RunState.CANCELING:
        return _wind_down(run, main, now)
    starts = tuple(_starts(run, main, now))
    if starts or any(not record.over for record in main):
        return starts
    return _finish(run, now)


def _busy(record: StepRecord) -> bool:
    return record.state is StepState.IN_PROGRESS or record.undoing


def _probes(run: Run, now: float) -> Iterator[Intent]:
    for record in run.steps.values():
        if record.state is not StepState.UNKNOWN or record.cannot_tell:
            continue
        if record.plan.reads_only:
            evidence = "the step only reads; nothing can have happened twice"
            yield Record(StepProbed(now, record.plan.id, record.attempt, "no", evidence, {}))
        else:
            yield Probe(record.plan.id, record.attempt)


def _questions(run: Run, now: float) -> Iterator[Intent]:
    """Yield what becomes of questions: answered ones settle, overdue ones get the declared default or are refused."""
    for record in run.steps.values():
        if record.state is not StepState.IN_PROGRESS or not record.plan.asks:
            continue
        step, attempt, args = record.plan.id, record.attempt, record.plan.args
        due = (now if record.started_at is None else record.started_at) + record.plan.timeout_s
        if record.answered_by and record.answer in args.get("go_on", ()):
            outputs: dict[str, Scalar] = {"answer": record.answer, "answered_by": record.answered_by}
            said = f"{record.answered_by} answered '{record.answer}'"
            yield Record(StepSucceeded(now, step, attempt, outputs, said, ""))
        elif record.answered_by:
            yield Record(_refusal(record, f"{record.answered_by} answered '{record.answer}'", now))
        elif run.state is RunState.CANCELING and not record.plan.final:
            yield Record(_refusal(record, "the run was canceled before anybody answered", now))
        elif now < due:
            yield WakeAt(due)
        elif args.get("on_timeout"):
            why = "nobody answered in time; the playbook says so then"
            yield Record(QuestionAnswered(now, step, attempt, DAEMON, str(args["on_timeout"]), why))
        else:
            why = f"nobody answered within {record.plan.timeout_s:g} s; a time-out is a refusal"
            yield Record(_refusal(record, why, now, timed_out=True))


def _refusal(record: StepRecord, why: str, now: float, *, timed_out: bool = False) -> StepFailed:
    return StepFailed(now, record.plan.id, record.attempt, why, timed_out, retry_helps=False, output_sha256="")


def _continue_past_failures(run: Run, now: float) -> Iterator[Intent]:
    for record in run.steps.values():
        if (record.state.failed or record.stuck) and record.plan.on_failure == "continue":
            yield Record(StepIgnored(now, record.plan.id, DAEMON, "the playbook says on_failure: continue"))


def _what_broke(broken: Sequence[StepRecord]) -> str:
    first = broken[0]
    if first.stuck:
        return (
            f"step '{first.plan.id}': it cannot be told whether it happened ({first.reason}; {first.evidence}); "
            "look, then: retry (it did not happen) or ignore (it did)"
        )
    return f"step '{first.plan.id}' failed: {first.reason}"


def _starts(run: Run, records: Sequence[StepRecord], now: float) -> Iterator[Intent]:
    """Yield what may begin among ``records``, and skips for what never can."""
    steps = run.steps
    for record in records:
        if record.state is not StepState.QUEUED or any(not steps[need].over for need in record.plan.needs):
            continue
        needs = [steps[need] for need in record.plan.needs]
        if not record.plan.final and not all(need.state.passed for need in needs):
            yield Record(StepSkipped(now, record.plan.id, "a step it needs did not pass"))
        elif _missing(run, record):
            yield Record(StepSkipped(now, record.plan.id, _missing(run, record)))
        elif (wait_until := _retry_at(record, now)) is not None:
            yield WakeAt(wait_until)
        else:
            yield Perform(record.plan.id, record.attempt + 1)


def _retry_at(record: StepRecord, now: float) -> float | None:
    """Return when an automatic retry is due, None: now. A clock that was set back must not stretch the wait."""
    if not record.attempt or record.ended_at is None or now < record.ended_at:
        return None
    due = record.ended_at + record.plan.retry_wait_s
    return due if now < due else None


def _missing(run: Run, record: StepRecord) -> str:
    """Say which earlier output the step refers to is not there; empty when all are."""
    try:
        resolve(run, record)
    except KeyError as error:
        return f"it refers to an output that is not there: {error.args[0]}"
    return ""


def _wind_down(run: Run, main: Sequence[StepRecord], now: float) -> tuple[Intent, ...]:
    """Skip what has not begun, let end what runs, undo where asked, then go to the final steps."""
    queued = [record for record in main if record.state is StepState.QUEUED]
    if queued:
        why = run.cancel_reason or "an earlier step failed"
        return tuple(Record(StepSkipped(now, record.plan.id, why)) for record in queued)
    if any(_busy(record) or not record.over for record in main):
        return ()
    if undoing.wanted(run) and not run.finishing:
        if (last := undoing.next_of(run)) is not None:
            return (Undo(last.plan.id),)
        if why := undoing.asks(run):
            return (Record(Paused(now, DAEMON, why)),)
    return _finish(run, now)


def _finish(run: Run, now: float) -> tuple[Intent, ...]:
    """Run the final steps, then end the run."""
    final = [run.steps[step.id] for step in run.plan.steps if step.final]
    if run.started_at is None:
        skips = tuple(
            Record(StepSkipped(now, record.plan.id, "nothing had begun"))
            for record in final
            if record.state is StepState.QUEUED
        )
        return skips or (_end(run, now),)
    starts = tuple(_starts(run, final, now))
    if starts:
        return starts
    if any(not record.over for record in final):
        return ()
    return (_end(run, now),)


def _end(run: Run, now: float) -> Record:
    records = list(run.steps.values())
    bad = [record for record in records if record.state.failed or record.stuck or record.state is StepState.UNDO_FAILED]
    dropped = [record for record in records if record.state in {StepState.SKIPPED, StepState.UNDONE}]
    if bad:
        return Record(RunEnded(now, RunState.FAILED.value, _why_failed(run, bad)))
    if run.cancel_by:
        what = "undone" if run.undo_asked else "canceled"
        return Record(RunEnded(now, RunState.CANCELED.value, f"{what} by {run.cancel_by}: {run.cancel_reason}"))
    if any(record.state is StepState.UNDONE for record in dropped):
        return Record(RunEnded(now, RunState.FAILED.value, "what was done was taken back"))
    if dropped:
        return Record(RunEnded(now, RunState.FAILED.value, f"step '{dropped[0].plan.id}' was left out"))
    ignored = [record for record in records if record.state is StepState.FAILED_IGNORED]
    if ignored:
        said = "passed over: " + "; ".join(f"{record.plan.id} ({record.why})" for record in ignored)
        return Record(RunEnded(now, RunState.SUCCEEDED_WITH_WARNINGS.value, said))
    return Record(RunEnded(now, RunState.SUCCEEDED.value, ""))


def _why_failed(run: Run, bad: Sequence[StepRecord]) -> str:
    parts = []
    for record in bad:
        if record.state is StepState.UNDO_FAILED:
            parts.append(
                f"step '{record.plan.id}' could not be undone, a person is needed: {record.reason.rstrip('.')}"
            )
        elif record.stuck:
            parts.append(f"step '{record.plan.id}': it cannot be told whether it happened: {record.evidence}")
        else:
            parts.append(f"step '{record.plan.id}' failed: {record.reason.rstrip('.')}")
    if left := undoing.left_in_place(run):
        parts.append(f"what that was built upon is left in place: {', '.join(left)}")
    return "; ".join(parts)
