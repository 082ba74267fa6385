"""Sensors of the data centres: how each is read, and within which limits."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from monitor.inventory.values import OID, Endpoint, Flag, Key, Model, Number, Reference, Seconds, Text, Whole


class SnmpSource(Endpoint):
    """A value read by SNMP v2c GET (RFC 3416)."""

    protocol: Literal["snmp"]
    community: Reference = Field(description="credential that holds the community")
    oid: Annotated[str, Field(pattern=OID, max_length=300)]
    scale: Number = Field(1.0, description="multiply the integer by this")


class ModbusSource(Endpoint):
    """A value read by Modbus TCP function 4 (input register)."""

    protocol: Literal["modbus"]
    unit_id: Annotated[Whole, Field(ge=0, le=247)] = 1
    register_address: Annotated[Whole, Field(ge=0, le=65535)]
    signed: Flag = False
    scale: Number = 1.0


class NutSource(Endpoint):
    """A variable of a UPS behind Network UPS Tools' upsd (RFC 9271)."""

    protocol: Literal["nut"]
    ups: Text
    variable: Text = Field(examples=["battery.charge"])


Source = Annotated[SnmpSource | ModbusSource | NutSource, Field(discriminator="protocol")]


Quantity = Literal["temperature", "humidity", "smoke", "water", "door", "dust", "power", "battery-charge", "load"]


class Thresholds(Model):
    """Limits in the sensor's unit; beyond ``valid`` is a fault of the sensor, not an alarm of the room."""

    valid_min: Number
    valid_max: Number
    warn_below: Number | None = None
    warn_above: Number | None = None
    alarm_below: Number | None = None
    alarm_above: Number | None = None


class Sensor(Model):
    """A sensor of a data centre."""

    name: Text
    site: Key
    quantity: Quantity
    unit: Literal["celsius", "percent", "boolean", "watts", "ug_per_m3"]
    source: Source
    thresholds: Thresholds
    interval_s: Seconds | None = None
