"""A pause: detection goes on, but nothing is started by itself.

It is journaled in the same chain as the runs, as a story of its own (``pause/3``), and is the fold of its events.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from dr.errors import IllegalEvent
from dr.journal.pausing import PauseBegun, PauseLifted

PREFIX = "pause/"
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
    lifted_at: float | None = None
    lifted_by: str = ""

    def in_force(self, now: float) -> bool:
        """Tell whether it holds back what would start by itself."""
        return self.lifted_at is None and now < self.expires_at


def fold_pause(story_id: str, events: Iterable[object]) -> Pause:
    """Return the pause of a whole story. Raises IllegalEvent for what cannot have been written."""
    found: Pause | None = None
    for event in events:
        match event:
            case PauseBegun(at, system, owner, reason, expires_at) if found is None:
                found = Pause(system, owner, reason, at, expires_at)
            case PauseLifted(at, by) if found is not None and found.lifted_at is None:
                found = replace(found, lifted_at=at, lifted_by=by)
            case _:
                raise IllegalEvent(f"{story_id}: {type(event).__name__} cannot follow")
    if found is None:
        raise IllegalEvent(f"{story_id} has no events")
    return found


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
