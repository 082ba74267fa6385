"""The sensors' profiles that the lab's devices know: where a point stands, and what it can be.

The lab's own table, a small part of the product's and from the same RFCs (1628, 3433), so that a slip in the one is not
in the other as well. The state of a UPS is a number here: 0 on line, 1 on battery, 2 on battery and nearly empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

ON_LINE, ON_BATTERY, BATTERY_LOW = 0, 1, 2
UPS_STATE = "ups-state"


@dataclass(frozen=True, slots=True)
class Known:
    """What a point is; ``oid`` may hold ``{index}``, ``scale`` multiplies the raw number."""

    quantity: str
    unit: str
    low: float
    high: float
    oid: str = ""
    scale: float = 1.0


POINTS: dict[tuple[str, str], Known] = {
    ("entity-sensor", "temperature"): Known("temperature", "celsius", -20, 80, "1.3.6.1.2.1.99.1.1.1.4.{index}", 0.1),
    ("entity-sensor", "humidity"): Known("humidity", "percent", 0, 100, "1.3.6.1.2.1.99.1.1.1.4.{index}", 0.1),
    ("ups-mib", "charge"): Known("battery-charge", "percent", 0, 100, "1.3.6.1.2.1.33.1.2.4.0"),
    ("ups-mib", "load"): Known("load", "percent", 0, 200, "1.3.6.1.2.1.33.1.4.4.1.5.{index}"),
    ("ups-mib", "state"): Known(UPS_STATE, "flags", ON_LINE, BATTERY_LOW, "1.3.6.1.2.1.33.1.4.1.0"),
    ("nut", "battery.charge"): Known("battery-charge", "percent", 0, 100),
    ("nut", "ups.load"): Known("load", "percent", 0, 200),
    ("nut", "ups.status"): Known(UPS_STATE, "flags", ON_LINE, BATTERY_LOW),
}


def completed(sensor: dict[str, Any]) -> dict[str, Any]:
    """Return a sensor as it would have to be written without profiles. Raises KeyError for an unknown point."""
    source = dict(sensor["source"])
    if "profile" in source:
        known = POINTS[source["profile"], source["point"]]
        source |= {"oid": known.oid.format(index=source.get("index", "")), "scale": known.scale}
    elif source.get("protocol") == "nut" and ("nut", source["variable"]) in POINTS:
        known = POINTS["nut", source["variable"]]
    else:
        return sensor
    limits = {"valid_min": known.low, "valid_max": known.high} | sensor.get("thresholds", {})
    return {"quantity": known.quantity, "unit": known.unit} | sensor | {"source": source, "thresholds": limits}
