"""Whether something changes to and fro so often that single changes say little: damping as of RFC 2439.

Each change adds one to a penalty that halves every ``half_life_s``. At ``high`` the subject flaps; below ``low`` it has
settled. The penalty never exceeds ``MOST_LOWS`` times ``low``: whatever happened, two half-lives without a change
are enough to settle. What a change is, is the caller's business: a flip of a status, another link that carries a
crossing's traffic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_LOWS = 4  # two half-lives: log2(4)
NOTHING = 0.01  # what is left of a penalty that may be forgotten
SLACK = 1e-9  # two half-lives after the last change are two half-lives, whatever floating point makes of them


@dataclass(frozen=True, slots=True)
class Marks:
    """When something is said to flap, and when to have settled: ``0 < low < high <= MOST_LOWS * low``."""

    half_life_s: float
    high: float
    low: float

    @property
    def settles_within_s(self) -> float:
        """How long after its last change anything has settled at the latest, in seconds."""
        return self.half_life_s * math.log2(MOST_LOWS)


@dataclass(frozen=True, slots=True)
class Swings:
    """How much something changed of late.

    ``penalty`` is what it was at ``at`` (Unix seconds, the last change); ``flapping_since`` is None while it does not
    flap.
    """

    penalty: float = 0.0
    at: float = 0.0
    flapping_since: float | None = None

    @property
    def flapping(self) -> bool:
        """Whether it flaps."""
        return self.flapping_since is not None


STEADY = Swings()


def penalty(swings: Swings, now: float, marks: Marks) -> float:
    """Return what is left of the penalty at ``now``; a clock that was set back lets nothing grow."""
    return swings.penalty * math.exp2(-max(0.0, now - swings.at) / marks.half_life_s)


def changed(swings: Swings, at: float, marks: Marks) -> Swings:
    """Take in one change at ``at`` (Unix seconds)."""
    grown = min(penalty(swings, at, marks) + 1.0, MOST_LOWS * marks.low)
    since = swings.flapping_since
    if since is None and grown >= marks.high - SLACK:
        since = at
    return Swings(grown, at, since)


def passed(swings: Swings, now: float, marks: Marks) -> Swings:
    """Let time pass: return ``swings``, settled when so little of the penalty is left.

    A clock that was set back by more than any flapping lasts settles it as well: nobody knows how old it is.
    """
    if swings.flapping_since is None:
        return swings
    if penalty(swings, now, marks) <= marks.low + SLACK or swings.at - now > marks.settles_within_s:
        return replace(swings, flapping_since=None)
    return swings


def remembered(times: Iterable[float], now: float, marks: Marks) -> Swings:
    """Return the swings after changes at ``times`` (Unix seconds, ascending), as they stand at ``now``."""
    swings = STEADY
    for at in times:
        swings = changed(passed(swings, at, marks), at, marks)
    return passed(swings, now, marks)
