"""A run as a picture: which step was at work when, and how the recovery time divides. Geometry only; pure.

``report`` makes the lanes, ``report.html`` and ``pdf`` draw them, each in its own way from the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from dr.evidence.collect import Measure

Tone = Literal["good", "warn", "bad", "soft"]
TONES: dict[str, Tone] = {
    "succeeded": "good",
    "succeeded (seen by a probe)": "good",
    "failed": "bad",
    "timed out": "bad",
    "did not happen": "warn",
    "unknown": "warn",
}
PARTS = ("detection", "decision", "machine", "paused")
TICKS = 6


@dataclass(frozen=True, slots=True)
class Bar:
    """From when to when (Unix seconds) something lasted, and how it went."""

    begin: float
    end: float
    tone: Tone
    label: str


@dataclass(frozen=True, slots=True)
class Lane:
    """One line of the picture."""

    name: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """Lanes between two moments; ``ticks`` are seconds after ``begin`` that an axis shows."""

    begin: float
    end: float
    lanes: tuple[Lane, ...]
    ticks: tuple[float, ...]

    def share(self, at: float) -> float:
        """Return where a moment lies between begin (0) and end (1)."""
        return min(max((at - self.begin) / (self.end - self.begin), 0.0), 1.0)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the recovery time: ``share`` of the whole."""

    title: str
    seconds: float
    share: float


class Attempted(Protocol):
    """An attempt, or an undo, as the report shows it."""

    @property
    def name(self) -> str:
        """What it is, and its place from 1."""
        ...

    @property
    def started_at(self) -> float:
        """When it began, in Unix seconds."""
        ...

    @property
    def ended_at(self) -> float | None:
        """When it was over; None while it is under way."""
        ...

    @property
    def result(self) -> str:
        """What became of it, a key of ``TONES`` or another word."""
        ...


def picture(steps: Sequence[tuple[str, Sequence[Attempted]]], until: float) -> Picture | None:
    """Return the picture of the steps that were begun; what is still under way lasts until ``until``.

    None when nothing was begun.
    """
    lanes = tuple(
        Lane(
            name,
            tuple(
                Bar(
                    one.started_at,
                    max(until if one.ended_at is None else one.ended_at, one.started_at),
                    TONES.get(one.result, "soft"),
                    f"{one.name}: {one.result}",
                )
                for one in attempts
            ),
        )
        for name, attempts in steps
    )
    return framed(lanes)


def framed(lanes: Sequence[Lane]) -> Picture | None:
    """Return the picture of those lanes in which something happened; None when there is none."""
    bars = [bar for lane in lanes for bar in lane.bars]
    if not bars:
        return None
    begin, end = min(bar.begin for bar in bars), max(bar.end for bar in bars)
    if end <= begin:  # all in one moment, or a clock that stood still
        end = begin + 1.0
    return Picture(begin, end, tuple(lane for lane in lanes if lane.bars), ticks(end - begin))


def ticks(length_s: float) -> tuple[float, ...]:
    """Return round seconds from 0 that divide ``length_s`` into at most ``TICKS`` parts."""
    least = length_s / TICKS
    power = 10.0 ** math.floor(math.log10(least))
    rounds = [power * one for one in (1, 2, 5, 10)] + [60.0 * one for one in (1, 2, 5, 10, 30)] + [3600.0, 7200.0]
    every = min((one for one in rounds if one >= least), default=3600.0 * math.ceil(least / 3600.0))
    return tuple(every * n for n in range(int(length_s / every + 1e-9) + 1))


def parts(measured: Sequence[Measure]) -> tuple[Part, ...]:
    """Return how detection, people and machine divide the time, as far as they were measured."""
    known = {
        one.name: (one.title, one.value)
        for one in measured
        if one.name in PARTS and one.value is not None and one.value > 0
    }
    whole = sum(value for _, value in known.values())
    if len(known) < 2:  # noqa: PLR2004 - one part alone divides nothing
        return ()
    return tuple(Part(*known[name], known[name][1] / whole) for name in PARTS if name in known)
