"""What the daemon does again and again: each tick by itself, so that one that breaks stops no other and is shown."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from monitor.errors import StateError
from monitor.pulse import Pulse

log = logging.getLogger(__name__)
LATE_S = 15.0


class Ticks:
    """Ticks by APScheduler; each is a part whose ``pulse`` is missed when it no longer turns."""

    def __init__(self, pulse: Pulse) -> None:
        self._pulse = pulse
        self._problems: dict[str, str] = {}
        self._ticker = AsyncIOScheduler(timezone="UTC")

    def add(self, part: str, name: str, tick: Callable[[], Awaitable[None]], every_s: float) -> None:
        """Call ``tick`` every ``every_s`` seconds; a tick that still runs is not begun again."""
        self._pulse.expect(part, f"nobody has looked after the {name}", every_s + LATE_S)
        self._ticker.add_job(
            self._ticked,
            "interval",
            args=(part, name, tick),
            seconds=every_s,
            max_instances=1,
            coalesce=True,
            misfire_grace_time=None,
        )

    def start(self) -> None:
        """Begin."""
        self._ticker.start()

    def stop(self) -> None:
        """End; what runs is left to end."""
        self._ticker.shutdown(wait=False)

    def problems(self) -> list[str]:
        """Return a sentence for each tick that went wrong last time."""
        return list(self._problems.values())

    async def _ticked(self, part: str, name: str, tick: Callable[[], Awaitable[None]]) -> None:
        """Tick; what goes wrong is shown until it goes right, and tried again at the next tick."""
        try:
            await tick()
        except asyncio.CancelledError:  # the daemon ends; APScheduler would log that as a defect, with a trace
            return
        except StateError as error:
            self._problems[name] = f"the {name} cannot be kept: {error}"
        except Exception as error:  # the border of a tick: a defect in one must not stop the others
            log.exception("the %s broke", name)
            self._problems[name] = f"the {name} broke: {type(error).__name__}: {error}"
        else:
            self._problems.pop(name, None)
        self._pulse.beat(part)
