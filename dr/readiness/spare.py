"""Is there room when hosts of a place are lost (n+1): what ran there and what is started must fit on the others. Pure.

Room that is enough in sum is not enough: a machine runs on one host. So each is given a host by first-fit decreasing,
the largest machine first, on the first host that has room, the fullest first. What fits so has a host for each machine
that can be named; what does not might fit otherwise, and is not counted on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

TRIED = 6  # of a large place, when several hosts may be lost together: so many of the largest, and of the fullest


@dataclass(frozen=True, slots=True)
class Room:
    """One host: what is ``free``, its ``whole`` memory, and each machine that runs there, in bytes.

    What it uses beyond its machines (its own, and machines that are not known) is one more of ``runs``.
    """

    host: str
    free: float
    whole: float
    runs: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Lack:
    """When ``hosts`` are lost a machine of ``bytes`` finds no host; the one with the most memory then has ``most``."""

    hosts: tuple[str, ...]
    bytes: float
    most: float


def homeless(machines: Sequence[float], rooms: Sequence[float]) -> float | None:
    """Return the first machine that finds no room by first-fit decreasing; None when each has one."""
    left = sorted(rooms)
    for memory in sorted(machines, reverse=True):
        place = next((number for number, room in enumerate(left) if room >= memory), None)
        if place is None:
            return memory
        left[place] -= memory
    return None


def lacking(started: Sequence[float], rooms: Sequence[Room], spare: int) -> Lack | None:
    """Return the first loss of ``spare`` hosts that the others cannot take; None when they can take each."""
    for lost in _losses(rooms, spare):
        others = [room.free for room in rooms if room not in lost]
        moved = [memory for room in lost for memory in room.runs]
        memory = homeless([*started, *moved], others)
        if memory is not None:
            return Lack(tuple(room.host for room in lost), memory, max(others, default=0.0))
    return None


def _losses(rooms: Sequence[Room], spare: int) -> Iterator[tuple[Room, ...]]:
    """Yield what may be lost together, the largest first."""
    largest = sorted(rooms, key=lambda room: room.whole, reverse=True)
    if spare > 1:
        fullest = sorted(rooms, key=lambda room: max(room.runs, default=0.0), reverse=True)[:TRIED]
        largest = [room for number, room in enumerate(largest) if number < TRIED or room in fullest]
    yield from combinations(largest, min(spare, len(largest)))
