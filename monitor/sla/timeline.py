"""What a link was at each moment of a period, from flips and from when the watch itself was running. Pure.

Invariants: the spans of a timeline follow one another without gap or overlap and fill their period exactly, to the
microsecond; a moment at which nobody watched is UNKNOWN, whatever was true before and after it.

Wall time is no good order: it may be set back or forward. So the watch's work is cut into *chains*: stretches in which
wall time ran as the machine's own did. A flip belongs to the chain in which it was recorded (by its number, not by its
time). Time that two chains claim, because the clock was set back between them, was lived twice and is counted once: it
is UNKNOWN unless both say the same.
"""

from __future__ import annotations

from bisect import bisect_right as _above
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from monitor.status.state import Health

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from monitor.sla.period import Period

NOT_WATCHED = "the watch was not running"
NOT_SEEN_YET = "not measured yet since the watch began"
CONTRADICTION = "the clock was set back: two records of this time differ"
WHY_BEGUN = {
    "start": NOT_WATCHED,
    "clock": "the clock was set",
    "stall": "the watch was standing still",
    "reload": NOT_WATCHED,
    "lost": "records of this time were lost",
}


@dataclass(frozen=True, slots=True)
class Chain:
    """A stretch in which the watch ran without a break.

    ``why`` says why it began (a key of ``WHY_BEGUN``). Its flips have numbers above ``first_flip`` up to ``last_flip``.
    """

    number: int
    start_us: int
    end_us: int
    first_flip: int
    last_flip: int
    why: str = "start"


@dataclass(frozen=True, slots=True)
class Seen:
    """The moment in a chain from which a link's state was known, and what it was."""

    at_us: int
    health: Health
    reason: str = ""


@dataclass(frozen=True, slots=True)
class NumberedFlip:
    """A flip with the number under which history keeps it."""

    number: int
    health: Health
    at_us: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of one state."""

    start_us: int
    end_us: int
    health: Health
    reason: str = ""

    @property
    def length_us(self) -> int:
        """Its length in microseconds."""
        return self.end_us - self.start_us


def timeline(
    chains: Sequence[Chain],
    seen: Mapping[int, Seen],
    flips: Sequence[NumberedFlip],
    period: Period,
) -> list[Span]:
    """Return what a link was over ``period``.

    ``chains`` come in the order in which they were lived, ``seen`` is by their numbers, ``flips`` are the link's in the
    order of theirs, beginning with the last one before the period.
    """
    numbers = [flip.number for flip in flips]
    lived = [
        _of_chain(
            chain, seen.get(chain.number), flips[_above(numbers, chain.first_flip) : _above(numbers, chain.last_flip)]
        )
        for chain in chains
        if chain.end_us > chain.start_us
    ]
    return merged(_filled(_overlaid(lived), _gaps(chains), period))


def _of_chain(chain: Chain, seen: Seen | None, flips: Sequence[NumberedFlip]) -> list[Span]:
    """Return the spans of one chain; they fill it exactly."""
    points = [(chain.start_us, Health.UNKNOWN, NOT_SEEN_YET)]
    if seen is not None:
        at_us = min(max(seen.at_us, chain.start_us), chain.end_us)
        points.append((at_us, seen.health, seen.reason))
        for flip in flips:
            if flip.at_us > seen.at_us:
                at_us = min(max(flip.at_us, at_us), chain.end_us)
                points.append((at_us, flip.health, flip.reason))
    ends = [*(point[0] for point in points[1:]), chain.end_us]
    return [
        Span(start, end, health, reason)
        for (start, health, reason), end in zip(points, ends, strict=True)
        if start < end
    ]


def _overlaid(lived: Sequence[Sequence[Span]]) -> list[Span]:
    """Return one list in order of time, without overlap; where two chains differ nothing is known."""
    spans: list[Span] = []
    for chain in lived:
        if not spans or chain[0].start_us >= spans[-1].end_us:
            spans.extend(chain)  # the normal case: time went forward
        else:
            spans = _laid_over(spans, chain)
    return spans


def _laid_over(old: Sequence[Span], new: Sequence[Span]) -> list[Span]:
    edges = sorted({edge for span in (*old, *new) for edge in (span.start_us, span.end_us)})
    found: list[Span] = []
    first, second = iter(old), iter(new)
    here, there = next(first, None), next(second, None)
    for start, end in pairwise(edges):
        while here is not None and here.end_us <= start:
            here = next(first, None)
        while there is not None and there.end_us <= start:
            there = next(second, None)
        claims = [span for span in (here, there) if span is not None and span.start_us <= start]
        if claims:
            agreed = all(span.health is claims[0].health for span in claims)
            health, reason = (claims[-1].health, claims[-1].reason) if agreed else (Health.UNKNOWN, CONTRADICTION)
            found.append(Span(start, end, health, reason))
    return found


def _gaps(chains: Sequence[Chain]) -> dict[int, str]:
    """Return why each chain did not begin where the one before it ended, by its start."""
    return {chain.start_us: WHY_BEGUN.get(chain.why, NOT_WATCHED) for chain in chains}


def _filled(spans: Iterable[Span], reasons: Mapping[int, str], period: Period) -> list[Span]:
    """Return ``spans`` cut to ``period``, with what nobody watched filled in."""
    found: list[Span] = []
    at = period.start_us
    for span in spans:
        start, end = max(span.start_us, period.start_us), min(span.end_us, period.end_us)
        if start >= end:
            if span.start_us >= period.end_us and at < period.end_us:
                found.append(Span(at, period.end_us, Health.UNKNOWN, reasons.get(span.start_us, NOT_WATCHED)))
                at = period.end_us
            continue
        if start > at:
            found.append(Span(at, start, Health.UNKNOWN, reasons.get(span.start_us, NOT_WATCHED)))
        found.append(replace(span, start_us=start, end_us=end))
        at = end
    if at < period.end_us:
        found.append(Span(at, period.end_us, Health.UNKNOWN, NOT_WATCHED))
    return found


def merged(spans: Iterable[Span]) -> list[Span]:
    """Return ``spans`` with neighbours of the same state joined.

    Down times of different reasons stay one outage (the first reason is kept); unknown ones stay apart.
    """
    found: list[Span] = []
    for span in spans:
        last = found[-1] if found else None
        same = last is not None and last.health is span.health and last.end_us == span.start_us
        if last is not None and same and (span.health is not Health.UNKNOWN or last.reason == span.reason):
            found[-1] = replace(last, end_us=span.end_us, reason=last.reason or span.reason)
        else:
            found.append(span)
    return found
