"""The words of a pause in the journal: begun, lifted before its end. See ``pause``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PauseBegun:
    """A person lets nothing start by itself for ``system`` (or ``all``) until ``expires_at``."""

    at: float
    system: str
    owner: str
    reason: str
    expires_at: float


@dataclass(frozen=True, slots=True)
class PauseLifted:
    """A person ended the pause before it expired."""

    at: float
    by: str


PauseEvent = PauseBegun | PauseLifted
