"""What people are to be told of runs under way, from the journal alone.

Questions that wait, runs that stand still until a person decides, and messages of playbooks. All stand as alarms of
the daemon's own, so they go where alarms go, and a daemon that was restarted tells them too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime

from dr.engine.transition import DAEMON, resolve
from dr.journal.run import Run, RunState, StepRecord, StepState

QUESTION = "question-waits"
STILL = "run-paused"
MESSAGE = "playbook-message"
TOLD = frozenset({QUESTION, STILL, MESSAGE})
MESSAGE_S = 900.0  # a message of a run's last step stands for so long

Told = Mapping[tuple[str, str], str]


def questions(run: Run) -> list[StepRecord]:
    """Return the steps whose question waits for an answer."""
    return [each for each in run.steps.values() if each.plan.asks and each.state is StepState.IN_PROGRESS]


def question(run: Run, record: StepRecord) -> str:
    """Return the question in words, what an earlier step yielded filled in."""
    try:
        return str(resolve(run, record).get("question", ""))
    except KeyError:
        return str(record.plan.args.get("question", ""))


def expires_at(record: StepRecord) -> float:
    """Return until when it can be answered (Unix seconds)."""
    return (record.started_at or 0.0) + record.plan.timeout_s


def told(runs: Iterable[Run], now: float) -> Told:
    """Return what is to be told now, by alarm name and subject."""
    found: dict[tuple[str, str], str] = {}
    for run in runs:
        if run.ended_at is not None and now - run.ended_at > MESSAGE_S:
            continue
        if said := "; ".join(_asked(run)):
            found[QUESTION, f"karaula/{run.id}"] = said
        if run.state is RunState.PAUSED and run.paused_by == DAEMON:  # who paused it by hand knows
            found[STILL, f"karaula/{run.id}"] = (
                f"the {run.plan.kind} of {run.system} stands still until a person decides: {run.pause_reason}. "
                f"What can be done: karaula run show {run.id}"
            )
        if said := "; ".join(_messages(run, now)):
            found[MESSAGE, f"karaula/{run.id}"] = said
    return found


def _asked(run: Run) -> Iterator[str]:
    for record in questions(run):
        choices = " or ".join(str(choice) for choice in record.plan.args.get("choices", ()))
        until = datetime.fromtimestamp(expires_at(record), UTC).strftime("%H:%M:%S UTC")
        yield (
            f"{question(run, record)} ({choices}, until {until}): "
            f"karaula run answer {run.id} ANSWER --step {record.plan.id}"
        )


def _messages(run: Run, now: float) -> Iterator[str]:
    for record in run.steps.values():
        if record.plan.action != "notify" or record.state is not StepState.SUCCEEDED:
            continue
        if not run.state.final or now - (record.ended_at or 0.0) <= MESSAGE_S:
            yield str(record.outputs.get("message", ""))
