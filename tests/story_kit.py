"""A running watch over a scripted estate on a clock that the test moves: what it says, and what it tells people."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from watch_kit import TimelineClock, World, live

from monitor.alarms.patience import hold_s
from monitor.errors import Unreachable
from monitor.notify import Notifier
from monitor.watch import Watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from monitor.history import Event
    from monitor.inventory.model import Inventory
    from monitor.status.alarm import Alarm


class Post:
    """A channel that keeps what it is given, and when."""

    name = "post"

    def __init__(self, clock: TimelineClock) -> None:
        self.clock = clock
        self.broken = False
        self.told: list[tuple[str, Event]] = []
        self.times: list[float] = []

    async def send(self, alarm: Alarm, event: Event, reference: str) -> str:
        if self.broken:
            raise Unreachable("the road is closed")
        self.told.append((alarm.key, event))
        self.times.append(self.clock.monotonic())
        return reference or alarm.id

    async def close(self) -> None:
        """Nothing is kept."""


class Story:
    """A watch with its world, clock, and what it told."""

    def __init__(
        self, folder: Path, inventory: Inventory, world: World | None = None, post: Post | None = None
    ) -> None:
        self.clock = world.clock if world else TimelineClock()
        self.world = world or World(inventory, self.clock)
        self.post = post or Post(self.clock)
        self.heard: list[Alarm] = []
        notifier = Notifier([self.post], self.clock, hold_s(inventory.polling))
        self.watch = Watch(inventory, self.world.targets, self.world.probes, folder, self.clock, notifier)
        self.watch._poller._jitter = lambda: 0.0
        self.watch.subscribe(self.heard.append)

    async def live(self, seconds: float, step_s: float = 1.0) -> None:
        """Let time pass."""
        await live(self.watch, self.clock, seconds, step_s)

    async def until(self, holds: object, within_s: float) -> float:
        """Live until ``holds()``; return how many seconds that took."""
        begin = self.clock.monotonic()
        while not holds():  # type: ignore[operator]  # a function
            assert self.clock.monotonic() - begin < within_s, f"not within {within_s:g} s"
            await self.live(0.25, 0.25)
        return self.clock.monotonic() - begin

    def health(self, subject: str) -> str:
        status = self.watch.status(subject)
        assert status is not None, subject
        return f"{status.health} {status.detail}".strip()

    def standing(self) -> dict[str, str]:
        """Return the standing alarms with what keeps each from being told."""
        return {alarm.key: alarm.cause or alarm.downtime for alarm in self.watch.alarms()}

    def samples(self, metric: str) -> dict[tuple[str, ...], float]:
        return {
            labels: value
            for family in self.watch.snapshot()
            if family.metric.name == metric
            for labels, value in family.samples
        }

    def alone(self) -> set[str]:
        return {key for key, kept in self.standing().items() if not kept}


@contextlib.asynccontextmanager
async def story(
    folder: Path, inventory: Inventory, world: World | None = None, post: Post | None = None
) -> AsyncIterator[Story]:
    made = Story(folder, inventory, world, post)
    await made.watch.start()
    try:
        yield made
    finally:
        stopping = asyncio.create_task(made.watch.stop())
        while not stopping.done():
            await made.clock.advance(0)
            await asyncio.sleep(0.005)
        await stopping
