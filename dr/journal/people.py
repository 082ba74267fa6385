"""Words of the journal for what people say in the middle of a run, beside their decisions about trouble in it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UndoAsked:
    """A person ends the run and wants taken back what was done and can be taken back."""

    at: float
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class QuestionAnswered:
    """A person (or ``karaula``, when nobody answered in time) answered the question that a step asks."""

    at: float
    step: str
    attempt: int
    by: str
    answer: str
    comment: str
