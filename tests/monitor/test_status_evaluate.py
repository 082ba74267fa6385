"""What one observation says."""

from __future__ import annotations

import math

import pytest
from watch_kit import estate

from monitor.probe import Answer, Observation
from monitor.status.evaluate import judge
from monitor.status.hysteresis import Judgement
from monitor.status.state import Health

INVENTORY = estate()


def of(subject: str, answer: Answer = Answer.OK, reason: str = "", **said: object) -> Judgement:
    facts = {key: value for key, value in said.items() if isinstance(value, str)}
    values = {key: float(value) for key, value in said.items() if isinstance(value, int | float)}
    return judge(Observation(subject, "any", 0, answer, reason, values, facts), INVENTORY)


@pytest.mark.parametrize("subject", ["host/vault-dr", "vcenter/vc-main", "vm/vc-main/ncts-db-1", "dns/dns-dr"])
def test_plain_subjects_are_what_they_answer(subject: str) -> None:
    assert of(subject) == Judgement(Health.OK)
    assert of(subject, Answer.FAILED, "refused") == Judgement(Health.DOWN, "refused")
    assert of(subject, Answer.UNKNOWN, "no socket") == Judgement(Health.UNKNOWN, "no socket")


def test_a_host_with_another_key_is_down_and_its_database_is_not_known() -> None:
    assert of("host/ncts-db-main", Answer.FAILED, "changed key", error="untrusted").detail == "untrusted"
    found = of("database/ncts/main", Answer.FAILED, "changed key", error="untrusted")
    assert found == Judgement(Health.UNKNOWN, "changed key", "untrusted")


def test_a_database_must_say_its_role() -> None:
    assert of("database/ncts/main", role="primary").health is Health.OK
    assert of("database/ncts/main", role="standby").health is Health.OK
    assert of("database/ncts/main", role="stopped").health is Health.DOWN
    assert of("database/ncts/main", role="both").health is Health.UNKNOWN
    assert of("database/ncts/main").health is Health.UNKNOWN


def test_a_link_over_its_agreed_loss_or_round_trip_is_degraded() -> None:
    assert of("link/tabanovce/primary", rtt_seconds=0.019, loss_ratio=0.0).health is Health.OK
    slow = of("link/tabanovce/primary", rtt_seconds=0.025, loss_ratio=0.0)  # its own agreement: 20 ms
    assert slow == Judgement(Health.DEGRADED, "round trip 25 ms is over the agreed 20 ms")
    assert of("link/tabanovce/backup", rtt_seconds=0.025).health is Health.OK  # the operator's: 40 ms
    both = of("link/tabanovce/backup", rtt_seconds=0.0415, loss_ratio=0.2)
    assert both.reason == "loss 20 % is over the agreed 0.5 %; round trip 41.5 ms is over the agreed 40 ms"
    assert of("link/tabanovce/backup", Answer.FAILED, "no reply").health is Health.DOWN


@pytest.mark.parametrize(
    ("value", "health", "detail", "reason"),
    [
        (22.0, Health.OK, "", ""),
        (27.0, Health.OK, "", ""),
        (27.1, Health.DEGRADED, "above", "27.1 °C is above the warning limit of 27 °C"),
        (32.5, Health.DOWN, "above", "32.5 °C is above the alarm limit of 32 °C"),
        (15.0, Health.DEGRADED, "below", "15 °C is below the warning limit of 16 °C"),
        (9.0, Health.DOWN, "below", "9 °C is below the alarm limit of 10 °C"),
        (80.0, Health.DOWN, "above", "80 °C is above the alarm limit of 32 °C"),
        (
            85.0,
            Health.UNKNOWN,
            "sensor-fault",
            "85 °C is outside of what the sensor can measure (-20 to 80)",
        ),
        (math.nan, Health.UNKNOWN, "sensor-fault", "the sensor gave no value"),
        (math.inf, Health.UNKNOWN, "sensor-fault", "the sensor gave no value"),
    ],
)
def test_a_temperature_is_judged_by_its_limits(value: float, health: Health, detail: str, reason: str) -> None:
    assert of("sensor/main-rack-1-temperature", value=value) == Judgement(health, reason, detail)


def test_water_needs_no_number_in_its_words() -> None:
    found = of("sensor/main-water", value=1)
    assert found.reason == "water reported"
    assert found.health in (Health.DOWN, Health.DEGRADED)


@pytest.mark.parametrize("answer", [Answer.FAILED, Answer.UNKNOWN])
def test_a_sensor_that_does_not_answer_well_is_never_ok_and_never_an_alarm_of_the_room(answer: Answer) -> None:
    found = of("sensor/main-rack-1-temperature", answer, "not SNMP", value=22.0)
    assert found == Judgement(Health.UNKNOWN, "not SNMP", "sensor-fault")
    assert of("sensor/main-rack-1-temperature").detail == "sensor-fault"
    assert of("sensor/no-such-sensor", value=1.0).health is Health.UNKNOWN
