"""Laws of the reckoning: whatever happened to links, daemon and clock, a month's parts are exactly the month."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
from examples_kit import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from watch_kit import START, estate

from monitor.sla.keeper import Keeper
from monitor.sla.ledger import ChainBegun, Mark, Row
from monitor.sla.period import HOUR_US, Month, Period, moment, month_of, parse_moment, parse_month
from monitor.sla.reckon import (
    Availability,
    Kind,
    Window,
    availability,
    budget_us,
    crossing_intervals,
    intervals,
    percent,
    share,
    times,
)
from monitor.sla.timeline import CONTRADICTION, NOT_WATCHED, Chain, NumberedFlip, Seen, Span, timeline
from monitor.status.state import Health

PERIOD = Period(1_000, 2_000)
MOMENTS = st.integers(0, 3_000)
HEALTHS = st.sampled_from(list(Health))


@st.composite
def lives(draw: st.DrawFn) -> tuple[list[Chain], dict[int, Seen], list[NumberedFlip]]:
    """Chains in the order lived, wherever the clock put them, with flips that may bear any time at all."""
    chains: list[Chain] = []
    seen: dict[int, Seen] = {}
    flips: list[NumberedFlip] = []
    for number in range(1, draw(st.integers(0, 6)) + 1):
        start, length = draw(MOMENTS), draw(st.integers(0, 1_500))
        first = len(flips)
        flips += [
            NumberedFlip(first + place + 1, draw(HEALTHS), draw(MOMENTS), "r")
            for place in range(draw(st.integers(0, 4)))
        ]
        why = draw(st.sampled_from(["start", "clock", "stall", "reload", "lost"]))
        chains.append(Chain(number, start, start + length, first, len(flips), why))
        if draw(st.booleans()):
            seen[number] = Seen(draw(MOMENTS), draw(HEALTHS))
    return chains, seen, flips


def fills(spans: list[Span], period: Period) -> None:
    assert spans[0].start_us == period.start_us
    assert spans[-1].end_us == period.end_us
    assert all(one.end_us == other.start_us for one, other in pairwise(spans))
    assert all(span.start_us < span.end_us for span in spans)


@given(lives())
@settings(max_examples=examples(400))
def test_a_timeline_fills_its_period_exactly(life: tuple[list[Chain], dict[int, Seen], list[NumberedFlip]]) -> None:
    chains, seen, flips = life
    spans = timeline(chains, seen, flips, PERIOD)
    fills(spans, PERIOD)
    for span in spans:
        if span.health is not Health.UNKNOWN:
            for at in (span.start_us, span.end_us - 1):
                watching = [chain for chain in chains if chain.start_us <= at < chain.end_us]
                assert watching, "known at a moment at which nobody watched"
                assert any(chain.number in seen for chain in watching)


@given(lives(), lives(), st.data())
@settings(max_examples=examples(300))
def test_the_parts_of_links_and_crossings_sum_to_the_period(
    one: tuple[list[Chain], dict[int, Seen], list[NumberedFlip]],
    other: tuple[list[Chain], dict[int, Seen], list[NumberedFlip]],
    data: st.DataObject,
) -> None:
    parts = []
    for chains, seen, flips in (one, other):
        spans = timeline(chains, seen, flips, PERIOD)
        windows = [
            Window("x", start, start + length, kind, "why", "who")
            for start, length, kind in data.draw(
                st.lists(
                    st.tuples(MOMENTS, st.integers(1, 900), st.sampled_from(["maintenance", "excused"])), max_size=4
                )
            )
        ]
        found = intervals(spans, windows, degraded_is_down=data.draw(st.booleans()))
        assert times(found).total == PERIOD.length_us
        assert all(part.length_us > 0 for part in found)
        assert all(part.health is not Health.OK for part in found if part.kind is Kind.EXCUSED)
        parts.append(found)
    both = crossing_intervals(*parts)
    of = times(both)
    assert of.total == PERIOD.length_us
    assert of.excused == 0
    up = sum(part.length_us for part in both if part.kind in (Kind.UP, Kind.DEGRADED))
    for found in parts:
        assert up >= sum(part.length_us for part in found if part.health in (Health.OK, Health.DEGRADED))


@given(*(st.integers(0, 10**13) for _ in range(3)))
def test_the_bounds_enclose_the_availability(available: int, lost: int, unknown: int) -> None:
    found = share(available, lost, unknown)
    if found.share is None:
        assert available + lost == 0
        return
    assert found.at_worst is not None
    assert found.at_best is not None
    assert 0 <= found.at_worst <= found.share <= found.at_best <= 1
    shown = percent(found.share)
    assert shown is not None
    assert Fraction(str(shown)) <= found.share * 100


def chain(number: int, start: int, end: int, flips: tuple[int, int] = (0, 0), why: str = "start") -> Chain:
    return Chain(number, start, end, *flips, why)


def shown(spans: list[Span]) -> list[tuple[int, int, str]]:
    return [(span.start_us, span.end_us, span.health.value) for span in spans]


def test_time_without_a_watch_is_unknown_even_between_two_times_that_were_well() -> None:
    spans = timeline(
        [chain(1, 900, 1200), chain(2, 1500, 2100)], {1: Seen(900, Health.OK), 2: Seen(1510, Health.OK)}, [], PERIOD
    )
    assert shown(spans) == [(1000, 1200, "ok"), (1200, 1500, "unknown"), (1500, 1510, "unknown"), (1510, 2000, "ok")]
    assert spans[1].reason == NOT_WATCHED


def test_time_that_the_clock_went_through_twice_is_counted_once_and_known_only_where_both_agree() -> None:
    chains = [chain(1, 900, 1600, (0, 1)), chain(2, 1400, 2100, (1, 1), "clock")]
    seen = {1: Seen(900, Health.OK), 2: Seen(1400, Health.DOWN, "no reply")}
    down = [NumberedFlip(1, Health.DOWN, 1500, "no reply")]
    spans = timeline(chains, seen, down, PERIOD)
    assert shown(spans) == [(1000, 1400, "ok"), (1400, 1500, "unknown"), (1500, 2000, "down")]
    assert spans[1].reason == CONTRADICTION


def test_a_clock_set_forward_leaves_unknown_and_nothing_double() -> None:
    chains = [chain(1, 900, 1300), chain(2, 1700, 2100, why="clock")]
    spans = timeline(chains, {1: Seen(900, Health.OK), 2: Seen(1700, Health.OK)}, [], PERIOD)
    assert shown(spans) == [(1000, 1300, "ok"), (1300, 1700, "unknown"), (1700, 2000, "ok")]
    assert spans[1].reason == "the clock was set"


def test_a_flip_recorded_in_a_chain_does_not_reach_into_the_one_before() -> None:
    chains = [chain(1, 900, 1300, (0, 0)), chain(2, 1500, 2100, (0, 2))]
    seen = {1: Seen(900, Health.OK), 2: Seen(1600, Health.DOWN)}
    flips = [NumberedFlip(1, Health.DOWN, 1100), NumberedFlip(2, Health.OK, 1800)]
    assert shown(timeline(chains, seen, flips, PERIOD)) == [
        (1000, 1300, "ok"),
        (1300, 1500, "unknown"),
        (1500, 1600, "unknown"),
        (1600, 1800, "down"),
        (1800, 2000, "ok"),
    ]


def test_an_excuse_takes_out_what_was_lost_and_maintenance_the_whole_of_its_time() -> None:
    spans = [Span(1000, 1200, Health.OK), Span(1200, 1500, Health.DOWN), Span(1500, 2000, Health.OK)]
    excuse = Window("x", 1100, 1400, "excused", "flood", "ana")
    assert times(intervals(spans, [excuse], degraded_is_down=False)).excused == 200
    works = Window("x", 1100, 1300, "maintenance", "works", "ana")
    of = times(intervals(spans, [excuse, works], degraded_is_down=False))
    assert (of.planned, of.excused, of.down, of.up) == (200, 100, 100, 600)
    found = availability(of, degraded_is_down=False)
    assert found.share == Fraction(600, 700)


def test_a_crossing_is_cut_off_though_an_operator_is_excused() -> None:
    down = [Span(1000, 2000, Health.DOWN)]
    excused = intervals(down, [Window("x", 1000, 2000, "excused", "flood", "ana")], degraded_is_down=False)
    works = intervals(down, [Window("x", 1000, 1500, "maintenance", "works", "ana")], degraded_is_down=False)
    of = times(crossing_intervals(excused, works))
    assert (of.down, of.planned) == (1000, 0)


def test_the_share_is_never_rounded_up_to_what_was_agreed() -> None:
    assert percent(Fraction(999_499_999, 1_000_000_000)) == 99.9499
    assert percent(Fraction(1)) == 100.0
    assert share(0, 0, 5) == Availability(None, Fraction(0), Fraction(1), 0)


def test_the_budget_of_a_month() -> None:
    month = Month(2026, 10).period("Europe/Skopje")
    of = times(intervals([Span(month.start_us, month.end_us, Health.OK)], [], degraded_is_down=False))
    assert budget_us(month.length_us, of, 0, 99.9) == month.length_us // 1000
    assert budget_us(month.length_us, of, month.length_us // 100, 99.9) < 0


@pytest.mark.parametrize(
    ("text", "hours"), [("2026-10", 745), ("2026-03", 743), ("2026-02", 672), ("2028-02", 696), ("2026-12", 744)]
)
def test_months_have_the_hours_that_they_have(text: str, hours: int) -> None:
    month = parse_month(text)
    period = month.period("Europe/Skopje")
    assert period.length_us == hours * HOUR_US
    assert month.next.period("Europe/Skopje").start_us == period.end_us
    assert month.next.previous == month
    assert month_of(period.start_us, "Europe/Skopje") == month
    assert month_of(period.end_us - 1, "Europe/Skopje") == month


@pytest.mark.parametrize("text", ["2026-13", "2026-00", "26-10", "2026/10", "", "1999-12", "9999-12", "2026-10-01"])
def test_what_is_no_month_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="month"):
        parse_month(text)


def test_a_time_that_the_clocks_made_happen_twice_or_never_must_be_said_clearly() -> None:
    zone = "Europe/Skopje"
    with pytest.raises(ValueError, match=r"happens twice in Europe/Skopje; say which: '2026-10-25 02:30:00\+02:00'"):
        parse_moment("2026-10-25 02:30", zone)
    with pytest.raises(ValueError, match="does not exist"):
        parse_moment("2026-03-29 02:30", zone)
    first, second = parse_moment("2026-10-25 02:30+02:00", zone), parse_moment("2026-10-25T02:30:00+01:00", zone)
    assert second - first == HOUR_US
    assert moment(parse_moment("2026-10-14", zone), zone).isoformat() == "2026-10-14T00:00:00+02:00"
    assert parse_moment("2026-10-14T00:00Z", zone) - parse_moment("2026-10-14 00:00", zone) == 2 * HOUR_US
    with pytest.raises(ValueError, match="is not a time"):
        parse_moment("yesterday", zone)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("tick"), st.integers(0, 120), st.sampled_from([0, 0, 0, -7200, -30, -1, 1, 30, 7200])),
        st.tuples(st.sampled_from(["reload", "lost", "crash", "end"]), st.just(0), st.just(0)),
    ),
    max_size=60,
)


@given(STEPS)
@settings(max_examples=examples(300))
def test_marks_never_vouch_for_more_time_than_the_machine_lived(steps: list[tuple[str, int, int]]) -> None:
    """Whatever is done to clock and daemon: chains are numbered on, marks follow one another, time is never double."""
    inventory = estate()
    wall, mono, last = START, 1_000.0, 0
    keeper = Keeper(inventory, last, None)
    rows: list[Row] = []
    lived_us = 0
    for what, own_s, jump_s in steps:
        if what == "tick":
            wall, mono = wall + own_s + jump_s, mono + own_s
            lived_us += own_s * 1_000_000
            rows += [*keeper.moved(wall, mono), *keeper.tick({})]
        elif what == "reload":
            rows += keeper.reload(inventory)
        elif what == "lost":
            rows = [row for row in rows if not isinstance(row, Mark)]
            rows += keeper.lost()
        else:
            rows += keeper.end() if what == "end" else []
            last = max([last, *(row.number for row in rows if isinstance(row, ChainBegun))])
            keeper = Keeper(inventory, last, None)
    marks = [row for row in rows if isinstance(row, Mark)]
    assert all(mark.start_us < mark.end_us for mark in marks)
    # Within a tick wall time may be corrected by up to a second; more than that breaks the chain.
    assert sum(mark.end_us - mark.start_us for mark in marks) <= lived_us + len(steps) * 1_000_000
    numbers = [row.number for row in rows if isinstance(row, ChainBegun)]
    assert numbers == sorted(set(numbers))
    for one, other in pairwise(marks):
        assert one.chain < other.chain or one.end_us == other.start_us
