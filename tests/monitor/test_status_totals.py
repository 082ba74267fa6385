"""What became of a link's probes: counters that only grow, and a histogram that holds every round trip."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from monitor.burst import Burst, Lost
from monitor.probe import Answer, Observation
from monitor.status.totals import BOUNDS_S, LinkTotals

RTTS = st.lists(st.floats(0, 3, allow_nan=False), max_size=8).map(tuple)


def seen(burst: Burst, subject: str = "link/blace/primary") -> Observation:
    return Observation(subject, "stamp", 0.0, Answer.OK, values=burst.values(), samples=burst.rtts_s)


def burst(rtts_s: tuple[float, ...] = (), **more: object) -> Burst:
    return Burst(**{"sent": len(rtts_s), "duplicates": 0, "garbled": 0, "rtts_s": rtts_s} | more)


@given(st.lists(RTTS, max_size=5))
def test_every_round_trip_is_in_the_buckets_at_and_above_it(bursts: list[tuple[float, ...]]) -> None:
    totals = LinkTotals()
    for rtts_s in bursts:
        totals.observe(seen(burst(rtts_s)))
    every = [rtt_s for rtts_s in bursts for rtt_s in rtts_s]
    for found in totals.snapshot().values():
        assert found.up_to == (*(sum(rtt_s <= bound for rtt_s in every) for bound in BOUNDS_S), len(every))
        assert abs(found.rtt_sum_s - sum(every)) < 1e-9
        assert found.sent == found.replies == len(every)


def test_what_is_counted_and_what_is_not() -> None:
    totals = LinkTotals()
    totals.observe(seen(burst((0.01, 0.02), sent=4, ttl=61, late=1, lost=Lost(5, 2, 1))))
    totals.observe(seen(burst((0.01,), sent=4, ttl=59, duplicates=2, garbled=1)))
    totals.observe(seen(burst((), sent=4)))
    totals.observe(seen(burst((0.01,), sent=1, ttl=59)))
    totals.observe(seen(burst((0.01,)), "check/ping"))
    totals.observe(Observation("link/blace/backup", "stamp", 0.0, Answer.UNKNOWN, "no answer"))
    assert list(totals.snapshot()) == ["link/blace/primary"]
    found = totals.snapshot()["link/blace/primary"]
    assert (found.sent, found.replies, found.late, found.duplicates, found.garbled) == (13, 4, 1, 2, 1)
    assert (found.judged, found.lost_forward, found.lost_backward) == (5, 2, 1)
    assert (found.path_changes, found.ttl) == (1, 59)
    totals.forget("link/blace/primary")
    totals.forget("link/unknown")
    assert not totals.snapshot()
