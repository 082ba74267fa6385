"""What the handlers of ``fold`` share: may it follow now, which step is meant, the run with one step changed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from dr.errors import IllegalEvent
from dr.journal.event import StepStarted
from dr.journal.run import Run, RunState, StepRecord, StepState


def require(run: Run, event: object, states: Iterable[RunState]) -> None:
    """See that the run is in one of ``states``. Raises IllegalEvent."""
    if run.state not in states:
        raise IllegalEvent(f"run {run.id} is {run.state}; {type(event).__name__} cannot follow")


def step_of(run: Run, event: Any, states: Iterable[StepState]) -> StepRecord:
    """Return the record that ``event`` is about, which must be in one of ``states``. Raises IllegalEvent."""
    record = run.steps.get(event.step)
    if record is None:
        raise IllegalEvent(f"run {run.id} has no step '{event.step}' ({type(event).__name__})")
    if record.state not in states:
        raise IllegalEvent(f"run {run.id}: step '{event.step}' is {record.state}; {type(event).__name__} cannot follow")
    attempt = getattr(event, "attempt", None)
    if attempt is not None and not isinstance(event, StepStarted) and attempt != record.attempt:
        raise IllegalEvent(f"run {run.id}: step '{event.step}' is at attempt {record.attempt}, not {attempt}")
    return record


def with_step(run: Run, record: StepRecord, **changes: Any) -> Run:
    """Return the run with that step changed."""
    steps: Mapping[str, StepRecord] = {**run.steps, record.plan.id: replace(record, **changes)}
    return replace(run, steps=MappingProxyType(dict(steps)))
