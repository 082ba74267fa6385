"""What a few probes to one far end showed: round trips, loss, loss each way, late and doubled replies. Pure arithmetic.

Which way a probe was lost is told by the far end's own numbering (RFC 8762, 4.3: a stateful reflector counts the
packets that it sends): a number of ours that moved it on by nothing was lost on the way there, one that did and did not
come back was lost on the way back.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Lost:
    """Of ``probes`` probes, how many were lost on the way there and how many replies on the way back."""

    probes: int
    forward: int
    backward: int


@dataclass(frozen=True, slots=True)
class Burst:
    """What a few probes to one far end showed.

    ``rtts_s`` are the round-trip times without the far end's own, in sending order; ``forward_s`` and ``backward_s``
    the smallest one-way times, None unless both clocks allow it. ``late`` are replies that came since the burst before
    to probes whose time was over then: they were no loss after all. ``lost`` is loss each way, from the newest reply
    before this burst to its newest, None where the far end does not number its replies. ``unread`` is set when this
    machine threw packets away: what is missing then proves nothing. ``error`` says why nothing could be sent.
    """

    sent: int
    duplicates: int
    garbled: int
    rtts_s: tuple[float, ...]
    forward_s: float | None = None
    backward_s: float | None = None
    ttl: int | None = None
    error: str = ""
    late: int = 0
    lost: Lost | None = None
    unread: bool = False

    @property
    def loss_ratio(self) -> float:
        """Return the part of what was sent that did not come back in time, 0 to 1."""
        return 1 - len(self.rtts_s) / self.sent if self.sent else 1.0

    @property
    def jitter_s(self) -> float | None:
        """Return the mean difference of neighbouring round-trip times (compare RFC 3393), None below two."""
        steps = [abs(later - earlier) for earlier, later in pairwise(self.rtts_s)]
        return sum(steps) / len(steps) if steps else None

    @property
    def missing(self) -> int:
        """Return how many probes were not answered in time."""
        return self.sent - len(self.rtts_s)

    @property
    def trouble(self) -> str:
        """Say why nothing came back; empty when something did."""
        if self.rtts_s:
            return ""
        if self.error and not self.sent:
            return self.error
        if self.garbled:
            return f"{self.garbled} garbled replies and no good one"
        late = f" in time, {self.late} came late" if self.late else ""
        return f"no reply to {self.sent} probes{late}"

    @property
    def doubt(self) -> str:
        """Say why what is missing proves nothing; empty when nothing is missing, or when it does."""
        if self.missing and self.unread:
            return "this machine threw packets away before they were read; what is missing may have come"
        return self.error if not self.sent and self.unread else ""

    def values(self) -> dict[str, float]:
        """Return what was measured, by the names of an Observation's values; loss only where it is sure."""
        found = {
            "loss_ratio": None if self.doubt else self.loss_ratio,
            "probes_sent": float(self.sent),
            "replies": float(len(self.rtts_s)),
            "late": float(self.late),
            "duplicates": float(self.duplicates),
            "garbled": float(self.garbled),
            "jitter_seconds": self.jitter_s,
            "forward_seconds": self.forward_s,
            "backward_seconds": self.backward_s,
            "reply_ttl": None if self.ttl is None else float(self.ttl),
        }
        if self.lost is not None:
            found["judged_each_way"] = float(self.lost.probes)
            found["lost_forward"], found["lost_backward"] = float(self.lost.forward), float(self.lost.backward)
        if self.rtts_s:
            found["rtt_seconds"] = sum(self.rtts_s) / len(self.rtts_s)
            found["rtt_min_seconds"], found["rtt_max_seconds"] = min(self.rtts_s), max(self.rtts_s)
        return {name: value for name, value in found.items() if value is not None}


class Numbering:
    """What is known of a far end's numbering, and the replies since the last count. One a far end.

    ``take`` for each reply, also late ones and doubles; ``count`` once a burst. Our own numbers skip the second one
    (0, 2, 3, …): a far end that copies our numbers skips it too, one that counts its own replies does not, so that each
    shows what it is.
    """

    __slots__ = ("_anchor", "_doubles", "_newest", "_replies")

    def __init__(self) -> None:
        """Know nothing."""
        self._anchor: tuple[int, int] | None = None
        self._replies: dict[int, int] = {}
        self._newest = self._doubles = 0

    def take(self, sequence: int, number: int) -> None:
        """Take in a reply to our ``sequence`` that has the far end's ``number``."""
        self._newest = max(self._newest, number)
        if self._replies.setdefault(sequence, number) != number:
            self._doubles += 1  # it numbered one probe twice: the probe was doubled on the way there

    def count(self) -> Lost | None:
        """Return what was lost each way since the last count; None where that cannot be told."""
        replies, doubles, anchor = self._replies, self._doubles, self._anchor
        if not replies:
            return None
        newest = max(replies), self._newest
        self._replies, self._doubles, self._newest, self._anchor = {}, 0, 0, newest
        if all(sequence == number for sequence, number in replies.items()):
            self._anchor = newest if newest == (0, 0) else None  # it copies our numbers, or nothing tells yet
            return None
        if anchor is None:
            first = min(replies)
            anchor = first, replies.pop(first)
        probes = _ordinal(newest[0]) - _ordinal(anchor[0])
        reflected = newest[1] - anchor[1] - doubles
        forward, backward = probes - reflected, reflected - sum(sequence > anchor[0] for sequence in replies)
        if min(probes, forward, backward) < 0:
            return None  # it was restarted, or packets overtook one another: no count is better than a wrong one
        return Lost(probes, forward, backward)


def _ordinal(sequence: int) -> int:
    """Return how many probes were sent before the one with this number; the second number is not used."""
    return sequence - 1 if sequence else 0
