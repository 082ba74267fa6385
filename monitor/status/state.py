"""Status of a subject and the flip between two of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Health(StrEnum):
    """The four states of everything that is watched; UNKNOWN is never shown as OK."""

    OK = "ok"
    DEGRADED = "degraded"
    DOWN = "down"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Status:
    """What is held true of a subject.

    ``since`` is when this health began, ``seen_at`` when it was last confirmed by an observation (None: never);
    both Unix seconds. ``detail`` is a finer word where a subject has one (a crossing: ``on-backup``).
    """

    subject: str
    health: Health
    reason: str
    since: float
    seen_at: float | None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Flip:
    """A change of health (or of detail), saved once; alarms, SLA and history share it."""

    subject: str
    old: Health
    new: Health
    reason: str
    at: float
    detail: str = ""
