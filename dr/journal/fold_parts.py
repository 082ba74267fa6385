"""What the handlers of ``fold`` share: may it follow now, which step is meant, the run with one step changed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from operator import attrgetter
from types import MappingProxyType
from typing import Any, TypeVar, cast

from dr.errors import IllegalEvent
from dr.journal.event import StepStarted
from dr.journal.run import Run, RunState, StepRecord, StepState

T = TypeVar("T", Run, StepRecord)
_NAMES = {kind: tuple(field.name for field in fields(kind)) for kind in (Run, StepRecord)}
_PLACES = {kind: {name: place for place, name in enumerate(names)} for kind, names in _NAMES.items()}
_VALUES = {kind: attrgetter(*names) for kind, names in _NAMES.items()}


def changed(instance: T, **changes: Any) -> T:
    """Return ``instance`` with these fields changed: ``dataclasses.replace`` in half its time.

    A journal is folded event by event at each start, and that is most of what its fold does.
    """
    kind = type(instance)
    values = list(_VALUES[kind](instance))
    places = _PLACES[kind]
    for name, value in changes.items():
        values[places[name]] = value
    return kind(*values)


def after(run: Run, **changes: Any) -> Run:
    """Return the run one event later, with these fields changed."""
    return changed(run, seq=run.seq + 1, **changes)


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


def steps_with(run: Run, record: StepRecord) -> Mapping[str, StepRecord]:
    """Return the run's steps, one of them as ``record`` has it."""
    steps = cast("MappingProxyType[str, StepRecord]", run.steps)  # whose | copies at once, not key by key
    return MappingProxyType(steps | {record.plan.id: record})


def with_step(run: Run, record: StepRecord, **changes: Any) -> Run:
    """Return the run one event later, with that step changed."""
    return after(run, steps=steps_with(run, changed(record, **changes)))
