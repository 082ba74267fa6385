"""What ``/metrics`` says of sensors and votes: states, values that are believed, rises."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from watch_kit import estate

from monitor.metrics.sensors import samples
from monitor.probe import Answer, Observation
from monitor.status.board import Board
from monitor.status.state import Health

INVENTORY = estate()
RACKS = [f"sensor/main-rack-{rack}-temperature" for rack in (1, 2, 3)]
START = 1_700_000_000.0


class Room:
    """A board, and a clock for what is observed on it."""

    def __init__(self) -> None:
        self.now = START
        self.board = Board(INVENTORY, START)

    def poll(self, times: int = 2, **said: object) -> None:
        """Let every sensor named (dashes as underscores) say its value or flags; None says that it does not answer."""
        for _ in range(times):
            self.now += 10
            for name, value in said.items():
                answer = Answer.FAILED if value is None else Answer.OK
                values = {"value": float(value)} if isinstance(value, int | float) else {}
                facts = {"ups_status": value} if isinstance(value, str) else {}
                subject = f"sensor/{name.replace('_', '-')}"
                seen = Observation(subject, "snmp", self.now, answer, "", values, facts)
                self.board.observe(seen, self.now - START)
            self.board.tick(self.now)

    def shown(self) -> Mapping[tuple[str, ...], float]:
        found = samples(INVENTORY, self.board.statuses(), self.board.good())
        return {(metric.name, *labels): value for metric, labels, value in found}

    def state(self, subject: str) -> Health:
        status = self.board.status(subject)
        assert status is not None
        return status.health


def racks(*values: float | None) -> dict[str, object]:
    return {f"main_rack_{rack}_temperature": value for rack, value in enumerate(values, 1)}


def test_two_of_three_racks_confirm_the_danger_and_a_fault_does_not_vote() -> None:
    room = Room()
    room.poll(**racks(21, 21, 21))
    assert room.state("vote/main-overheat") is Health.OK
    room.poll(**racks(40, 21, 999))
    assert room.state("vote/main-overheat") is Health.UNKNOWN
    shown = room.shown()
    assert shown["karaula_vote_alarm_sensors", "main-overheat", "main"] == 1
    assert shown["karaula_vote_silent_sensors", "main-overheat", "main"] == 1
    assert shown["karaula_sensor_state", "main-rack-3-temperature", "main", "fault"] == 1
    room.poll(**racks(40, 40, 999))
    assert room.state("vote/main-overheat") is Health.DOWN
    assert room.shown()["karaula_vote_state", "main-overheat", "main", "down"] == 1


def test_a_room_that_nobody_hears_of_any_more_is_not_ok() -> None:
    room = Room()
    room.poll(**racks(21, 21, 21))
    room.now += INVENTORY.polling.stale_after_s + 1
    room.board.tick(room.now)
    assert room.state("vote/main-overheat") is Health.UNKNOWN


def test_a_reading_that_is_out_of_range_is_never_shown_as_a_value() -> None:
    room = Room()
    room.poll(**racks(21, 21, 21))
    name = ("karaula_sensor_temperature_celsius", "main-rack-1-temperature", "main")
    assert room.shown()[name] == 21
    room.poll(1, **racks(999, 21, 21))  # once: the sensor is not yet called faulty
    assert room.state(RACKS[0]) is Health.OK
    assert name not in room.shown()


def test_a_fast_rise_is_told_long_before_the_limit() -> None:
    room = Room()
    for tick in range(30):
        room.poll(1, **racks(18 + tick * 0.2, 21, 21))  # 1.2 °C a minute
    status = room.board.status(RACKS[0])
    assert status is not None
    assert (status.health, status.detail) == (Health.DEGRADED, "rising")
    assert status.reason == "rises by 1.2 °C a minute, more than the warning limit of 1 °C"
    shown = room.shown()["karaula_sensor_temperature_rise_celsius_per_second", "main-rack-1-temperature", "main"]
    assert shown == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("flags", "word"),
    [("OL CHRG", "line"), ("OB DISCHRG", "battery"), ("OB LB", "low-battery"), ("BYPASS", "bypass"), ("OFF", "off")],
)
def test_where_the_power_comes_from(flags: str, word: str) -> None:
    room = Room()
    room.poll(main_ups_a_state="OL")
    room.poll(main_ups_a_state=flags)
    shown = room.shown()
    assert shown["karaula_sensor_ups_state", "main-ups-a-state", "main", word] == 1
    assert (
        sum(value for key, value in shown.items() if key[:2] == ("karaula_sensor_ups_state", "main-ups-a-state")) == 1
    )


def test_a_ups_that_is_not_known_has_no_state() -> None:
    room = Room()
    room.poll(main_ups_a_state=None)
    assert not any(key[0] == "karaula_sensor_ups_state" for key in room.shown())
