"""A pause: detection goes on, but nothing is started by itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

EVERYTHING = "all"
WARN_S = 900.0  # before its end, or the last quarter of a short one
QUARTER = 0.25


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing is started by itself for ``system`` (or ``all``) until ``expires_at``; detection goes on."""

    system: str
    owner: str
    reason: str
    since: float
    expires_at: float


def ending(pauses: Iterable[Pause], now: float) -> list[Pause]:
    """Return the pauses that end soon, with none behind them that covers the same: responses act again then."""
    last: dict[str, Pause] = {}
    for pause in pauses:
        if now < pause.expires_at and (pause.system not in last or pause.expires_at > last[pause.system].expires_at):
            last[pause.system] = pause
    whole = last.get(EVERYTHING)
    return [
        pause
        for system, pause in sorted(last.items())
        if pause.expires_at - now <= min(WARN_S, QUARTER * (pause.expires_at - pause.since))
        and (whole is None or system == EVERYTHING or whole.expires_at < pause.expires_at)
    ]
