"""Counters of one source of observations: a kind of probe."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SourceStats:
    """What became of the asks of one kind of probe since the daemon's start.

    Times are Unix seconds, None before the first. ``failures`` are asks that were not answered with OK, ``skipped``
    those not made because the previous one still ran; ``duration_s`` is how long the newest whole round took.
    """

    source: str
    targets: int = 0
    attempts: int = 0
    failures: int = 0
    skipped: int = 0
    errors: int = 0
    last_attempt_at: float | None = None
    last_success_at: float | None = None
    duration_s: float | None = None
