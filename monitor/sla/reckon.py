"""How much of a period a link, a crossing or an operator was available, and whether that is what was agreed. Pure.

Every moment of the period is of exactly one kind. Agreed maintenance is taken out whole; an accepted excuse takes out
what was lost in its time, and nothing else; what nobody knows stays apart.

    availability = available / (period - planned - excused - unknown)

Beside it stand the bounds: all that is unknown counted as down (at worst), and as available (at best). Shares are
fractions of whole microseconds; they are compared exactly and shown rounded down, so that 99.949999 % is never shown as
the 99.95 % that was agreed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from monitor.status.state import Health

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from monitor.sla.measure import Sums
    from monitor.sla.terms import Agreement
    from monitor.sla.timeline import Span

SHOWN_DIGITS = 4
WindowKind = Literal["maintenance", "excused"]


class Kind(StrEnum):
    """What a moment counts as."""

    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"
    UNKNOWN = "unknown"
    PLANNED = "planned"
    EXCUSED = "excused"


@dataclass(frozen=True, slots=True)
class Window:
    """A time that somebody has taken out: agreed maintenance, or an accepted excuse; ``by`` is who said so."""

    subject: str
    start_us: int
    end_us: int
    kind: WindowKind
    reason: str
    by: str


@dataclass(frozen=True, slots=True)
class Interval:
    """A stretch of one kind; ``health`` is what was measured in it, ``window`` what it was taken out by."""

    start_us: int
    end_us: int
    kind: Kind
    health: Health
    reason: str = ""
    window: Window | None = None

    @property
    def length_us(self) -> int:
        """Its length in microseconds."""
        return self.end_us - self.start_us


@dataclass(frozen=True, slots=True)
class Times:
    """Microseconds of each kind; their sum is the period."""

    up: int = 0
    degraded: int = 0
    down: int = 0
    unknown: int = 0
    planned: int = 0
    excused: int = 0

    @property
    def total(self) -> int:
        """The whole period."""
        return self.up + self.degraded + self.down + self.unknown + self.planned + self.excused


@dataclass(frozen=True, slots=True)
class Availability:
    """The available part of what counts, 0 to 1, and its bounds; None where nothing counts."""

    share: Fraction | None
    at_worst: Fraction | None
    at_best: Fraction | None
    lost_us: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """One agreed figure against what was measured.

    ``met`` is None when nothing was measured. ``certain`` says that the unknown time could not change it.
    """

    what: Literal["availability", "loss", "round-trip"]
    agreed: float
    measured: float | None
    met: bool | None
    certain: bool


def intervals(spans: Iterable[Span], windows: Sequence[Window], *, degraded_is_down: bool) -> list[Interval]:
    """Return what each moment of ``spans`` counts as; the same moments, none more and none less."""
    lost = {Health.DOWN, Health.DEGRADED} if degraded_is_down else {Health.DOWN}
    planned = [window for window in windows if window.kind == "maintenance"]
    excused = [window for window in windows if window.kind == "excused"]
    edges = sorted({edge for window in windows for edge in (window.start_us, window.end_us)})
    found: list[Interval] = []
    for span in spans:
        cuts = [span.start_us, *(edge for edge in edges if span.start_us < edge < span.end_us), span.end_us]
        for start, end in pairwise(cuts):
            window = _covering(planned, start)
            kind = Kind.PLANNED
            if window is None:
                window = _covering(excused, start) if span.health in lost else None
                kind = Kind.EXCUSED if window is not None else Kind(_KINDS[span.health])
            found.append(Interval(start, end, kind, span.health, span.reason, window))
    return found


_KINDS = {
    Health.OK: Kind.UP,
    Health.DEGRADED: Kind.DEGRADED,
    Health.DOWN: Kind.DOWN,
    Health.UNKNOWN: Kind.UNKNOWN,
}


def _covering(windows: Iterable[Window], at_us: int) -> Window | None:
    return next((window for window in windows if window.start_us <= at_us < window.end_us), None)


def crossing_intervals(first: Sequence[Interval], second: Sequence[Interval]) -> list[Interval]:
    """Return what the moments of a crossing count as, whose two links' ``first`` and ``second`` fill one period.

    It is available while one link carries traffic. Time without both is planned only where both were under agreed
    maintenance; an operator's excuse does not open a border, so nothing of a crossing is excused.
    """
    found: list[Interval] = []
    here, there = 0, 0
    while here < len(first) and there < len(second):
        one, other = first[here], second[there]
        start, end = max(one.start_us, other.start_us), min(one.end_us, other.end_us)
        kind, health, reason = _of_both(one, other)
        last = found[-1] if found else None
        if last is not None and last.kind is kind and last.health is health:
            found[-1] = Interval(last.start_us, end, kind, health, last.reason)
        else:
            found.append(Interval(start, end, kind, health, reason))
        here += one.end_us == end
        there += other.end_us == end
    return found


def _of_both(one: Interval, other: Interval) -> tuple[Kind, Health, str]:
    healths = {one.health, other.health}
    if Health.OK in healths:
        return Kind.UP, Health.OK, ""
    if Health.DEGRADED in healths:
        return Kind.DEGRADED, Health.DEGRADED, ""
    health = Health.UNKNOWN if Health.UNKNOWN in healths else Health.DOWN
    if one.kind is Kind.PLANNED and other.kind is Kind.PLANNED:
        return Kind.PLANNED, health, one.reason
    reasons = dict.fromkeys(reason for reason in (one.reason, other.reason) if reason)
    return _KINDS[health], health, "; ".join(reasons)


def times(parts: Iterable[Interval]) -> Times:
    """Return the sum of each kind."""
    sums = dict.fromkeys(Kind, 0)
    for part in parts:
        sums[part.kind] += part.length_us
    return Times(**{kind.value: length for kind, length in sums.items()})


def summed(parts: Iterable[Times]) -> Times:
    """Return the sums of ``parts``, kind by kind."""
    every = list(parts)
    return Times(**{kind.value: sum(getattr(part, kind.value) for part in every) for kind in Kind})


def availability(of: Times, *, degraded_is_down: bool) -> Availability:
    """Return the available share and its bounds."""
    lost = of.down + (of.degraded if degraded_is_down else 0)
    available = of.up + (0 if degraded_is_down else of.degraded)
    return share(available, lost, of.unknown)


def share(available: int, lost: int, unknown: int) -> Availability:
    """Return ``available`` of ``available + lost``, with ``unknown`` on either side for the bounds."""
    known, whole = available + lost, available + lost + unknown
    return Availability(
        share=Fraction(available, known) if known else None,
        at_worst=Fraction(available, whole) if whole else None,
        at_best=Fraction(available + unknown, whole) if whole else None,
        lost_us=lost,
    )


def percent(part: Fraction | None) -> float | None:
    """Return a share in percent, rounded down to four digits."""
    return None if part is None else float(part * 100 * 10**SHOWN_DIGITS // 1) / 10**SHOWN_DIGITS


def verdicts(found: Availability, measured: Sums, agreed: Agreement) -> tuple[Verdict, ...]:
    """Hold what was measured against what was agreed."""
    wanted = Fraction(str(agreed.availability_percent)) / 100
    met = None if found.share is None else found.share >= wanted
    certain = met is not None and found.at_worst is not None and found.at_best is not None
    if certain and found.at_worst is not None and found.at_best is not None:
        certain = found.at_worst >= wanted if met else found.at_best < wanted
    loss, delay = measured.loss_percent, measured.rtt_ms
    return (
        Verdict("availability", agreed.availability_percent, percent(found.share), met, certain),
        Verdict("loss", agreed.loss_percent, loss, None if loss is None else loss <= agreed.loss_percent, certain=True),
        Verdict("round-trip", agreed.rtt_ms, delay, None if delay is None else delay <= agreed.rtt_ms, certain=True),
    )


def budget_us(length_us: int, of: Times, lost_us: int, availability_percent: float) -> int:
    """Return how much more may be lost in a month of ``length_us`` until the agreed availability is missed.

    Negative once it is missed. What is still to come counts as available, and so does what is unknown.
    """
    allowed = (1 - Fraction(str(availability_percent)) / 100) * (length_us - of.planned - of.excused)
    return int(allowed // 1) - lost_us
