"""Flapping: what swings is called so once, and settles once; laws for any sequence of changes."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.status.flapping import (
    MOST_LOWS,
    STEADY,
    Marks,
    changed,
    passed,
    penalty,
    remembered,
)

MARKS = Marks(half_life_s=300, high=5, low=2)
START = 1_790_000_000.0


@dataclass(frozen=True)
class Story:
    """Changes so many seconds apart, and how often something was said to flap or to have settled since."""

    raised: int
    settled: int
    flaps: bool


def told(gaps: list[float], quiet_s: float) -> Story:
    """Tell of changes ``gaps`` seconds apart, and then of ``quiet_s`` without one."""
    swings, now, raised, settled = STEADY, START, 0, 0
    for gap in gaps:
        now += gap
        later = passed(swings, now, MARKS)
        settled += swings.flapping and not later.flapping
        swings = changed(later, now, MARKS)
        raised += swings.flapping and not later.flapping
    later = passed(swings, now + quiet_s, MARKS)
    return Story(raised, settled + (swings.flapping and not later.flapping), later.flapping)


@pytest.mark.parametrize(
    ("every_s", "flaps"),
    [(20, True), (40, True), (80, True), (120, False), (600, False), (3600, False)],
)
def test_the_pace_of_changes_decides(every_s: float, flaps: bool) -> None:
    times = [START + number * every_s for number in range(60)]
    assert remembered(times, times[-1], MARKS).flapping is flaps


def test_one_outage_and_its_end_are_no_flapping() -> None:
    assert not remembered([START, START + 30], START + 30, MARKS).flapping


def test_it_flaps_from_the_change_that_reaches_the_high_mark() -> None:
    times = [START + number * 20.0 for number in range(6)]
    assert not remembered(times[:5], times[4], MARKS).flapping
    assert remembered(times, times[5], MARKS).flapping_since == times[5]


def test_between_the_marks_it_stays_what_it_was() -> None:
    times = [START + number * 20.0 for number in range(6)]
    swings = remembered(times, times[5], MARKS)
    later = times[5] + 200
    assert MARKS.low < penalty(swings, later, MARKS) < MARKS.high
    assert passed(swings, later, MARKS).flapping
    assert not passed(swings, times[5] + MARKS.settles_within_s, MARKS).flapping


def test_a_clock_set_far_back_settles_it() -> None:
    swings = remembered([START + number for number in range(9)], START + 9, MARKS)
    assert swings.flapping
    assert not passed(swings, START - 86400, MARKS).flapping


gaps = st.lists(st.floats(min_value=0, max_value=2000, allow_nan=False), max_size=40)


@given(gaps)
def test_two_half_lives_without_a_change_always_settle(found: list[float]) -> None:
    times = [START + total for total in itertools.accumulate(found)]
    last = times[-1] if times else START
    assert not remembered(times, last + MARKS.settles_within_s, MARKS).flapping


@given(gaps)
def test_what_is_raised_settles_exactly_once(found: list[float]) -> None:
    story = told(found, quiet_s=10_000.0)
    assert story.raised == story.settled
    assert not story.flaps


@given(gaps, st.floats(min_value=0, max_value=5000))
def test_the_penalty_stays_in_its_bounds_and_only_falls(found: list[float], later: float) -> None:
    times = [START + total for total in itertools.accumulate(found)]
    swings = remembered(times, START + sum(found), MARKS)
    now = START + sum(found)
    assert 0 <= penalty(swings, now + later, MARKS) <= penalty(swings, now, MARKS) <= MOST_LOWS * MARKS.low


@given(gaps)
def test_less_changes_never_flap_more(found: list[float]) -> None:
    times = [START + total for total in itertools.accumulate(found)]
    now = START + sum(found)
    assert penalty(remembered(times[1:], now, MARKS), now, MARKS) <= penalty(remembered(times, now, MARKS), now, MARKS)
