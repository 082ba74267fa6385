"""What sensors and their votes say, as samples. A value is shown while its sensor is believed, and no longer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.metrics import catalog as m
from monitor.status import voting
from monitor.status.sensor import FLAGS, LOW_BATTERY, SENSOR_FAULT
from monitor.status.state import Health
from monitor.status.trend import MINUTE_S, RISE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from monitor.inventory.model import Inventory
    from monitor.inventory.sensors import Sensor
    from monitor.metrics.catalog import Metric
    from monitor.probe import Observation
    from monitor.status.state import Status

    Sample = tuple[Metric, tuple[str, ...], float]

HEALTHS = tuple(health.value for health in Health)
SENSOR_STATES = {Health.OK: "ok", Health.DEGRADED: "warning", Health.DOWN: "alarm", Health.UNKNOWN: "unknown"}
SENSOR_WORDS = ("ok", "warning", "alarm", "fault", "unknown")
UPS_WORDS = ("line", "battery", "low-battery", "bypass", "off")
UPS_FLAGS = {"OFF": "off", "OB": "battery", "BYPASS": "bypass"}  # the worst first
QUANTITIES: Mapping[str, tuple[Metric, float]] = {  # and what to multiply the inventory's unit by
    "temperature": (m.SENSOR_TEMPERATURE, 1.0),
    "humidity": (m.SENSOR_HUMIDITY, 0.01),
    "smoke": (m.SENSOR_SMOKE, 1.0),
    "water": (m.SENSOR_WATER, 1.0),
    "door": (m.SENSOR_DOOR, 1.0),
    "dust": (m.SENSOR_DUST, 1e-6),
    "power": (m.SENSOR_POWER, 1.0),
    "battery-charge": (m.SENSOR_CHARGE, 0.01),
    "load": (m.SENSOR_LOAD, 0.01),
}


def samples(inventory: Inventory, statuses: Mapping[str, Status], good: Mapping[str, Observation]) -> Iterator[Sample]:
    """Yield metric, label values and value; ``good`` holds the newest OK observation of each subject."""
    for key, sensor in inventory.sensors.items():
        yield from _of_sensor((key, sensor.site), sensor, statuses[f"sensor/{key}"], good.get(f"sensor/{key}"))
    for key, vote in inventory.votes.items():
        labels = (key, vote.site)
        yield from _states(m.VOTE_STATE, labels, HEALTHS, statuses[f"vote/{key}"].health.value)
        yes, silent = voting.tally(vote, lambda subject: statuses[subject].health)
        yield m.VOTE_ALARM, labels, yes
        yield m.VOTE_SILENT, labels, silent
        yield m.VOTE_NEEDED, labels, vote.needed


def _of_sensor(
    labels: tuple[str, ...], sensor: Sensor, status: Status, observation: Observation | None
) -> Iterator[Sample]:
    word = "fault" if status.detail == SENSOR_FAULT else SENSOR_STATES[status.health]
    yield from _states(m.SENSOR_STATE, labels, SENSOR_WORDS, word)
    if status.health is Health.UNKNOWN or observation is None:
        return
    if sensor.quantity == "ups-state":
        yield from _states(m.SENSOR_UPS, labels, UPS_WORDS, _supply(status, observation.facts.get(FLAGS, "")))
        return
    metric, scale = QUANTITIES[sensor.quantity]
    value, limits = observation.values.get("value"), sensor.thresholds
    if value is None or not limits.valid_min <= value <= limits.valid_max:
        return  # a fault that is not believed yet is no reading either
    yield metric, labels, value * scale
    if sensor.quantity == "temperature" and (rise := observation.values.get(RISE)) is not None:
        yield m.SENSOR_RISE, labels, rise / MINUTE_S


def _supply(status: Status, flags: str) -> str:
    """Return the word for where the load's power comes from."""
    if status.detail == LOW_BATTERY:
        return LOW_BATTERY
    words = flags.split()
    return next((word for flag, word in UPS_FLAGS.items() if flag in words), "line")


def _states(metric: Metric, labels: tuple[str, ...], words: Iterable[str], present: str) -> Iterator[Sample]:
    for word in words:
        yield metric, (*labels, word), 1.0 if word == present else 0.0
