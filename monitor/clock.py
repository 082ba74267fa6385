"""The only place that reads the time; everything else is handed a Clock or a number.

Wall time is Unix seconds (UTC) and goes into records. Monotonic time is for time-outs and intervals.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """What the rest of the program may know of time."""

    def now(self) -> float:
        """Return wall time in Unix seconds."""
        ...

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for ``seconds`` of monotonic time."""
        ...


class RealClock:
    """The machine's clock."""

    def now(self) -> float:
        """Return wall time in Unix seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Return the machine's monotonic clock in seconds."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait on the running event loop."""
        await asyncio.sleep(seconds)


class ManualClock:
    """A clock that moves only when told to: rehearsals and tests of everything that waits."""

    def __init__(self, now: float = 1_790_000_000.0) -> None:
        """Start at ``now`` (Unix seconds)."""
        self._now = now
        self._monotonic = 0.0

    def now(self) -> float:
        """Return the time it was set to."""
        return self._now

    def monotonic(self) -> float:
        """Return the seconds it was advanced by since it was made."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Move both times forward by ``seconds``."""
        self._now += seconds
        self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        """Move wall time alone, as an operator or NTP would."""
        self._now += seconds

    async def sleep(self, seconds: float) -> None:
        """Advance at once and let other tasks run."""
        self.advance(seconds)
        await asyncio.sleep(0)
