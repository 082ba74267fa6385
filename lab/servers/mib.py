"""The objects that the lab's SNMP agents show: the inventory's sensors and what belongs beside them.

Beside each value of ENTITY-SENSOR-MIB (RFC 3433) stand its type, scale, precision and operational status; beside
those of UPS-MIB (RFC 1628) the state of battery and output; and every agent has the system group (RFC 3418). A faulty
sensor's value is missing, as when its probe is unplugged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lab.plan import SensorPlan
from lab.points import BATTERY_LOW as BATTERY_LOW_STATE
from lab.points import ON_LINE, UPS_STATE
from lab.servers.ber import GAUGE32, TIMETICKS, Oid, Value, integer, object_identifier, parse_oid, text
from lab.states import SensorState

SYSTEM = (1, 3, 6, 1, 2, 1, 1)
ENTITY_SENSOR_ENTRY = (1, 3, 6, 1, 2, 1, 99, 1, 1, 1)
ENTITY_SENSOR_VALUE = (*ENTITY_SENSOR_ENTRY, 4)
UPS = (1, 3, 6, 1, 2, 1, 33, 1)
UPS_CHARGE = (*UPS, 2, 4, 0)
SENSOR_TYPES = {"celsius": 8, "percent": 9, "watts": 6, "boolean": 12}  # EntitySensorDataType; other(1) else
SCALE_UNITS, OK, UNAVAILABLE = 9, 1, 2
LOW_BATTERY_PERCENT = 20
UPS_OUTPUT_SOURCE = (*UPS, 4, 1, 0)
BATTERY_NORMAL, BATTERY_LOW, OUTPUT_NORMAL, OUTPUT_BATTERY = 2, 3, 3, 5
MINUTES_A_PERCENT = 0.4


@dataclass(frozen=True, slots=True)
class Reading:
    """A sensor and what it says now."""

    plan: SensorPlan
    state: SensorState


def raw_value(reading: Reading) -> int:
    """Give the integer that a device shows for a value: the value over the inventory's ``scale``."""
    return round(reading.state.value / float(reading.plan.source.get("scale", 1.0)))


def agent_objects(readings: Sequence[Reading], name: str, up_s: float) -> dict[Oid, Value]:
    """Give every object of the agent ``name`` that has been up for ``up_s`` seconds and shows ``readings``."""
    objects: dict[Oid, Value] = {
        (*SYSTEM, 1, 0): text("Simulated sensor agent of the lab"),
        (*SYSTEM, 2, 0): object_identifier((1, 3, 6, 1, 4, 1, 8072, 3, 2, 10)),
        (*SYSTEM, 3, 0): integer(int(up_s * 100) % 2**32, TIMETICKS),
        (*SYSTEM, 4, 0): text("service-desk@customs.example"),
        (*SYSTEM, 5, 0): text(name),
        (*SYSTEM, 6, 0): text(readings[0].plan.site),
    }
    for reading in readings:
        oid = parse_oid(reading.plan.source["oid"])
        if not reading.state.faulty:
            objects[oid] = integer(_output_source(reading) if oid == UPS_OUTPUT_SOURCE else raw_value(reading))
        if oid[:-1] == ENTITY_SENSOR_VALUE:
            objects.update(_beside_sensor(oid[-1], reading))
    if any(parse_oid(reading.plan.source["oid"])[: len(UPS)] == UPS for reading in readings):
        states = [each.state.value for each in readings if each.plan.quantity == UPS_STATE]
        objects = _beside_ups(objects.get(UPS_CHARGE), low=BATTERY_LOW_STATE in states) | objects
        if any(each.plan.quantity == UPS_STATE and each.state.faulty for each in readings):
            objects.pop(UPS_OUTPUT_SOURCE)
    return objects


def _beside_sensor(index: int, reading: Reading) -> dict[Oid, Value]:
    precision = max(0, -round(math.log10(float(reading.plan.source.get("scale", 1.0)))))
    return {
        (*ENTITY_SENSOR_ENTRY, 1, index): integer(SENSOR_TYPES.get(reading.plan.unit, 1)),
        (*ENTITY_SENSOR_ENTRY, 2, index): integer(SCALE_UNITS),
        (*ENTITY_SENSOR_ENTRY, 3, index): integer(precision),
        (*ENTITY_SENSOR_ENTRY, 5, index): integer(UNAVAILABLE if reading.state.faulty else OK),
        (*ENTITY_SENSOR_ENTRY, 6, index): text(reading.plan.unit),
    }


def _output_source(reading: Reading) -> int:
    """Give upsOutputSource for the state of a UPS."""
    return OUTPUT_NORMAL if reading.state.value == ON_LINE else OUTPUT_BATTERY


def _beside_ups(charge: Value | None, *, low: bool) -> dict[Oid, Value]:
    percent = 100 if charge is None else int.from_bytes(charge.contents, "big", signed=True)
    return {
        (*UPS, 2, 1, 0): integer(BATTERY_LOW if low or percent < LOW_BATTERY_PERCENT else BATTERY_NORMAL),
        (*UPS, 2, 2, 0): integer(0),
        (*UPS, 2, 3, 0): integer(int(percent * MINUTES_A_PERCENT)),
        UPS_OUTPUT_SOURCE: integer(OUTPUT_NORMAL),
        (*UPS, 6, 1, 0): integer(0, GAUGE32),
    }
