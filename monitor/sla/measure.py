"""Loss and delay of the links, summed up by quarter hours. Pure.

A quarter hour is the smallest piece in which a time zone's months can begin, and few enough rows to keep for years.
What an observation said is added to its link's open quarter; a quarter that is over is handed out once and never
changed. After a restart the rest of the quarter becomes a second row of the same quarter: the two are added up.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from monitor.probe import Answer
from monitor.sla.period import MINUTE_US, us
from monitor.status.state import Health

if TYPE_CHECKING:
    from collections.abc import Sequence

    from monitor.probe import Observation

QUARTER_US = 15 * MINUTE_US
BOUNDS_MS = (1, 2, 5, 10, 15, 20, 30, 40, 60, 80, 120, 200, 400, 1000)  # and one more for what is slower
WRITTEN_AFTER_US = MINUTE_US  # its end: what was asked before it has answered by then


def next_written_us(until_us: int) -> int:
    """Return when the quarter hour will be written that is the next one to be, ``until_us`` being recorded."""
    return ((until_us - WRITTEN_AFTER_US) // QUARTER_US + 1) * QUARTER_US + WRITTEN_AFTER_US


@dataclass(frozen=True, slots=True)
class Quarter:
    """What one chain of the watch measured of one link in one quarter hour.

    ``sent`` and ``lost`` are probes while the link was not down, ``sent_down`` those while it was. Round trips are in
    whole microseconds: the sum over all answered probes, the smallest and the greatest. ``counts`` are polls by their
    mean round trip: up to each of ``BOUNDS_MS``, and above.
    """

    subject: str
    index: int
    chain: int
    sent: int
    lost: int
    sent_down: int
    rtt_sum_us: int
    rtt_min_us: int
    rtt_max_us: int
    counts: tuple[int, ...]


@dataclass(slots=True)
class _Open:
    sent: int = 0
    lost: int = 0
    sent_down: int = 0
    rtt_sum_us: int = 0
    rtt_min_us: int = 0
    rtt_max_us: int = 0
    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_MS) + 1))


class Quarters:
    """The quarter hours that are not over."""

    def __init__(self) -> None:
        """Begin with none."""
        self._open: dict[tuple[str, int], _Open] = {}

    def add(self, observation: Observation, health: Health) -> None:
        """Add what was measured of a link that was in state ``health``; without probes, or a loss, nothing."""
        values = observation.values
        sent = round(values.get("probes_sent", 0.0))
        loss = values.get("loss_ratio")  # none: this machine dropped packets, and what the link did is not known
        if sent <= 0 or loss is None or observation.answer is Answer.UNKNOWN:
            return
        one = self._open.setdefault((observation.subject, us(observation.at) // QUARTER_US), _Open())
        if health is Health.DOWN:
            one.sent_down += sent
            return
        answered = min(sent, max(0, round(sent * (1.0 - loss))))
        one.sent += sent
        one.lost += sent - answered
        mean_s = values.get("rtt_seconds")
        if mean_s is None or not answered:
            return
        least, most = us(values.get("rtt_min_seconds", mean_s)), us(values.get("rtt_max_seconds", mean_s))
        first = not any(one.counts)
        one.rtt_sum_us += us(mean_s) * answered
        one.rtt_min_us = least if first else min(one.rtt_min_us, least)
        one.rtt_max_us = max(one.rtt_max_us, most)
        one.counts[bisect.bisect_left(BOUNDS_MS, mean_s * 1000)] += 1

    def over(self, now_us: int | None, chain: int) -> list[Quarter]:
        """Hand out what has been over for a minute at ``now_us`` (None: all there is), as measured by ``chain``."""
        found = []
        for subject, index in sorted(self._open):
            if now_us is not None and now_us < (index + 1) * QUARTER_US + WRITTEN_AFTER_US:
                continue
            one = self._open.pop((subject, index))
            found.append(
                Quarter(
                    subject,
                    index,
                    chain,
                    one.sent,
                    one.lost,
                    one.sent_down,
                    one.rtt_sum_us,
                    one.rtt_min_us,
                    one.rtt_max_us,
                    tuple(one.counts),
                )
            )
        return found


@dataclass(frozen=True, slots=True)
class Sums:
    """The sums of many quarters of one link."""

    sent: int = 0
    lost: int = 0
    sent_down: int = 0
    rtt_sum_us: int = 0
    rtt_min_us: int = 0
    rtt_max_us: int = 0
    counts: tuple[int, ...] = (0,) * (len(BOUNDS_MS) + 1)

    @property
    def answered(self) -> int:
        """Probes that were answered."""
        return self.sent - self.lost

    @property
    def loss_percent(self) -> float | None:
        """The lost part of the probes; None when none was sent."""
        return 100 * self.lost / self.sent if self.sent else None

    @property
    def rtt_ms(self) -> float | None:
        """The mean round trip; None when nothing was answered."""
        return self.rtt_sum_us / self.answered / 1000 if self.answered > 0 else None

    def rtt_at_most_ms(self, share: float) -> int | None:
        """Return the bound (of ``BOUNDS_MS``) below which at least ``share`` of the polls lie; None beyond all."""
        total = sum(self.counts)
        reached = 0
        for bound, count in zip(BOUNDS_MS, self.counts, strict=False):
            reached += count
            if total and reached >= share * total:
                return bound
        return None


def added(parts: Sequence[Sums]) -> Sums:
    """Return the sum of ``parts``."""
    least = [part.rtt_min_us for part in parts if part.answered > 0]
    return Sums(
        sent=sum(part.sent for part in parts),
        lost=sum(part.lost for part in parts),
        sent_down=sum(part.sent_down for part in parts),
        rtt_sum_us=sum(part.rtt_sum_us for part in parts),
        rtt_min_us=min(least, default=0),
        rtt_max_us=max((part.rtt_max_us for part in parts), default=0),
        counts=tuple(sum(column) for column in zip(*(part.counts for part in parts), strict=True))
        if parts
        else Sums().counts,
    )
