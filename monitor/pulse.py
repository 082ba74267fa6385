"""Which parts of the daemon still turn: each says so as it goes, and is missed when it does not.

What is watched is no part: a vCenter that hangs stops nobody's pulse. Not thread-safe: it belongs to the event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from monitor.clock import Clock

LAG_KEPT_S = 60.0


@dataclass(slots=True)
class _Part:
    sentence: str
    within_s: float
    beat_at: float


class Pulse:
    """Parts and when each was last seen to turn, by the monotonic clock."""

    def __init__(self, clock: Clock) -> None:
        """Begin with no part."""
        self._clock = clock
        self._parts: dict[str, _Part] = {}
        self._awaited: dict[str, asyncio.Event] = {}
        self._lags: deque[tuple[float, float]] = deque()

    def expect(self, part: str, sentence: str, within_s: float) -> None:
        """Expect ``part`` to beat every ``within_s`` seconds from now; ``sentence`` says what happens no more else."""
        self._parts[part] = _Part(sentence, within_s, self._clock.monotonic())

    def forget(self, part: str) -> None:
        """Expect nothing of ``part`` any more."""
        self._parts.pop(part, None)

    def beat(self, part: str) -> None:
        """Take note that ``part`` turns. Raises KeyError for one that is not expected."""
        self._parts[part].beat_at = self._clock.monotonic()
        if (awaited := self._awaited.pop(part, None)) is not None:
            awaited.set()

    async def next_beat(self, part: str) -> None:
        """Wait for the next beat of ``part``."""
        await self._awaited.setdefault(part, asyncio.Event()).wait()

    def silent_s(self) -> dict[str, float]:
        """Return for each part how many seconds it has been overdue; 0 for those that turn."""
        now = self._clock.monotonic()
        return {
            name: now - part.beat_at if now - part.beat_at > part.within_s else 0.0
            for name, part in self._parts.items()
        }

    def problems(self) -> list[str]:
        """Return a sentence for each part that does not turn."""
        silent = self.silent_s()
        return [f"{part.sentence} for {silent[name]:.0f} s" for name, part in self._parts.items() if silent[name]]

    def late(self, seconds: float) -> None:
        """Take note of how long the event loop kept something waiting that was due."""
        now = self._clock.monotonic()
        while self._lags and self._lags[0][0] < now - LAG_KEPT_S:
            self._lags.popleft()
        self._lags.append((now, max(0.0, seconds)))

    def worst_lag_s(self) -> float | None:
        """Return the longest such wait of the last minute; None before the first."""
        begin = self._clock.monotonic() - LAG_KEPT_S
        return max((lag for at, lag in self._lags if at >= begin), default=None)
