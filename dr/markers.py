"""Markers: a heartbeat that is committed in each system's primary, and the newest one that was acknowledged to us.

What of them is at the standby when it takes over tells how much time is lost, also where no system keeps receipts. They
are kept in the state folder: the daemon may have been started anew between the last one and the disaster. Nothing hangs
on one that fails; that a database does not answer is the watch's to tell.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from dr.errors import StepFailed
from dr.estate import database
from dr.estate.waiting import together
from dr.world import Marker, World
from monitor.errors import CredentialError, TargetError
from monitor.status.board import Sighting

log = logging.getLogger(__name__)
LIMIT_S = 5.0
FILE = "markers.json"


class Markers:
    """Writes them where the kind of database has a command for it; ``newest`` answers at once."""

    def __init__(self, state: Path, world: Callable[[], World], primary: Callable[[str], Sighting | None]) -> None:
        """``primary(system)`` is where the database was last seen as primary."""
        self._file = file = state / FILE
        self._world, self._primary = world, primary
        self._next_at: dict[str, float] = {}
        self._failing: set[str] = set()
        self._newest = _kept(file)

    def newest(self, system: str) -> Marker | None:
        """Return the newest acknowledged marker of the system; None when there never was one."""
        return self._newest.get(system)

    async def tick(self) -> None:
        """Write those that are due."""
        world = self._world()
        now = world.clock.monotonic()
        due = []
        for key, system in world.inventory.systems.items():
            seen = self._primary(key)
            if seen is None or seen.site not in system.sites or system.database.commands.mark is None:
                continue
            if now >= self._next_at.get(key, now):
                self._next_at[key] = now + system.database.marker_s
                due.append(self._mark(world, key, seen.site))
        if any(await together(*due)):
            await asyncio.to_thread(_keep, self._file, dict(self._newest))

    async def _mark(self, world: World, system: str, site: str) -> bool:
        try:
            self._newest[system] = await database.mark(world, system, site, LIMIT_S)
        except (TargetError, StepFailed, CredentialError) as error:
            if system not in self._failing:
                log.warning("no marker in the database of %s at %s: %s", system, site, error)
            self._failing.add(system)
            return False
        self._failing.discard(system)
        return True


def _kept(file: Path) -> dict[str, Marker]:
    """Read what is kept; what cannot be read is said, and the next markers replace it."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return {str(key): Marker(int(one["marker"]), float(one["at"])) for key, one in found.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        log.warning("%s cannot be read (%s); markers begin anew", file, type(error).__name__)
        return {}


def _keep(file: Path, newest: dict[str, Marker]) -> None:
    """Replace the file; a full disk is said, and stops nothing."""
    fresh = file.with_suffix(".new")
    try:
        fresh.write_text(json.dumps({key: asdict(one) for key, one in newest.items()}), encoding="utf-8")
        fresh.replace(file)
    except OSError as error:
        log.warning("%s cannot be written: %s", file, error.strerror)
