"""A course in words that a person can follow, as numbered sentences."""

from __future__ import annotations

from collections.abc import Sequence

from dr.journal.event import (
    Denied,
    Event,
    Paused,
    Recovered,
    RunEnded,
    StepFailed,
    StepIgnored,
    StepProbed,
    StepSkipped,
    StepSucceeded,
)
from dr.journal.people import QuestionAnswered


def told(event: Event) -> str:  # noqa: C901 - a table: one case for each word
    """Return what the engine writes down by itself, as a sentence."""
    match event:
        case RunEnded(state=state, reason=reason):
            said = f"the run ends as {state}" + (f": {reason}" if reason else "")
        case Paused(reason=reason):
            said = f"the run pauses and asks for a person: {reason}"
        case StepSkipped(step=step, reason=reason):
            said = f"step '{step}' is left out: {reason}"
        case StepIgnored(step=step, reason=reason):
            said = f"step '{step}' is passed over: {reason}"
        case StepProbed(step=step, evidence=evidence):
            said = f"step '{step}' may be run again: {evidence}"
        case QuestionAnswered(step=step, by=by, answer=answer):
            said = f"'{answer}' is taken as the answer to '{step}' ({by})"
        case StepSucceeded(step=step, evidence=evidence):
            said = f"step '{step}' succeeds: {evidence}"
        case StepFailed(step=step, reason=reason):
            said = f"step '{step}' fails: {reason}"
        case Denied(reason=reason):
            said = f"the run is refused: {reason}"
        case Recovered():
            said = "the run goes on under the orchestrator that was started again"
        case _:
            said = type(event).__name__
    return said


def numbered(course: Sequence[str]) -> list[str]:
    """Return the course as lines, numbered so that people can speak of them."""
    width = len(str(len(course)))
    return [f"{number:>{width}}. {words}" for number, words in enumerate(course, 1)]
