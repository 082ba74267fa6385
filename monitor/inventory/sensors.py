"""Sensors of the data centres: how each is read, within which limits, and which of them vote together."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from monitor.inventory import rules
from monitor.inventory.profiles import PROFILES, UNITS, VARIABLES, ProfileName, Quantity
from monitor.inventory.values import OID, Endpoint, Key, Model, Number, Reference, Seconds, Text, Whole

Sentinels = Annotated[
    tuple[Number, ...],
    Field(description="numbers, before scale, that mean that there is no measurement", examples=[[-1, 32767]]),
]
Index = Annotated[
    str,
    BeforeValidator(rules.index_text),
    AfterValidator(rules.index),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "integer"}]}),
]


class SnmpUser(Model):
    """A user of SNMPv3 (RFC 3414)."""

    name: Text
    authentication: Literal["sha", "sha224", "sha256", "sha384", "sha512"] = "sha256"
    authentication_credential: Reference = Field(description="credential that holds the authentication password")
    privacy_credential: Reference | None = Field(
        None, description="credential that holds the privacy password (AES-128); without one the answers can be read"
    )


class SnmpSource(Endpoint):
    """A value read by SNMP GET (RFC 3416): by a profile's point, or by OID. By community (v2c) or by user (v3)."""

    protocol: Literal["snmp"]
    community: Reference | None = Field(None, description="credential that holds the community")
    user: Key | None = Field(None, description="key of snmp_users")
    profile: ProfileName | None = Field(None, description="the device's kind")
    point: Text | None = Field(None, description="what of the profile", examples=["temperature"])
    index: Index = Field("", description="which of them, as the device counts", examples=["1", "1.1"])
    oid: Annotated[str, Field(pattern=OID, max_length=300)] | None = None
    scale: Number = Field(1.0, description="multiply the integer by this")
    sentinels: Sentinels = ()


class ModbusSource(Endpoint):
    """A value read by Modbus TCP (functions 1 to 4)."""

    protocol: Literal["modbus"]
    unit_id: Annotated[Whole, Field(ge=0, le=247)] = 1
    table: Literal["input", "holding", "coil", "discrete"] = Field("input", description="where the value stands")
    register_address: Annotated[Whole, Field(ge=0, le=65535)] = Field(description="0-based, as on the wire")
    encoding: Literal["uint16", "int16", "uint32", "int32", "float32"] = Field(
        "uint16", description="of registers; 32 bits take two"
    )
    word_order: Literal["high-first", "low-first"] = Field(
        "high-first", description="which of two registers holds the upper half"
    )
    scale: Number = 1.0
    sentinels: Sentinels = ()


class NutSource(Endpoint):
    """A variable of a UPS behind Network UPS Tools' upsd (RFC 9271)."""

    protocol: Literal["nut"]
    ups: Text
    variable: Text = Field(examples=["battery.charge"])


class RedfishSource(Endpoint):
    """A reading of a chassis behind a Redfish service (DMTF DSP0266)."""

    protocol: Literal["redfish"]
    user: Text
    credential: Reference = Field(description="password of the user")
    chassis: Text = Field(description="Redfish id below /redfish/v1/Chassis/", examples=["1"])
    resource: Literal["sensors", "thermal", "power"] = Field(
        "sensors", description="'sensors' where the service has them; 'thermal' and 'power' are the older resources"
    )
    member: Text = Field(description="the sensor's Id, or the MemberId or Name within the older resources")


Source = Annotated[SnmpSource | ModbusSource | NutSource | RedfishSource, Field(discriminator="protocol")]


def _may_be_left_out(schema: dict[str, Any]) -> None:
    """Say in the JSON Schema that what a profile knows need not be written."""
    known = {"quantity", "unit", "thresholds", "valid_min", "valid_max"}
    schema["required"] = [name for name in schema.get("required", []) if name not in known]


class Thresholds(Model):
    """Limits in the sensor's unit; beyond ``valid`` is a fault of the sensor, not an alarm of the room."""

    model_config = ConfigDict(json_schema_extra=_may_be_left_out)

    valid_min: Number
    valid_max: Number
    warn_below: Number | None = None
    warn_above: Number | None = None
    alarm_below: Number | None = None
    alarm_above: Number | None = None


class Rise(Model):
    """How fast the value may rise, in the sensor's unit a minute, seen over a window."""

    window_s: Annotated[Number, Field(ge=60, le=86400)] = Field(300, description="what the rise is measured over")
    warn_above: Annotated[Number, Field(gt=0)] | None = None
    alarm_above: Annotated[Number, Field(gt=0)] | None = None


class Sensor(Model):
    """A sensor of a data centre. What a profile (or a known variable of a UPS) says of it need not be written."""

    model_config = ConfigDict(json_schema_extra=_may_be_left_out)

    name: Text
    site: Key
    quantity: Quantity
    unit: Literal["celsius", "percent", "boolean", "watts", "ug_per_m3", "flags"]
    source: Source
    thresholds: Thresholds
    rise_per_minute: Rise | None = None
    interval_s: Seconds | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_profile(cls, data: Any) -> Any:
        """Fill in what the source's profile knows: quantity, unit, and what can be measured."""
        known = _known(data)
        if known is None:
            return data
        quantity, (low, high) = known
        thresholds = data.get("thresholds", {})
        if isinstance(thresholds, dict):
            thresholds = {"valid_min": low, "valid_max": high} | thresholds
        return {"quantity": quantity, "unit": UNITS[quantity]} | data | {"thresholds": thresholds}


class Vote(Model):
    """Sensors that together say whether the room is in danger: some of them must agree before anybody is told so."""

    name: Text
    site: Key
    sensors: Annotated[tuple[Key, ...], Field(min_length=2)]
    needed: Annotated[Whole, Field(ge=1)] = Field(2, description="how many of them must be in alarm")


def _known(data: Any) -> tuple[Quantity, tuple[float, float]] | None:
    """Return the quantity and range that the source of a sensor as written implies; None where it implies none."""
    source = data.get("source") if isinstance(data, dict) else None
    if not isinstance(source, dict):
        return None
    if source.get("protocol") == "nut" and isinstance(source.get("variable"), str):
        return VARIABLES.get(source["variable"])
    profile, point = source.get("profile"), source.get("point")
    if source.get("protocol") != "snmp" or profile is None:
        return None
    points = next((points for name, points in PROFILES.items() if name == profile), {})
    found = points.get(point) if isinstance(point, str) else None
    # A profile or point that is not there is a mistake of its own; it must not make more of what it would have said.
    return ("temperature", (0, 0)) if found is None else (found.quantity, found.valid)
