"""What sensors say must agree: with their profile, their quantity, one another, and the votes they take part in.

Each rule a function that yields Problems; names that do not exist are left to ``references.py``.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from monitor.inventory.profiles import PROFILES, UNITS, VARIABLES
from monitor.inventory.sensors import SnmpSource
from monitor.problem import did_you_mean
from monitor.yamlfile import dotted, shorten

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from monitor.inventory.model import Inventory
    from monitor.inventory.sensors import ModbusSource, NutSource, RedfishSource, Sensor
    from monitor.problem import Problem
    from monitor.yamlfile import Document, Path

    AnySource = SnmpSource | ModbusSource | NutSource | RedfishSource

READINGS_A_WINDOW = 6
_LADDER = ("valid_min", "alarm_below", "warn_below", "warn_above", "alarm_above", "valid_max")
_LIMITS = ("alarm_below", "warn_below", "warn_above", "alarm_above")
_NOT_PART_OF_A_PLACE = {"scale", "encoding", "word_order", "sentinels", "community", "user", "credential"}


def check(inventory: Inventory, document: Document) -> Iterator[Problem]:
    """Yield every disagreement of sensors and votes."""
    read: dict[Hashable, Path] = {}
    for key, sensor in inventory.sensors.items():
        path: Path = ("sensors", key)
        if sensor.source.protocol == "snmp":
            yield from _snmp(sensor.source, (*path, "source"), document)
        yield from _quantity(sensor, path, document)
        yield from _limits(sensor, path, document)
        yield from _window(sensor, path, inventory, document)
        yield from _modbus(sensor, path, document)
        first = read.setdefault(_reading(sensor.source), path)
        if first != path:
            yield document.problem((*path, "source"), f"the same value is read by {dotted(first)}")
        if sensor.interval_s is not None and inventory.polling.stale_after_s <= 2 * sensor.interval_s:
            limit = inventory.polling.stale_after_s / 2
            message = f"must be less than half of polling.stale_after_s ({limit:g}), found {sensor.interval_s:g}"
            yield document.problem((*path, "interval_s"), message)
    yield from _votes(inventory, document)


def _snmp(source: SnmpSource, path: Path, document: Document) -> Iterator[Problem]:
    if (source.community is None) == (source.user is None):
        hint = "'community' for version 2c, 'user' for version 3"
        yield document.problem(path, "an SNMP source has either a community or a user", hint, "key")
    if (source.profile is None) == (source.oid is None):
        hint = "'profile' and 'point' of a known device, or 'oid' (and 'scale') of any other"
        yield document.problem(path, "an SNMP source has either a profile or an oid", hint, "key")
        return
    if source.profile is None:
        for name in ("point", "index"):
            if getattr(source, name):
                yield document.problem((*path, name), "this belongs to a profile, and there is none")
        return
    for name, plain in (("scale", 1.0), ("sentinels", ())):
        if getattr(source, name) != plain:
            yield document.problem((*path, name), f"the profile '{source.profile}' says this already")
    yield from _point(source, path, document)


def _point(source: SnmpSource, path: Path, document: Document) -> Iterator[Problem]:
    assert source.profile is not None  # noqa: S101 - the caller has asked
    points = PROFILES[source.profile]
    if source.point is None:
        yield document.problem(path, "'point' is missing", f"one of {', '.join(points)}", "key")
        return
    point = points.get(source.point)
    if point is None:
        message = f"the profile '{source.profile}' has no point '{shorten(source.point)}'"
        yield document.problem((*path, "point"), message, did_you_mean(source.point[:100], points))
    elif point.indexed and not source.index:
        yield document.problem(path, "'index' is missing", "the device has several of it: which one", "key")
    elif not point.indexed and source.index:
        yield document.problem((*path, "index"), "the device has only one of it, so there is no index")


def _quantity(sensor: Sensor, path: Path, document: Document) -> Iterator[Problem]:
    source, known = sensor.source, None
    if source.protocol == "snmp" and source.profile is not None and source.point is not None:
        point = PROFILES[source.profile].get(source.point)
        known = None if point is None else point.quantity
    if source.protocol == "nut" and source.variable in VARIABLES:
        known = VARIABLES[source.variable][0]
    if known is not None and sensor.quantity != known:
        yield document.problem((*path, "quantity"), f"what is read is {known}, found '{sensor.quantity}'")
        return
    if sensor.quantity == "ups-state" and known is None:
        hint = "a profile's point 'state', or 'ups.status' by nut"
        yield document.problem((*path, "quantity"), "ups-state can be read of a UPS alone", hint)
    elif sensor.unit != UNITS[sensor.quantity]:
        message = f"{sensor.quantity} is measured in '{UNITS[sensor.quantity]}', found '{sensor.unit}'"
        yield document.problem((*path, "unit"), message)


def _limits(sensor: Sensor, path: Path, document: Document) -> Iterator[Problem]:
    limits, rise = sensor.thresholds, sensor.rise_per_minute
    if sensor.quantity == "ups-state":
        for name in _LIMITS:
            if getattr(limits, name) is not None:
                yield document.problem((*path, "thresholds", name), "the state of a UPS has no limits")
        if rise is not None:
            yield document.problem((*path, "rise_per_minute"), "the state of a UPS does not rise")
        return
    steps = [(name, getattr(limits, name)) for name in _LADDER]
    given = [(name, value) for name, value in steps if value is not None]
    for (lower, low), (upper, high) in itertools.pairwise(given):
        if low >= high:
            yield document.problem((*path, "thresholds", upper), f"must be more than {lower} ({low:g}), found {high:g}")
    yield from _rise(sensor, (*path, "rise_per_minute"), document)


def _rise(sensor: Sensor, place: Path, document: Document) -> Iterator[Problem]:
    rise = sensor.rise_per_minute
    if rise is None:
        return
    if sensor.unit == "boolean":
        yield document.problem(place, f"{sensor.quantity} is there or not; it does not rise")
    if rise.warn_above is None and rise.alarm_above is None:
        yield document.problem(place, "this has no limit", "add 'warn_above', 'alarm_above' or both", "key")
    elif rise.warn_above is not None and rise.alarm_above is not None and rise.warn_above >= rise.alarm_above:
        message = f"must be more than warn_above ({rise.warn_above:g}), found {rise.alarm_above:g}"
        yield document.problem((*place, "alarm_above"), message)


def _window(sensor: Sensor, path: Path, inventory: Inventory, document: Document) -> Iterator[Problem]:
    """Yield a window with so few readings in it that a rise would never be known."""
    rise, interval_s = sensor.rise_per_minute, sensor.interval_s or inventory.polling.interval_s
    if rise is not None and rise.window_s < READINGS_A_WINDOW * interval_s:
        least = READINGS_A_WINDOW * interval_s
        message = f"must be at least {READINGS_A_WINDOW} times the interval ({least:g}), found {rise.window_s:g}"
        yield document.problem((*path, "rise_per_minute", "window_s"), message, "or too few readings are in it")


def _modbus(sensor: Sensor, path: Path, document: Document) -> Iterator[Problem]:
    source = sensor.source
    if source.protocol != "modbus":
        return
    place = (*path, "source", "encoding")
    if source.table in ("coil", "discrete") and source.encoding != "uint16":
        yield document.problem(place, f"a {source.table} is a single bit and has no encoding")
    if source.encoding in ("uint32", "int32", "float32") and source.register_address == 65535:  # noqa: PLR2004 - the last
        yield document.problem(place, "there is no second register after 65535")


def _votes(inventory: Inventory, document: Document) -> Iterator[Problem]:
    for key, vote in inventory.votes.items():
        path = ("votes", key)
        if vote.needed > len(vote.sensors):
            message = f"must be at most the number of sensors ({len(vote.sensors)}), found {vote.needed}"
            yield document.problem((*path, "needed"), message)
        for index, voter in enumerate(vote.sensors):
            place = (*path, "sensors", index)
            if voter in vote.sensors[:index]:
                yield document.problem(place, f"'{voter}' votes twice")
                continue
            sensor = inventory.sensors.get(voter)
            if sensor is None:
                continue
            if sensor.site != vote.site:
                yield document.problem(place, f"'{voter}' is at {sensor.site}, the vote at {vote.site}")
            if not _can_alarm(sensor):
                yield document.problem(place, f"'{voter}' has no alarm limit, so it can never vote for danger")


def _can_alarm(sensor: Sensor) -> bool:
    limits, rise = sensor.thresholds, sensor.rise_per_minute
    if sensor.quantity == "ups-state":
        return True
    given = (limits.alarm_above, limits.alarm_below, None if rise is None else rise.alarm_above)
    return any(limit is not None for limit in given)


def _reading(source: AnySource) -> Hashable:
    return tuple(source.model_dump(exclude=_NOT_PART_OF_A_PLACE).values())
