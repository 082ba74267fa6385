"""The words of an override in the journal: asked for, confirmed by a second person, taken back. See ``override``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OverrideAsked:
    """A person wants ``rule`` put out of force for ``system`` until ``expires_at``; no run's, see ``override``."""

    at: float
    system: str
    rule: str
    by: str
    reason: str
    expires_at: float


@dataclass(frozen=True, slots=True)
class OverrideConfirmed:
    """A second person agrees to the override."""

    at: float
    by: str
    comment: str


@dataclass(frozen=True, slots=True)
class OverrideEnded:
    """A person takes the override back before it expires."""

    at: float
    by: str
    reason: str


OverrideEvent = OverrideAsked | OverrideConfirmed | OverrideEnded
