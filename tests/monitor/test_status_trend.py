"""Rises: measured over a window, whatever is missing, noisy, or done to the clocks."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_status_sensor import temperature

from monitor.probe import Answer, Observation
from monitor.status.trend import MOST, RISE, Sample, Trend, Trends

WINDOW_S = 300.0


def fed(samples: list[tuple[float, float]], *, jump_at: int = -1, jump_s: float = 0.0) -> Trend:
    """Feed (steady time, value); from sample ``jump_at`` on wall time is off by ``jump_s``."""
    trend = Trend()
    for place, (steady, value) in enumerate(samples):
        wall = 1_700_000_000 + steady + (jump_s if 0 <= jump_at <= place else 0.0)
        trend.add(Sample(wall, steady, value), WINDOW_S)
    return trend


def line(count: int, per_minute: float, every_s: float = 10.0) -> list[tuple[float, float]]:
    return [(n * every_s, 20 + per_minute * n * every_s / 60) for n in range(count)]


@given(st.floats(-20, 20), st.sampled_from([5.0, 10.0, 30.0]))
def test_a_straight_line_has_its_slope(per_minute: float, every_s: float) -> None:
    found = fed(line(100, per_minute, every_s)).rise_per_minute(WINDOW_S)
    assert found == pytest.approx(per_minute, abs=1e-6)


def test_too_little_is_not_known() -> None:
    assert fed([]).rise_per_minute(WINDOW_S) is None
    assert fed(line(3, 1.0, 100.0)).rise_per_minute(WINDOW_S) is None
    assert fed(line(15, 1.0)).rise_per_minute(WINDOW_S) is None  # 140 s of 300
    assert fed(line(16, 1.0)).rise_per_minute(WINDOW_S) == pytest.approx(1.0)


@given(st.randoms(use_true_random=False))
def test_missing_samples_do_not_matter(chance: random.Random) -> None:
    samples = line(60, 2.0)
    kept = [each for each in samples[:-1] if chance.random() > 0.5] + samples[-1:]
    found = fed(kept).rise_per_minute(WINDOW_S)
    assert found is None or found == pytest.approx(2.0, abs=1e-6)


def test_one_wild_sample_is_no_fire() -> None:
    samples = [(at, 85.0 if place == 25 else 21.0) for place, (at, _) in enumerate(line(30, 0))]
    assert abs(fed(samples).rise_per_minute(WINDOW_S) or 0) < 0.01
    latest = [(at, 85.0 if place == 29 else 21.0) for place, (at, _) in enumerate(line(30, 0))]
    assert abs(fed(latest).rise_per_minute(WINDOW_S) or 0) < 0.01


def test_whole_degrees_and_tenths() -> None:
    slow = [(at, round(value, 1)) for at, value in line(31, 0.3)]
    assert fed(slow).rise_per_minute(WINDOW_S) == pytest.approx(0.3, abs=0.05)
    step = [(at, 21.0 if at < 150 else 22.0) for at, _ in line(31, 0)]
    assert 0 <= (fed(step).rise_per_minute(WINDOW_S) or 0) <= 0.5
    steep = [(at, float(round(value))) for at, value in line(31, 3.0)]
    assert fed(steep).rise_per_minute(WINDOW_S) == pytest.approx(3.0, abs=0.3)


@given(st.integers(1, 29), st.floats(3, 1e6).flatmap(lambda size: st.sampled_from([size, -size])))
def test_a_clock_that_jumps_makes_nothing_steeper(at: int, jump_s: float) -> None:
    found = fed(line(30, 1.0), jump_at=at, jump_s=jump_s).rise_per_minute(WINDOW_S)
    assert found is None or found == pytest.approx(1.0, abs=1e-6)


def test_a_machine_that_slept_begins_anew() -> None:
    """The steady clock stands still in a sleep of eight hours, in which the room warmed up."""
    trend = fed(line(30, 0.0))
    trend.add(Sample(1_700_000_000 + 290 + 8 * 3600, 300.0, 30.0), WINDOW_S)
    assert trend.rise_per_minute(WINDOW_S) is None


def test_without_a_steady_clock_a_clock_set_back_begins_anew() -> None:
    trends, sensor = Trends(), temperature(rise_per_minute={"alarm_above": 2})
    seen = None
    for place in range(40):
        at = 10.0 * place - (200 if place > 30 else 0)
        observation = Observation("sensor/t", "snmp", at, Answer.OK, values={"value": 20 + place / 10})
        seen = trends.followed(observation, {"t": sensor}, None)
    assert seen is not None
    assert RISE not in seen.values


def test_only_what_can_be_believed_makes_a_rise() -> None:
    trends, sensor = Trends(), temperature(rise_per_minute={"alarm_above": 2})
    for place in range(31):
        answer = Answer.FAILED if place % 3 == 1 else Answer.OK
        value = 999.0 if place % 3 == 2 else 21.0
        observation = Observation("sensor/t", "snmp", 10.0 * place, answer, "", {"value": value})
        seen = trends.followed(observation, {"t": sensor}, 10.0 * place)
    assert seen.values[RISE] == 0


def test_a_sensor_without_a_limit_is_not_followed() -> None:
    observation = Observation("sensor/t", "snmp", 0.0, Answer.OK, values={"value": 21.0})
    assert Trends().followed(observation, {"t": temperature()}, 0.0) is observation


def test_a_short_interval_does_not_fill_the_memory() -> None:
    trend = fed(line(5000, 1.0, 0.1))
    assert len(trend._samples) <= MOST
    assert trend.rise_per_minute(WINDOW_S) == pytest.approx(1.0, abs=1e-3)
