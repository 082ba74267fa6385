"""What is known of the sensors of common devices: a sensor of the inventory names a profile and a point of it.

A point says where a value stands in the device's MIB, what it is multiplied by, what the device can measure, which
numbers are no measurements (sentinels), and what else must be so for the value to be believed (guards). MIB files:
RFC 1628, RFC 3433, and the vendors' that each profile names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Quantity = Literal[
    "temperature", "humidity", "smoke", "water", "door", "dust", "power", "battery-charge", "load", "ups-state"
]
UNITS: Mapping[str, str] = {
    "temperature": "celsius",
    "humidity": "percent",
    "smoke": "boolean",
    "water": "boolean",
    "door": "boolean",
    "dust": "ug_per_m3",
    "power": "watts",
    "battery-charge": "percent",
    "load": "percent",
    "ups-state": "flags",
}
ProfileName = Literal[
    "ups-mib",
    "entity-sensor",
    "apc-powernet",
    "apc-netbotz",
    "geist-v3",
    "geist-v4",
    "akcp-sensorprobe",
    "akcp-plus",
]
INDEX = "{index}"


@dataclass(frozen=True, slots=True)
class Guard:
    """An object that must hold one of ``allowed`` (numbers, text) for the value beside it to be believed.

    ``words`` say what other numbers mean. ``version_from`` asks for a version (as text) of at least that instead,
    ``filled`` for any text but none, and gives the reason when there is none.
    """

    oid: str
    what: str
    allowed: tuple[int | str, ...] = ()
    words: Mapping[int, str] = field(default_factory=dict, hash=False)
    version_from: tuple[int, ...] = ()
    filled: str = ""


@dataclass(frozen=True, slots=True)
class Point:
    """One kind of value. ``oid`` and those of guards hold ``{index}`` where the device has several.

    ``states`` turns an enumeration into 0 and 1. ``entity`` reads scale, precision, type and status beside the value
    (RFC 3433); ``flags`` makes a UPS's state of several enumerations, in NUT's words (RFC 9271, section 5.1): an empty
    word adds nothing, and a number that is not there is not known.
    """

    quantity: Quantity
    oid: str
    valid: tuple[float, float]
    scale: float = 1.0
    sentinels: Mapping[float, str] = field(default_factory=dict, hash=False)
    guards: tuple[Guard, ...] = ()
    states: Mapping[float, float] = field(default_factory=dict, hash=False)
    entity: int = 0
    flags: tuple[tuple[str, Mapping[int, str]], ...] = field(default=(), hash=False)

    @property
    def unit(self) -> str:
        """The unit of its quantity."""
        return UNITS[self.quantity]

    @property
    def indexed(self) -> bool:
        """Whether the device has several of it."""
        return INDEX in self.oid


ROOM = (-40.0, 85.0)  # °C that a probe for rooms and racks can measure
PERCENT = (0.0, 100.0)
LOAD = (0.0, 250.0)
WATTS = (0.0, 1_000_000.0)
NO_PROBE: Mapping[float, str] = {-1: "no probe is connected"}
NO_HYGROMETER: Mapping[float, str] = {-1: "no probe is connected", 0: "the probe measures no humidity"}

# -- RFC 1628 ---------------------------------------------------------------------------------------------------------

_UPS = "1.3.6.1.2.1.33.1"
_UPS_MIB: Mapping[str, Point] = {
    "charge": Point("battery-charge", f"{_UPS}.2.4.0", PERCENT),
    "battery-temperature": Point("temperature", f"{_UPS}.2.7.0", ROOM),
    "load": Point("load", f"{_UPS}.4.4.1.5.{INDEX}", LOAD),
    "power": Point("power", f"{_UPS}.4.4.1.4.{INDEX}", WATTS),
    "state": Point(
        "ups-state",
        f"{_UPS}.4.1.0",
        (0, 0),
        flags=(
            (f"{_UPS}.4.1.0", {2: "OFF", 3: "OL", 4: "BYPASS", 5: "OB", 6: "OL BOOST", 7: "OL TRIM"}),
            (f"{_UPS}.2.1.0", {2: "", 3: "LB", 4: "LB"}),
        ),
    ),
}

# -- RFC 3433 ---------------------------------------------------------------------------------------------------------

ENTITY = "1.3.6.1.2.1.99.1.1.1"
_CELSIUS, _PERCENT_RH, _WATTS, _TRUTH = 8, 9, 6, 12  # EntitySensorDataType
_ENTITY_SENSOR: Mapping[str, Point] = {
    "temperature": Point("temperature", f"{ENTITY}.4.{INDEX}", (-100, 250), entity=_CELSIUS),
    "humidity": Point("humidity", f"{ENTITY}.4.{INDEX}", PERCENT, entity=_PERCENT_RH),
    "power": Point("power", f"{ENTITY}.4.{INDEX}", WATTS, entity=_WATTS),
    "smoke": Point("smoke", f"{ENTITY}.4.{INDEX}", (0, 1), entity=_TRUTH, states={1: 1, 2: 0}),
    "water": Point("water", f"{ENTITY}.4.{INDEX}", (0, 1), entity=_TRUTH, states={1: 1, 2: 0}),
    "door": Point("door", f"{ENTITY}.4.{INDEX}", (0, 1), entity=_TRUTH, states={1: 1, 2: 0}),
}

# -- APC (Schneider Electric): PowerNet-MIB, NETBOTZV2-MIB -----------------------------------------------------------

_APC = "1.3.6.1.4.1.318.1.1"
_COMMS = {1: "no sensor is installed", 3: "the device has lost touch with the sensor"}
_UIO = Guard(f"{_APC}.25.1.2.1.10.{INDEX}", "its communication", (2,), _COMMS)
_RPDU2 = Guard(f"{_APC}.26.10.2.2.1.6.{INDEX}", "its communication", (2,), _COMMS)
_LOST: Mapping[float, str] = {-2147483647: "the device has no reading of the sensor"}  # seen on a NetBotz 250
_WIRELESS_UNIT = Guard(f"{_APC}.10.4.2.1.0", "its unit", (1,), {2: "it is set to Fahrenheit"})
_IEM = Guard(f"{_APC}.10.2.3.2.1.3.{INDEX}", "the probe", (2,), {1: "the probe is disconnected"})
_IEM_UNIT = Guard(f"{_APC}.10.2.3.2.1.5.{INDEX}", "its unit", (1,), {2: "it is set to Fahrenheit"})
_APC_OUTPUT = {  # upsBasicOutputStatus; 1 is unknown
    2: "OL",
    3: "OB",
    4: "OL BOOST",
    5: "OFF",
    6: "BYPASS",
    7: "OFF",
    8: "OFF",
    9: "BYPASS",
    10: "BYPASS",
    11: "OFF",
    12: "OL TRIM",
    13: "OL",
    14: "OL",
    15: "OB CAL",
    16: "BYPASS",
}
_POWERNET: Mapping[str, Point] = {
    "ups-charge": Point("battery-charge", f"{_APC}.1.2.2.1.0", PERCENT),
    "ups-temperature": Point("temperature", f"{_APC}.1.2.2.2.0", ROOM),
    "ups-load": Point("load", f"{_APC}.1.4.2.3.0", LOAD),
    "ups-state": Point(
        "ups-state",
        f"{_APC}.1.4.1.1.0",
        (0, 0),
        flags=(
            (f"{_APC}.1.4.1.1.0", _APC_OUTPUT),
            (f"{_APC}.1.2.1.1.0", {2: "", 3: "LB", 4: "RB"}),
            (f"{_APC}.1.2.2.4.0", {1: "", 2: "RB"}),
        ),
    ),
    "uio-temperature": Point("temperature", f"{_APC}.25.1.2.1.6.{INDEX}", ROOM, sentinels=NO_PROBE, guards=(_UIO,)),
    "uio-humidity": Point("humidity", f"{_APC}.25.1.2.1.7.{INDEX}", PERCENT, sentinels=NO_HYGROMETER, guards=(_UIO,)),
    "iem-temperature": Point(
        "temperature", f"{_APC}.10.2.3.2.1.4.{INDEX}", ROOM, sentinels=NO_PROBE, guards=(_IEM, _IEM_UNIT)
    ),
    "iem-humidity": Point("humidity", f"{_APC}.10.2.3.2.1.6.{INDEX}", PERCENT, sentinels=NO_HYGROMETER, guards=(_IEM,)),
    "wireless-temperature": Point(
        "temperature", f"{_APC}.10.5.1.1.1.5.{INDEX}", ROOM, 0.1, sentinels=_LOST, guards=(_WIRELESS_UNIT,)
    ),
    "wireless-humidity": Point("humidity", f"{_APC}.10.5.1.1.1.8.{INDEX}", PERCENT, sentinels=NO_HYGROMETER),
    "rpdu-temperature": Point(
        "temperature", f"{_APC}.26.10.2.2.1.8.{INDEX}", ROOM, 0.1, sentinels=NO_PROBE, guards=(_RPDU2,)
    ),
    "rpdu-humidity": Point(
        "humidity", f"{_APC}.26.10.2.2.1.10.{INDEX}", PERCENT, sentinels=NO_HYGROMETER, guards=(_RPDU2,)
    ),
}
_BOTZ = "1.3.6.1.4.1.5528.100.4"
_UNPLUGGED = "no sensor is plugged in"  # its value is 0 then, and its value as text empty (seen on a NetBotz 450)
_FAILURE = {5: "the device calls it a failure"}  # ErrorStatus; the others are its own thresholds' words
_SOUND = (0, 1, 2, 3, 4)
_NETBOTZ: Mapping[str, Point] = {
    "temperature": Point(
        "temperature",
        f"{_BOTZ}.1.1.1.2.{INDEX}",
        ROOM,
        0.1,
        guards=(
            Guard(f"{_BOTZ}.1.1.1.7.{INDEX}", "its value as text", filled=_UNPLUGGED),
            Guard(f"{_BOTZ}.1.1.1.3.{INDEX}", "its error status", _SOUND, _FAILURE),
        ),
    ),
    "humidity": Point(
        "humidity",
        f"{_BOTZ}.1.2.1.2.{INDEX}",
        PERCENT,
        0.1,
        sentinels=NO_HYGROMETER,
        guards=(
            Guard(f"{_BOTZ}.1.2.1.7.{INDEX}", "its value as text", filled=_UNPLUGGED),
            Guard(f"{_BOTZ}.1.2.1.3.{INDEX}", "its error status", _SOUND, _FAILURE),
        ),
    ),
    "door": Point(
        "door",
        f"{_BOTZ}.2.2.1.2.{INDEX}",
        (0, 1),
        sentinels={-1: "the device does not know whether the door is open"},
        states={0: 1, 1: 0},
    ),
}

# -- Geist (Vertiv): GEIST-MIB-V3, GEIST-V4-MIB -----------------------------------------------------------------------

_GEIST = "1.3.6.1.4.1.21239"
_V4_FIRMWARE = Guard(
    f"{_GEIST}.5.1.1.2.0", "its firmware", version_from=(3, 2)
)  # before it other columns, other scales
_V4_UNIT = Guard(f"{_GEIST}.5.1.1.7.0", "its unit", (1,), {0: "it is set to Fahrenheit"})


def _there(oid: str) -> Guard:
    return Guard(
        f"{oid}.{INDEX}", "the sensor", (1,), {0: "the sensor is not available", 2: "the sensor is not available"}
    )


_GEIST_V3: Mapping[str, Point] = {
    "climate-temperature": Point(
        "temperature", f"{_GEIST}.2.2.1.5.{INDEX}", ROOM, guards=(_there(f"{_GEIST}.2.2.1.4"),)
    ),
    "climate-humidity": Point(
        "humidity",
        f"{_GEIST}.2.2.1.7.{INDEX}",
        PERCENT,
        sentinels={0: "the device measures no humidity"},  # seen on an RSMINI163
        guards=(_there(f"{_GEIST}.2.2.1.4"),),
    ),
    "temperature": Point("temperature", f"{_GEIST}.2.4.1.5.{INDEX}", ROOM, guards=(_there(f"{_GEIST}.2.4.1.4"),)),
}
_GEIST_V4: Mapping[str, Point] = {
    "internal-temperature": Point(
        "temperature",
        f"{_GEIST}.5.1.2.1.5.{INDEX}",
        ROOM,
        0.1,
        guards=(_V4_FIRMWARE, _V4_UNIT, _there(f"{_GEIST}.5.1.2.1.4")),
    ),
    "internal-humidity": Point(
        "humidity", f"{_GEIST}.5.1.2.1.6.{INDEX}", PERCENT, guards=(_V4_FIRMWARE, _there(f"{_GEIST}.5.1.2.1.4"))
    ),
    "temperature": Point(
        "temperature",
        f"{_GEIST}.5.1.4.1.5.{INDEX}",
        ROOM,
        0.1,
        guards=(_V4_FIRMWARE, _V4_UNIT, _there(f"{_GEIST}.5.1.4.1.4")),
    ),
}

# -- AKCP: SPAGENT-MIB (sensorProbe, and the plus series) ------------------------------------------------------------

_AKCP, _AKCP_PLUS = "1.3.6.1.4.1.3854.1.2.2.1", "1.3.6.1.4.1.3854.3.5"
_AKCP_STATUS = {
    0: "the sensor is not connected",
    1: "the sensor has no status",
    7: "the device calls it a sensor error",
}


def _akcp(status: str, online: str) -> tuple[Guard, ...]:
    return (
        Guard(f"{online}.{INDEX}", "the sensor", (1,), {2: "the sensor is offline"}),
        Guard(f"{status}.{INDEX}", "its status", (2, 3, 4, 5, 6), _AKCP_STATUS),
    )


_SENSORPROBE: Mapping[str, Point] = {
    "temperature": Point(
        "temperature",
        f"{_AKCP}.16.1.14.{INDEX}",
        ROOM,
        0.1,
        guards=(
            *_akcp(f"{_AKCP}.16.1.4", f"{_AKCP}.16.1.5"),
            Guard(f"{_AKCP}.16.1.12.{INDEX}", "its unit", (1,), {0: "it is set to Fahrenheit"}),
        ),
    ),
    "humidity": Point(
        "humidity", f"{_AKCP}.17.1.3.{INDEX}", PERCENT, guards=_akcp(f"{_AKCP}.17.1.4", f"{_AKCP}.17.1.5")
    ),
}
_PLUS: Mapping[str, Point] = {
    "temperature": Point(
        "temperature",
        f"{_AKCP_PLUS}.2.1.20.{INDEX}",
        ROOM,
        0.1,
        guards=(
            *_akcp(f"{_AKCP_PLUS}.2.1.6", f"{_AKCP_PLUS}.2.1.8"),
            Guard(f"{_AKCP_PLUS}.2.1.5.{INDEX}", "its unit", ("C",)),
        ),
    ),
    "humidity": Point(
        "humidity", f"{_AKCP_PLUS}.3.1.4.{INDEX}", PERCENT, guards=_akcp(f"{_AKCP_PLUS}.3.1.6", f"{_AKCP_PLUS}.3.1.8")
    ),
}

PROFILES: Mapping[ProfileName, Mapping[str, Point]] = {
    "ups-mib": _UPS_MIB,
    "entity-sensor": _ENTITY_SENSOR,
    "apc-powernet": _POWERNET,
    "apc-netbotz": _NETBOTZ,
    "geist-v3": _GEIST_V3,
    "geist-v4": _GEIST_V4,
    "akcp-sensorprobe": _SENSORPROBE,
    "akcp-plus": _PLUS,
}

# -- variables of a UPS behind upsd, by NUT's names (RFC 9271, appendix A): quantity and what it can be ---------------

VARIABLES: Mapping[str, tuple[Quantity, tuple[float, float]]] = {
    "battery.charge": ("battery-charge", PERCENT),
    "battery.temperature": ("temperature", ROOM),
    "ups.temperature": ("temperature", ROOM),
    "ups.load": ("load", LOAD),
    "ups.realpower": ("power", WATTS),
    "ups.status": ("ups-state", (0, 0)),
    "ambient.temperature": ("temperature", ROOM),
    "ambient.humidity": ("humidity", PERCENT),
}
