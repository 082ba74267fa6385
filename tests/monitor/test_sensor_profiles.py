"""Profiles: each point's range, sentinels and guards, and the arithmetic of ENTITY-SENSOR-MIB."""

from __future__ import annotations

import contextlib
import math
import re
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import GarbledReply, NotFound, TargetError
from monitor.inventory.profiles import ENTITY, PROFILES, UNITS, Point, ProfileName, Quantity
from monitor.inventory.values import OID
from monitor.probes.snmp import asked, read

POINTS = [(profile, name, point) for profile, points in PROFILES.items() for name, point in points.items()]
IDS = [f"{profile}/{name}" for profile, name, _ in POINTS]
ANY_VALUE = st.one_of(st.none(), st.integers(), st.floats(), st.binary(max_size=9))
DOCS = Path(__file__).parents[2] / "docs" / "sensors.md"


def test_the_names_are_those_of_the_inventory() -> None:
    assert set(get_args(ProfileName)) == set(PROFILES)
    assert set(get_args(Quantity)) == set(UNITS)


@pytest.mark.parametrize(("profile", "name", "point"), POINTS, ids=IDS)
def test_a_point_is_sound(profile: str, name: str, point: Point) -> None:
    index = "1" if point.indexed else ""
    oids = asked(point, index)
    assert all(re.fullmatch(OID, oid) for oid in oids)
    assert point.valid[0] < point.valid[1] or point.quantity == "ups-state"
    assert all(guard.allowed or guard.version_from or guard.filled for guard in point.guards)
    with pytest.raises(NotFound):
        read(point, index, oids, dict.fromkeys(oids))


@pytest.mark.parametrize(("profile", "name", "point"), POINTS, ids=IDS)
def test_a_point_is_documented(profile: str, name: str, point: Point) -> None:
    assert f"`{name}`" in DOCS.read_text().split(f"| `{profile}` |")[1].split("\n")[0]


@pytest.mark.parametrize(("profile", "name", "point"), POINTS, ids=IDS)
@given(data=st.data())
def test_whatever_an_agent_says_is_a_number_or_told(profile: str, name: str, point: Point, data: st.DataObject) -> None:
    oids = asked(point, "1")
    said = data.draw(st.fixed_dictionaries(dict.fromkeys(oids, ANY_VALUE)))
    with contextlib.suppress(TargetError):
        found, facts = read(point, "1", oids, said)
        assert facts or math.isfinite(found["value"])


def entity(value: int, scale: int = 9, precision: int = 0, status: int = 1, kind: int = 8) -> float:
    point = PROFILES["entity-sensor"]["temperature"]
    columns = {1: kind, 2: scale, 3: precision, 4: value, 5: status}
    said = {f"{ENTITY}.{column}.7": number for column, number in columns.items()}
    found, _ = read(point, "7", asked(point, "7"), said)
    return found["value"]


@pytest.mark.parametrize(
    ("value", "scale", "precision", "reads"),
    [
        (215, 9, 1, 21.5),
        (21500, 8, 0, 21.5),  # milli
        (2150, 8, -2, 2.15),  # a negative precision is how many digits are accurate: it moves no point
        (21, 9, 0, 21),
        (2, 10, 2, 20),  # kilo, two places
        (-55, 9, 1, -5.5),
    ],
)
def test_value_scale_and_precision(value: int, scale: int, precision: int, reads: float) -> None:
    assert entity(value, scale, precision) == pytest.approx(reads)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ({"status": 2}, "cannot get"),
        ({"status": 3}, "broken"),
        ({"status": 0}, "unknown status"),
        ({"kind": 9}, "measures percent, not celsius"),
        ({"kind": 4}, "values of type 4"),
        ({"value": 1_000_000_000}, "beyond what the agent can tell"),
        ({"value": -1_000_000_000}, "beyond what the agent can tell"),
    ],
)
def test_an_entity_sensor_that_is_not_to_be_believed(what: dict[str, int], words: str) -> None:
    with pytest.raises(NotFound, match=words):
        entity(**({"value": 215} | what))


@pytest.mark.parametrize(("scale", "precision"), [(0, 0), (18, 0), (9, 10), (9, -9)])
def test_a_scale_of_no_rfc_is_garbage(scale: int, precision: int) -> None:
    with pytest.raises(GarbledReply):
        entity(215, scale, precision)


def of(profile: ProfileName, name: str, *values: object) -> dict[str, float] | dict[str, str]:
    point = PROFILES[profile][name]
    oids = asked(point, "1")
    found, facts = read(point, "1", oids, dict(zip(oids, values, strict=True)))
    return found or facts


def test_sentinels_and_guards_of_the_vendors() -> None:
    assert of("apc-powernet", "uio-temperature", 23, 2) == {"value": 23}
    assert of("apc-powernet", "rpdu-temperature", 231, 2) == {"value": 23.1}
    assert of("apc-netbotz", "door", 0) == {"value": 1}
    assert of("apc-netbotz", "door", 1) == {"value": 0}
    assert of("geist-v4", "internal-temperature", 154, b"3.4.0", 1, 1) == {"value": 15.4}
    assert of("geist-v3", "temperature", 21, 1) == {"value": 21}
    assert of("akcp-sensorprobe", "temperature", 231, 1, 2, 1) == {"value": 23.1}
    assert of("akcp-plus", "temperature", 231, 1, 4, b"C\0") == {"value": 23.1}


@pytest.mark.parametrize(
    ("profile", "name", "values", "words"),
    [
        ("apc-powernet", "uio-temperature", (-1, 2), "no probe is connected"),
        ("apc-powernet", "uio-humidity", (0, 2), "measures no humidity"),
        ("apc-powernet", "uio-humidity", (45, 3), "lost touch"),
        ("apc-powernet", "iem-temperature", (23, 2, 2), "Fahrenheit"),
        ("apc-netbotz", "door", (-1,), "does not know whether the door is open"),
        ("apc-netbotz", "temperature", (213, b"21.300000", 5), "calls it a failure"),
        ("apc-netbotz", "temperature", (0, b"", 0), "no sensor is plugged in"),
        (
            "geist-v4",
            "internal-temperature",
            (36, b"3.0.0", 1, 1),
            "its firmware is 3.0.0; the profile fits from 3.2 on",
        ),
        ("geist-v4", "internal-temperature", (36, b"??", 1, 1), "its firmware is ??"),
        ("geist-v4", "internal-temperature", (772, b"3.4.0", 0, 1), "Fahrenheit"),
        ("geist-v4", "temperature", (0, b"3.10.1", 1, 2), "not available"),
        ("akcp-sensorprobe", "temperature", (231, 2, 2, 1), "offline"),
        ("akcp-sensorprobe", "humidity", (40, 1, 7), "sensor error"),
        ("akcp-plus", "temperature", (772, 1, 2, b"F"), "its unit is 'F'"),
    ],
)
def test_what_is_no_measurement_is_told(
    profile: ProfileName, name: str, values: tuple[object, ...], words: str
) -> None:
    with pytest.raises(NotFound, match=re.escape(words)):
        of(profile, name, *values)


@pytest.mark.parametrize(
    ("source", "battery", "flags"),
    [(3, 2, "OL"), (5, 2, "OB"), (5, 3, "OB LB"), (5, 4, "OB LB"), (4, 2, "BYPASS"), (2, 2, "OFF")],
)
def test_the_state_of_a_ups_by_rfc_1628(source: int, battery: int, flags: str) -> None:
    assert of("ups-mib", "state", source, battery) == {"ups_status": flags}


@pytest.mark.parametrize(("source", "battery"), [(1, 2), (3, 1), (0, 2), (99, 2)])
def test_a_ups_that_does_not_know_its_state(source: int, battery: int) -> None:
    with pytest.raises(NotFound, match="does not know its own state"):
        of("ups-mib", "state", source, battery)


def test_the_state_of_a_ups_by_apc() -> None:
    assert of("apc-powernet", "ups-state", 3, 3, 1) == {"ups_status": "OB LB"}
    assert of("apc-powernet", "ups-state", 2, 4, 2) == {"ups_status": "OL RB"}


def test_what_an_agent_writes_moves_no_screen() -> None:
    with pytest.raises(NotFound) as caught:
        of("geist-v4", "internal-temperature", 36, b"\x1b[2J\r\n3.0" + b"x" * 500, 1, 1)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300
