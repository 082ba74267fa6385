"""Keeping anchors: the head of each chained record is signed when that has grown, and appended to every place named.

A place that cannot be reached is tried again at each tick, with the head of that moment, and is a sentence in
``problems`` meanwhile: the record goes on, only its proof at that place is late. Nothing is ever taken back there.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from dr.errors import StepFailed
from dr.estate import commands
from dr.evidence.anchor import private_key, sign
from dr.world import World
from monitor.chain import Head
from monitor.errors import CredentialError, TargetError
from monitor.inventory.evidence import FilePlace

SSH_LIMIT_S = 10.0


@dataclass(slots=True)
class Kept:
    """What one place has: over how many entries of each record its newest anchor is, and since when (Unix seconds).

    ``failing_since`` is monotonic. ``doubted`` says that it was last tried while the monitor was cut off, which says
    nothing of the place; ``told`` that people are to know of its error.
    """

    name: str
    counts: dict[str, int] = field(default_factory=dict)
    at: float | None = None
    error: str = ""
    failing_since: float | None = None
    doubted: bool = False
    told: bool = False

    @property
    def problem(self) -> str:
        """Return what is wrong, as a sentence; empty when nothing is."""
        return f"the record's signed head cannot be kept at '{self.name}': {self.error}" if self.error else ""


class Keeper:
    """Anchors the records of one daemon at the places of the inventory in ``world``; with none it does nothing."""

    def __init__(self, world: World, heads: Callable[[], Awaitable[Sequence[Head]]]) -> None:
        """``heads`` asks the journal and whatever else is chained; raises StateError."""
        self._heads = heads
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
        it is cut off is told already; nor before it would have been known. What was told before stays.
        """
        patience_s, now = self._world.inventory.polling.stale_after_s, self._world.clock.monotonic()
        for place in self._kept.values():
            distant = not isinstance(self._places[place.name], FilePlace)
            if isolated and distant:
                place.doubted = True
            early = distant and place.failing_since is not None and now - place.failing_since < patience_s
            if not place.doubted and (place.told or not early):
                place.told = bool(place.error)
        return [place.problem for place in self._kept.values() if place.told and place.error]

    async def tick(self) -> None:
        """Anchor where a record has grown. Raises StateError when one cannot be asked."""
        evidence, clock = self._world.inventory.evidence, self._world.clock
        if evidence is None or clock.monotonic() < self._next_at:
            return
        heads = await self._heads()
        due = {
            name: grown
            for name, place in self._kept.items()
            if (grown := [head for head in heads if place.counts.get(head.record) != head.count])
        }
        if not due:
            return
        self._next_at = clock.monotonic() + evidence.every_s
        try:
            key = private_key(self._world.credentials.secret(evidence.signing_key).reveal().encode())
        except CredentialError as error:
            for name in due:
                self._kept[name].error = str(error)
            return
        lines = {head.record: sign(head, clock.now(), key).line() + "\n" for head in heads}
        await asyncio.gather(*(self._keep(name, grown, lines) for name, grown in due.items()))

    async def _keep(self, name: str, grown: Sequence[Head], lines: Mapping[str, str]) -> None:
        place, kept = self._places[name], self._kept[name]
        text = "".join(lines[head.record] for head in grown)
        try:
            if isinstance(place, FilePlace):
                await asyncio.to_thread(_append, place.path, text)
            else:
                host = self._world.inventory.hosts[place.host]
                result = await self._world.ssh.run(host, place.command, timeout_s=SSH_LIMIT_S, stdin=text.encode())
                commands.checked(result, host, place.command)
        except (OSError, TargetError, CredentialError, StepFailed) as error:
            kept.error, kept.doubted = str(error), False
            if kept.failing_since is None:
                kept.failing_since = self._world.clock.monotonic()
            return
        kept.counts |= {head.record: head.count for head in grown}
        kept.at, kept.error, kept.doubted, kept.failing_since = self._world.clock.now(), "", False, None


def _append(path: str, lines: str) -> None:
    """Append whole lines and bring them to the disk; begin anew after a line that was cut short. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        size = os.fstat(descriptor).st_size
        whole = lines if not size or os.pread(descriptor, 1, size - 1) == b"\n" else f"\n{lines}"
        if os.write(descriptor, whole.encode()) != len(whole.encode()):
            raise OSError(f"{path} took a part of the lines only")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
