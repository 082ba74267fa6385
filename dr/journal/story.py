"""One run's part of the journal, as far as it can be read; and what a row tells that cannot.

Pure. What the events come to is ``fold``'s.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dr.errors import IllegalEvent
from dr.journal.event import Event, RunAccepted, decode


def gleaned(body: bytes) -> Mapping[str, Any]:
    """Return the fields of a row, whatever became of it; none where it is no JSON object."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def token_in(data: Mapping[str, Any]) -> int:
    """Return the fencing token among a row's fields; 0 where there is none."""
    token = data.get("token")
    return token if type(token) is int else 0


class Story:
    """What the journal holds of one run: its events, up to the first that cannot be read; ``damage`` then says why.

    ``system`` and ``token`` (the highest) are gleaned from rows that cannot be read as well, as far as they tell.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.events: list[Event] = []
        self.damage = ""
        self._gleaned: list[Mapping[str, Any]] = []

    def add(self, seq: int, word: str, body: bytes) -> None:
        """Take the next row."""
        if not self.damage and seq != len(self.events):
            self.damage = f"event number {len(self.events)} is missing"
        if not self.damage:
            try:
                self.events.append(decode(word, body.decode()))
            except (IllegalEvent, UnicodeDecodeError) as error:
                self.damage = f"event number {seq} cannot be read: {error}"
        if self.damage:
            self._gleaned.append(gleaned(body))

    @property
    def token(self) -> int:
        """Return the highest fencing token; 0 where there is none."""
        told = (getattr(event, "token", 0) for event in self.events)
        return max((0, *told, *map(token_in, self._gleaned)))

    @property
    def system(self) -> str:
        """Return the key of the run's system; empty where it cannot be told."""
        plans = [event.plan for event in self.events if isinstance(event, RunAccepted)]
        plans += [plan for data in self._gleaned if isinstance(plan := data.get("plan"), dict)]
        told = [plan["system"] for plan in plans if isinstance(plan.get("system"), str)]
        return told[-1] if told else ""
