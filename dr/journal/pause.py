"""A pause: detection goes on, but nothing is started by itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing is started by itself for ``system`` (or ``all``) until ``expires_at``; detection goes on."""

    system: str
    owner: str
    reason: str
    since: float
    expires_at: float
