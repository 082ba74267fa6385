"""Keeping anchors: the journal's head is signed when it has grown, and appended to every place that has been named.

A place that cannot be reached is tried again at each tick, with the head of that moment, and is a sentence in
``problems`` meanwhile: the record goes on, only its proof at that place is late. Nothing is ever taken back there.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from dr.errors import StepFailed
from dr.estate import commands
from dr.evidence.anchor import private_key, sign
from dr.journal.sqlite import Head
from dr.world import World
from monitor.errors import CredentialError, TargetError
from monitor.inventory.evidence import FilePlace

SSH_LIMIT_S = 10.0


@dataclass(slots=True)
class Kept:
    """What one place has: over how many events its newest anchor is, and since when (Unix seconds) it stands there.

    ``doubted`` says that it was last tried while the monitor was cut off, which says nothing of the place; ``told``
    that people are to know of its error.
    """

    name: str
    count: int = -1
    at: float | None = None
    error: str = ""
    doubted: bool = False
    told: bool = False

    @property
    def problem(self) -> str:
        """Return what is wrong, as a sentence; empty when nothing is."""
        return f"the journal's signed head cannot be kept at '{self.name}': {self.error}" if self.error else ""


class Keeper:
    """Anchors one journal at the places of the inventory in ``world``; with none it does nothing."""

    def __init__(self, world: World, head: Callable[[], Awaitable[Head]]) -> None:
        """``head`` asks the journal; raises StateError."""
        self._head = head
        self._next_at = float("-inf")
        self.reload(world)

    def reload(self, world: World) -> None:
        """Go on with the places of another inventory; what is known of a place that stays is kept."""
        before = {place.name: place for place in getattr(self, "_kept", {}).values()}
        self._world = world
        evidence = world.inventory.evidence
        self._places = {} if evidence is None else dict(evidence.anchors)
        self._kept = {name: before.get(name, Kept(name)) for name in self._places}

    def kept(self) -> list[Kept]:
        """Return what each place has."""
        return list(self._kept.values())

    def problems(self) -> list[str]:
        """Return a sentence for each place that does not have what it should."""
        return [place.problem for place in self._kept.values() if place.error]

    def to_tell(self, *, isolated: bool) -> list[str]:
        """Return the problems that people are to be told of; asked at each tick.

        While the monitor is cut off, and until it has tried once more afterwards, no distant place has a new one: that
        it is cut off is told already. What was told before stays.
        """
        for place in self._kept.values():
            if isolated and not isinstance(self._places[place.name], FilePlace):
                place.doubted = True
            if not place.doubted:
                place.told = bool(place.error)
        return [place.problem for place in self._kept.values() if place.told and place.error]

    async def tick(self) -> None:
        """Anchor where the journal has grown. Raises StateError when the journal cannot be asked."""
        evidence, clock = self._world.inventory.evidence, self._world.clock
        if evidence is None or clock.monotonic() < self._next_at:
            return
        head = await self._head()
        due = [name for name, place in self._kept.items() if place.count != head.count]
        if not due:
            return
        self._next_at = clock.monotonic() + evidence.every_s
        try:
            key = private_key(self._world.credentials.secret(evidence.signing_key).reveal().encode())
        except CredentialError as error:
            for name in due:
                self._kept[name].error = str(error)
            return
        line = sign(head, clock.now(), key).line() + "\n"
        await asyncio.gather(*(self._keep(name, head.count, line) for name in due))

    async def _keep(self, name: str, count: int, line: str) -> None:
        place, kept = self._places[name], self._kept[name]
        try:
            if isinstance(place, FilePlace):
                await asyncio.to_thread(_append, place.path, line)
            else:
                host = self._world.inventory.hosts[place.host]
                result = await self._world.ssh.run(host, place.command, timeout_s=SSH_LIMIT_S, stdin=line.encode())
                commands.checked(result, host, place.command)
        except (OSError, TargetError, CredentialError, StepFailed) as error:
            kept.error, kept.doubted = str(error), False
            return
        kept.count, kept.at, kept.error, kept.doubted = count, self._world.clock.now(), "", False


def _append(path: str, line: str) -> None:
    """Append the line and bring it to the disk; begin anew after a line that was cut short. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        size = os.fstat(descriptor).st_size
        whole = line if not size or os.pread(descriptor, 1, size - 1) == b"\n" else f"\n{line}"
        if os.write(descriptor, whole.encode()) != len(whole.encode()):
            raise OSError(f"{path} took a part of the line only")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
