"""What a sensor's reading says of the room, or of the sensor.

A sensor that cannot be believed (no answer, a sentinel, out of range, a device that calls it faulty) is UNKNOWN with
the detail ``sensor-fault``, whatever it reads: it is an alarm about the sensor, not a fire. Limits come from the
inventory; what the device itself calls critical is never shown as less.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from monitor.probe import Answer
from monitor.status.hysteresis import RANK, Judgement
from monitor.status.state import Health
from monitor.status.trend import RISE

if TYPE_CHECKING:
    from monitor.inventory.model import Inventory
    from monitor.inventory.sensors import Sensor, Thresholds
    from monitor.probe import Observation

SENSOR_FAULT = "sensor-fault"
ON_BATTERY = "on-battery"
LOW_BATTERY = "low-battery"
FLAGS = "ups_status"
DEVICE_HEALTH = "device_health"
UNIT_SIGNS = {"celsius": " °C", "percent": " %", "watts": " W", "ug_per_m3": " µg/m³", "boolean": "", "flags": ""}
# NUT's flags (RFC 9271, section 5.1) that say where the load's power comes from; one of them must be there.
SUPPLIES = frozenset({"OL", "OB", "BYPASS", "OFF", "FSD"})
# Flags that stand together, and what they mean; the worst first.
UPS_STATES = (
    ({"FSD"}, Health.DOWN, "the UPS is being shut down", LOW_BATTERY),
    ({"OB", "LB"}, Health.DOWN, "on battery, and the battery is low", LOW_BATTERY),
    ({"OFF"}, Health.DOWN, "the UPS is off: it feeds nothing", "off"),
    ({"OB", "CAL"}, Health.DEGRADED, "on battery for a calibration", ON_BATTERY),
    ({"OB"}, Health.DEGRADED, "on battery", ON_BATTERY),
    ({"BYPASS"}, Health.DEGRADED, "the UPS is bypassed: a power cut would reach the load", ""),
    ({"OVER"}, Health.DEGRADED, "the UPS is overloaded", ""),
    ({"LB"}, Health.DEGRADED, "the battery is low", ""),
    ({"RB"}, Health.DEGRADED, "the battery must be replaced", ""),
    ({"ALARM"}, Health.DEGRADED, "the UPS reports an alarm of its own", ""),
)


def sensor(observation: Observation, name: str, inventory: Inventory) -> Judgement:
    """Judge one observation of sensor ``name``."""
    if observation.answer is not Answer.OK:
        return _fault(observation.reason or "the sensor gave no value")
    entry = inventory.sensors.get(name)
    if entry is not None and entry.quantity == "ups-state":
        return ups(observation.facts.get(FLAGS, ""))
    value = observation.values.get("value")
    if entry is None or value is None or not math.isfinite(value):
        return _fault("the sensor gave no value")
    found = reading(entry, value)
    if found.detail == SENSOR_FAULT:
        return found
    others = (rising(entry, observation.values.get(RISE)), _device(observation, _shown(entry, value)))
    return max((found, *others), key=lambda judgement: RANK[judgement.health])


def reading(entry: Sensor, value: float) -> Judgement:
    """Judge a finite ``value`` in the sensor's unit by its thresholds."""
    limits = entry.thresholds
    shown = _shown(entry, value)
    if not limits.valid_min <= value <= limits.valid_max:
        return _fault(
            f"{shown} is outside of what the sensor can measure ({limits.valid_min:g} to {limits.valid_max:g})"
        )
    crossed = _crossed(limits, value)
    if crossed is None:
        return Judgement(Health.OK)
    health, side, limit = crossed
    if entry.unit == "boolean":
        return Judgement(health, f"{entry.quantity} reported", side)
    return Judgement(health, f"{shown} is {side} the {_word(health)} limit of {_shown(entry, limit)}", side)


def rising(entry: Sensor, rise: float | None) -> Judgement:
    """Judge how fast the value rises (units a minute; None: not known)."""
    limits = entry.rise_per_minute
    if limits is None or rise is None:
        return Judgement(Health.OK)
    for health, limit in ((Health.DOWN, limits.alarm_above), (Health.DEGRADED, limits.warn_above)):
        if limit is not None and rise > limit:
            sign = UNIT_SIGNS[entry.unit]
            reason = f"rises by {rise:.2g}{sign} a minute, more than the {_word(health)} limit of {limit:g}{sign}"
            return Judgement(health, reason, "rising")
    return Judgement(Health.OK)


def ups(flags: str) -> Judgement:
    """Judge the state of a UPS, a set of flags as NUT writes them."""
    words = set(flags.split())
    if not words & SUPPLIES:
        return _fault(
            f"the UPS does not say where its power comes from: '{flags}'" if flags else "the UPS gave no state"
        )
    for needed, health, reason, detail in UPS_STATES:
        if needed <= words:
            return Judgement(health, reason, detail)
    return Judgement(Health.OK)


def _device(observation: Observation, shown: str) -> Judgement:
    """Judge by what the device itself says of its health (Redfish: OK, Warning, Critical)."""
    said = observation.facts.get(DEVICE_HEALTH, "")
    health = {"Critical": Health.DOWN, "Warning": Health.DEGRADED}.get(said, Health.OK)
    reason = "" if health is Health.OK else f"the device itself says {said} at {shown}"
    return Judgement(health, reason)


def _crossed(limits: Thresholds, value: float) -> tuple[Health, str, float] | None:
    ordered = (
        (Health.DOWN, "above", limits.alarm_above),
        (Health.DOWN, "below", limits.alarm_below),
        (Health.DEGRADED, "above", limits.warn_above),
        (Health.DEGRADED, "below", limits.warn_below),
    )
    for health, side, limit in ordered:
        if limit is not None and (value > limit if side == "above" else value < limit):
            return health, side, limit
    return None


def _fault(reason: str) -> Judgement:
    return Judgement(Health.UNKNOWN, reason, SENSOR_FAULT)


def _word(health: Health) -> str:
    return "alarm" if health is Health.DOWN else "warning"


def _shown(entry: Sensor, value: float) -> str:
    return f"{value:g}{UNIT_SIGNS[entry.unit]}"
