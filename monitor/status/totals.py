"""What became of every probe of a link since the daemon's start, as numbers that only grow. Pure.

Two of them make a rate whatever happens to single scrapes; how the round trips lay is in ``buckets``.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from monitor.probe import Observation

# Upper bounds in seconds, from a fibre within a city to a satellite; agreed round trips lie between them.
BOUNDS_S = (0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.08, 0.12, 0.2, 0.4, 0.8, 1.6)


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts of probes and replies; ``lost_forward`` and ``lost_backward`` out of ``judged``, whose way is known.

    ``buckets`` are round trips up to each of ``BOUNDS_S`` and above them, each on its own; ``rtt_sum_s`` their sum.
    ``ttl`` is that of the newest reply; ``path_changes`` how often it was another one than before.
    """

    sent: int = 0
    replies: int = 0
    late: int = 0
    duplicates: int = 0
    garbled: int = 0
    judged: int = 0
    lost_forward: int = 0
    lost_backward: int = 0
    path_changes: int = 0
    ttl: float | None = None
    rtt_sum_s: float = 0.0
    buckets: tuple[int, ...] = (0,) * (len(BOUNDS_S) + 1)

    @property
    def up_to(self) -> tuple[int, ...]:
        """Return how many round trips were at most each bound; the last is all of them."""
        return tuple(accumulate(self.buckets))


def added(totals: Totals, observation: Observation) -> Totals:
    """Take in what one burst showed, whatever its answer."""
    values = observation.values
    buckets = list(totals.buckets)
    for rtt_s in observation.samples:
        buckets[bisect_left(BOUNDS_S, rtt_s)] += 1
    ttl = values.get("reply_ttl", totals.ttl)
    return replace(
        totals,
        sent=totals.sent + _count(values, "probes_sent"),
        replies=totals.replies + _count(values, "replies"),
        late=totals.late + _count(values, "late"),
        duplicates=totals.duplicates + _count(values, "duplicates"),
        garbled=totals.garbled + _count(values, "garbled"),
        judged=totals.judged + _count(values, "judged_each_way"),
        lost_forward=totals.lost_forward + _count(values, "lost_forward"),
        lost_backward=totals.lost_backward + _count(values, "lost_backward"),
        path_changes=totals.path_changes + (totals.ttl is not None and ttl != totals.ttl),
        ttl=ttl,
        rtt_sum_s=totals.rtt_sum_s + sum(observation.samples),
        buckets=tuple(buckets),
    )


class LinkTotals:
    """The totals of every link that was ever observed. Not thread-safe: it belongs to the event loop."""

    def __init__(self) -> None:
        """Begin at nothing, as every counter does after a start."""
        self._totals: dict[str, Totals] = {}

    def observe(self, observation: Observation) -> None:
        """Take in an observation of any subject; only those of links count."""
        if observation.subject.startswith("link/") and "probes_sent" in observation.values:
            self._totals[observation.subject] = added(self._totals.get(observation.subject, Totals()), observation)

    def forget(self, subject: str) -> None:
        """Drop a link that is gone."""
        self._totals.pop(subject, None)

    def snapshot(self) -> Mapping[str, Totals]:
        """Return a copy by subject."""
        return dict(self._totals)


def _count(values: Mapping[str, float], name: str) -> int:
    return int(values.get(name, 0.0))
