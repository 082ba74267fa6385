"""What readings say: limits, sentinels, rises, the flags of a UPS, the device's own word, and votes."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.inventory.sensors import Rise, Sensor, Vote
from monitor.status.hysteresis import Judgement
from monitor.status.sensor import LOW_BATTERY, ON_BATTERY, SENSOR_FAULT, reading, rising, ups
from monitor.status.state import Health
from monitor.status.voting import judged, tally

OK, DEGRADED, DOWN, UNKNOWN = Health.OK, Health.DEGRADED, Health.DOWN, Health.UNKNOWN


def temperature(**more: object) -> Sensor:
    source = {"protocol": "snmp", "address": "127.0.0.1", "port": 161, "community": "c", "profile": "geist-v4"}
    data = {"name": "T", "site": "main", "source": source | {"point": "temperature", "index": 1}}
    return Sensor.model_validate(data | more)


def test_a_profile_fills_in_what_it_knows() -> None:
    sensor = temperature(thresholds={"alarm_above": 32})
    assert (sensor.quantity, sensor.unit) == ("temperature", "celsius")
    assert (sensor.thresholds.valid_min, sensor.thresholds.valid_max, sensor.thresholds.alarm_above) == (-40, 85, 32)


def test_what_is_written_beats_the_profile() -> None:
    assert temperature(thresholds={"valid_max": 50}).thresholds.valid_max == 50


@pytest.mark.parametrize("value", [-40.1, 85.1, 1e9, -999])
def test_out_of_range_is_a_fault_and_no_fire(value: float) -> None:
    found = reading(temperature(thresholds={"alarm_above": 32}), value)
    assert (found.health, found.detail) == (UNKNOWN, SENSOR_FAULT)


@pytest.mark.parametrize(
    ("rise", "health"), [(None, OK), (0.0, OK), (-9.0, OK), (1.0, OK), (1.1, DEGRADED), (3.0, DEGRADED), (3.1, DOWN)]
)
def test_a_rise_has_its_own_limits(rise: float | None, health: Health) -> None:
    limits = Rise(warn_above=1.0, alarm_above=3.0)
    found = rising(temperature(rise_per_minute=limits.model_dump()), rise)
    assert found.health is health
    assert not found.reason or "a minute" in found.reason


@pytest.mark.parametrize(
    ("flags", "health", "detail"),
    [
        ("OL", OK, ""),
        ("OL CHRG", OK, ""),
        ("OL BOOST", OK, ""),
        ("OL TRIM", OK, ""),
        ("OB DISCHRG", DEGRADED, ON_BATTERY),
        ("OB", DEGRADED, ON_BATTERY),
        ("OB CAL", DEGRADED, ON_BATTERY),
        ("OB LB", DOWN, LOW_BATTERY),
        ("LB OB DISCHRG", DOWN, LOW_BATTERY),
        ("FSD OL", DOWN, LOW_BATTERY),
        ("OL OB LB", DOWN, LOW_BATTERY),
        ("OFF", DOWN, "off"),
        ("OL LB CHRG", DEGRADED, ""),
        ("OL RB", DEGRADED, ""),
        ("OL OVER", DEGRADED, ""),
        ("BYPASS", DEGRADED, ""),
        ("OL ALARM", DEGRADED, ""),
        ("ALARM", UNKNOWN, SENSOR_FAULT),
        ("", UNKNOWN, SENSOR_FAULT),
        ("WAIT", UNKNOWN, SENSOR_FAULT),
        ("BOOL LBX", UNKNOWN, SENSOR_FAULT),
        ("ol", UNKNOWN, SENSOR_FAULT),
    ],
)
def test_the_flags_of_a_ups(flags: str, health: Health, detail: str) -> None:
    found = ups(flags)
    assert (found.health, found.detail) == (health, detail)
    assert bool(found.reason) is (health is not OK)


@given(st.text(max_size=40))
def test_a_ups_is_ok_only_when_it_says_that_it_is_on_line(flags: str) -> None:
    if ups(flags).health is OK:
        words = flags.split()
        assert "OL" in words
        assert not {"OB", "LB", "RB", "OFF", "FSD", "BYPASS", "ALARM", "OVER"} & set(words)


# -- votes ---------------------------------------------------------------------------------------------------------


def vote(needed: int, *states: Health) -> Judgement:
    keys = tuple(f"s{n}" for n in range(len(states)))
    found = dict(zip((f"sensor/{key}" for key in keys), states, strict=True))
    return judged(Vote(name="V", site="main", sensors=keys, needed=needed), found.__getitem__)


@pytest.mark.parametrize(
    ("states", "health"),
    [
        ((OK, OK, OK), OK),
        ((DEGRADED, OK, DEGRADED), OK),
        ((DOWN, OK, OK), DEGRADED),
        ((DOWN, DOWN, OK), DOWN),
        ((DOWN, DOWN, UNKNOWN), DOWN),
        ((DOWN, UNKNOWN, OK), UNKNOWN),
        ((OK, OK, UNKNOWN), OK),
        ((OK, UNKNOWN, UNKNOWN), UNKNOWN),
        ((UNKNOWN, UNKNOWN, UNKNOWN), UNKNOWN),
    ],
)
def test_two_of_three(states: tuple[Health, ...], health: Health) -> None:
    assert vote(2, *states).health is health


def test_a_vote_says_how_it_stands() -> None:
    assert vote(2, DOWN, DOWN, UNKNOWN).reason == "2 of 3 sensors are in alarm, 2 needed; 1 does not vote"
    assert vote(2, DOWN, OK, OK).reason == "1 of 3 sensors is in alarm, 2 needed"


@given(st.lists(st.sampled_from(list(Health)), min_size=2, max_size=6), st.data())
def test_no_vote_is_ok_that_the_silent_could_turn(states: list[Health], data: st.DataObject) -> None:
    needed = data.draw(st.integers(1, len(states)))
    found = vote(needed, *states)
    silent = [place for place, state in enumerate(states) if state is UNKNOWN]
    known = len(states) - len(silent)
    outcomes = set()
    for words in itertools.product((OK, DOWN), repeat=len(silent)):
        filled = list(states)
        for place, word in zip(silent, words, strict=True):
            filled[place] = word
        outcomes.add(filled.count(DOWN) >= needed)
    if found.health is DOWN:
        assert outcomes == {True}
    elif found.health is UNKNOWN:
        assert outcomes == {True, False} or known < needed
    else:
        assert outcomes == {False}
        assert known >= needed


def test_a_tally_counts_the_silent() -> None:
    entry = Vote(name="V", site="main", sensors=("a", "b"))
    assert tally(entry, {"sensor/a": DOWN, "sensor/b": UNKNOWN}.__getitem__) == (1, 1)
