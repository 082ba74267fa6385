"""How long the machine will need for a run, from past runs of the same playbook: along the critical path, P50 and P90.

The time of people is left out: between the attempts of a step nothing is counted. Of fewer than ``ENOUGH`` past runs
nothing is predicted ("insufficient data"): a figure of three runs would be read as a promise.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from dr.journal.event import Event, StepFailed, StepProbed, StepStarted, StepSucceeded
from dr.journal.run import Run, RunState
from dr.playbook.model import Plan, PlannedStep

ENOUGH = 5
NEWEST = 50
WELL = frozenset({RunState.SUCCEEDED, RunState.SUCCEEDED_WITH_WARNINGS})
_TENTH = 9  # of the nine cuts into ten equal parts, the last is P90


@dataclass(frozen=True, slots=True)
class Forecast:
    """What past runs say. ``p50_s`` and ``p90_s`` (seconds of machine time) are None when ``n`` is below ``ENOUGH``.

    ``critical`` are the steps that decide the time, in order, at each step's median.
    """

    n: int
    p50_s: float | None = None
    p90_s: float | None = None
    critical: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Course:
    """How long each step of one past run took, in seconds; a step that was left out took none."""

    shape: tuple[object, ...]
    ended_at: float
    took_s: Mapping[str, float]


class Source(Protocol):
    """Where past runs are (dr.engine.orchestrator.Orchestrator)."""

    def runs(self) -> list[Run]:
        """Return every run."""
        ...

    def events(self, run_id: str) -> list[Event]:
        """Return the run's journal."""
        ...


class Past:
    """The courses of past runs that ended well, each worked out once: a run that is over does not change."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._courses: dict[str, Course] = {}

    def forecast(self, plan: Plan, before: float | None = None) -> Forecast:
        """Return what the newest runs of the same shape say of ``plan``; ``before``: only what had ended by then."""
        for run in self._source.runs():
            if run.state in WELL and run.ended_at is not None and run.id not in self._courses:
                self._courses[run.id] = Course(shape(run.plan), run.ended_at, _took(self._source.events(run.id)))
        mine = shape(plan)
        alike = sorted(
            (one for one in self._courses.values() if one.shape == mine and (before is None or one.ended_at < before)),
            key=lambda one: one.ended_at,
        )[-NEWEST:]
        if len(alike) < ENOUGH:
            return Forecast(len(alike))
        totals = [longest(plan.steps, one.took_s)[0] for one in alike]
        tenths = statistics.quantiles(totals, n=10, method="inclusive")
        usual = {step.id: statistics.median(one.took_s.get(step.id, 0.0) for one in alike) for step in plan.steps}
        return Forecast(len(alike), statistics.median(totals), tenths[_TENTH - 1], longest(plan.steps, usual)[1])


def shape(plan: Plan) -> tuple[object, ...]:
    """Return what two plans must share for one to say something about the time of the other."""
    steps = tuple((step.id, step.action, step.site, step.needs, step.final) for step in plan.steps)
    return (plan.playbook, plan.kind, plan.system, plan.from_site, plan.to_site, steps)


def longest(steps: Sequence[PlannedStep], took_s: Mapping[str, float]) -> tuple[float, tuple[str, ...]]:
    """Return the seconds of the critical path and its steps; clean-up begins when all else is over."""
    seconds = 0.0
    path: tuple[str, ...] = ()
    for final in (False, True):
        best = _longest([step for step in steps if step.final is final], took_s)
        seconds, path = seconds + best[0], (*path, *best[1])
    return seconds, path


def _longest(steps: Sequence[PlannedStep], took_s: Mapping[str, float]) -> tuple[float, tuple[str, ...]]:
    ends: dict[str, tuple[float, tuple[str, ...]]] = {}
    waiting = {step.id: step for step in steps}
    while waiting:
        ready = [step for step in waiting.values() if not any(need in waiting for need in step.needs)]
        for step in ready:
            before = max((ends[need] for need in step.needs if need in ends), default=(0.0, ()))
            ends[step.id] = (before[0] + took_s.get(step.id, 0.0), (*before[1], step.id))
            del waiting[step.id]
    return max(ends.values(), default=(0.0, ()))


def _took(events: Sequence[Event]) -> dict[str, float]:
    """Return the seconds that each step's attempts took; one of unknown outcome lasts until the world was asked."""
    took: dict[str, float] = {}
    begun: dict[str, float] = {}
    for event in events:
        if isinstance(event, StepStarted):
            begun[event.step] = event.at
        elif isinstance(event, (StepSucceeded, StepFailed, StepProbed)) and event.step in begun:
            took[event.step] = took.get(event.step, 0.0) + max(event.at - begun.pop(event.step), 0.0)
    return took
