"""The shapes of findings in the API's answers, as far as the terminal shows them."""

from __future__ import annotations

from typing import TypedDict


class Finding(TypedDict):
    """A finding with what became of it; times in Unix seconds."""

    number: str
    severity: str
    system: str
    what: str
    entered_at: float
    entered_by: str
    runs: list[str]
    state: str
    over: bool
    overdue: bool
    owner: str
    due_at: float | None
    action: str
    done_by: str
    done_at: float | None
    evidence: str
    over_by: str
    over_at: float | None
    comment: str


class FindingMoment(TypedDict):
    """A moment in a finding's life; Unix seconds."""

    at: float
    text: str


class FindingDetail(Finding):
    """A finding with all that became of it, in its order."""

    history: list[FindingMoment]
