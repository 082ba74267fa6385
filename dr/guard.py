"""What a guard is asked and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from dr.engine.facts import Facts
    from dr.journal.fold import Run


class Ruling(StrEnum):
    """The three answers."""

    ALLOW = "allow"
    REFUSE = "refuse"
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A guard's answer with its named reason: a stable word (``other-run-active``) and a sentence."""

    guard: str
    ruling: Ruling
    reason: str
    sentence: str


class Guard(Protocol):
    """A pure function of the run, the facts around it and the time."""

    def __call__(self, run: Run, facts: Facts, now: float) -> Verdict:
        """Judge; reads no clock and asks nobody."""
        ...
