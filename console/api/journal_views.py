"""The shapes of a run's journal and of what its steps printed that the HTTP API answers with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from console.api.views import View
from dr.journal.event import Event, encode
from dr.journal.sqlite import StepOutput


class EventView(View):
    """One journal entry."""

    seq: int
    word: str
    at: float
    body: dict[str, Any]


class OutputView(View):
    """What one attempt of a step printed; an ``attempt`` below nought is an undo of the step."""

    step: str
    attempt: int
    text: str
    sha256: str


def event_views(events: Iterable[Event]) -> list[EventView]:
    """Return a journal, numbered."""
    views = []
    for seq, event in enumerate(events):
        body = {name: getattr(event, name) for name in type(event).__dataclass_fields__ if name != "at"}
        views.append(EventView(seq=seq, word=encode(event)[0], at=event.at, body=body))
    return views


def output_view(output: StepOutput) -> OutputView:
    """Return the view of a step's output."""
    return OutputView(step=output.step, attempt=output.attempt, text=output.text, sha256=output.sha256)
