"""Redfish readings: both kinds of resources, states, units, ranges, and pages that are none."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.clients.redfish_sensors import Reading, Resource, fetch, page, reading
from monitor.credential import Secret
from monitor.errors import GarbledReply, NotFound, Refused, TargetError, Unreachable
from monitor.probes.redfish import _check

SENSOR = {"Reading": 21.5, "ReadingUnits": "Cel", "Status": {"State": "Enabled", "Health": "OK"}}
# As a server of 2019 says it: no Sensors, all in Thermal and Power; two entries of one name; an empty slot.
THERMAL = {
    "Temperatures": [
        {"MemberId": "0", "Name": "CPU1 Temp", "ReadingCelsius": 52, "Status": {"State": "Enabled", "Health": "OK"}},
        {"MemberId": "1", "Name": "DIMM", "ReadingCelsius": 31, "Status": {"State": "Enabled", "Health": "Warning"}},
        {"MemberId": "2", "Name": "DIMM", "ReadingCelsius": None, "Status": {"State": "Absent"}},
        {"MemberId": "3", "Name": "Inlet", "ReadingCelsius": 22, "MinReadingRangeTemp": 3, "MaxReadingRangeTemp": 42},
    ]
}
POWER = {"PowerControl": [{"MemberId": "0", "Name": "System Power Control", "PowerConsumedWatts": 344}]}


@dataclass
class Page:
    status: int
    body: bytes
    asked: str = ""

    async def request(self, method: str, url: str, *, timeout_s: float, auth: object = None) -> Page:
        self.asked = url
        return self


def test_where_readings_stand() -> None:
    assert page("sensors", "1", "Inlet") == "/redfish/v1/Chassis/1/Sensors/Inlet"
    assert page("sensors", "a/b", "../../x?") == "/redfish/v1/Chassis/a%2Fb/Sensors/..%2F..%2Fx%3F"
    assert page("thermal", "1", "any") == "/redfish/v1/Chassis/1/Thermal"


def test_readings() -> None:
    assert reading(SENSOR, "sensors", "any") == Reading(21.5, "celsius", "OK")
    assert reading(THERMAL, "thermal", "CPU1 Temp").value == 52
    assert reading(THERMAL, "thermal", "1").health == "Warning"
    assert reading(THERMAL, "thermal", "Inlet") == Reading(22, "celsius", "", 3, 42)
    assert reading(POWER, "power", "System Power Control") == Reading(344, "watts", "")


@pytest.mark.parametrize(
    ("found", "resource", "member", "words"),
    [
        (SENSOR | {"Status": {"State": "Absent"}}, "sensors", "", "state is Absent"),
        (SENSOR | {"Status": {"State": "UnavailableOffline"}}, "sensors", "", "UnavailableOffline"),
        (SENSOR | {"Reading": None}, "sensors", "", "no reading"),
        ({}, "sensors", "", "no reading"),
        (THERMAL, "thermal", "2", "state is Absent"),
        (THERMAL, "thermal", "DIMM", "2 entries have the Name 'DIMM'"),
        (THERMAL, "thermal", "PSU", "no entry"),
        ({"Temperatures": "none"}, "thermal", "0", "no entry"),
    ],
)
def test_no_reading_is_told(found: dict[str, object], resource, member: str, words: str) -> None:
    with pytest.raises(NotFound, match=words):
        reading(found, resource, member)


@pytest.mark.parametrize("value", ["21.5", True, [21], 10**400])
def test_a_reading_that_is_no_number(value: object) -> None:
    with pytest.raises(GarbledReply):
        reading(SENSOR | {"Reading": value}, "sensors", "")


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (Reading(3000, "'RPM'", "OK"), "comes in 'RPM', not in celsius"),
        (Reading(2, "celsius", "OK", 3, 42), "below the device's own range"),
        (Reading(85, "celsius", "OK", 3, 42), "above the device's own range"),
    ],
)
def test_another_unit_and_the_devices_own_range(read: Reading, words: str) -> None:
    with pytest.raises(NotFound, match=words):
        _check(read, "celsius")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, b"", Refused),
        (403, b"", Refused),
        (404, b"", NotFound),
        (503, b"", Unreachable),
        (302, b"", Refused),
        (200, b"<html>", GarbledReply),
        (200, b"[]", GarbledReply),
        (200, b"[" * 5000, GarbledReply),
    ],
)
async def test_what_is_no_resource_is_told(status: int, body: bytes, error: type[TargetError]) -> None:
    with pytest.raises(error) as caught:
        await fetch(Page(status, body), "127.0.0.1", 443, "/x", ("karaula", Secret("hunter2")), 1.0)
    assert "hunter2" not in str(caught.value)


@pytest.mark.anyio
async def test_a_resource() -> None:
    one = Page(200, json.dumps(SENSOR).encode())
    assert await fetch(one, "::1", 443, "/x", ("karaula", Secret("hunter2")), 1.0) == SENSOR
    assert one.asked == "https://[::1]:443/x"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*SENSOR, *THERMAL["Temperatures"][0], "Temperatures"]), inner, max_size=4)
    ),
)


@given(
    st.dictionaries(st.sampled_from([*SENSOR, "Temperatures", "PowerControl"]), JSON),
    st.sampled_from(["sensors", "thermal", "power"]),
)
def test_any_json_is_a_reading_or_told(found: dict[str, object], resource) -> None:
    with contextlib.suppress(TargetError):
        assert reading(found, resource, "0").value is not None


RECORDED = Path(__file__).parents[1] / "recorded" / "redfish"


@pytest.mark.parametrize(
    ("device", "resource", "member", "said"),
    [
        ("dell-idrac-2.41-thermal", "thermal", "iDRAC.Embedded.1#SystemBoardInletTemp", 17),
        ("dell-idrac-2.41-thermal", "thermal", "CPU1 Temp", 47),  # far over the range that its device gives it
        ("dell-idrac-7.10-thermal", "thermal", "System Board Inlet Temp", 24),
        ("dell-idrac-7.10-power", "power", "System Power Control", 288),
        ("hp-ilo4-thermal", "thermal", "01-Inlet Ambient", 18),
        ("hp-ilo4-thermal", "thermal", "05-P1 DIMM 5-8", "the sensor's state is Absent"),  # and its reading is 0
        ("hp-ilo4-power", "power", "0", 73),  # an entry that has no name
        ("hp-ilo4-power", "power", "1", "no entry has the MemberId or Name '1'"),
        ("cisco-c240-m5-thermal", "thermal", "TEMP_SENS_FRONT", 24),
        (
            "cisco-c240-m5-thermal",
            "thermal",
            "0",
            "no entry has the MemberId or Name '0'",
        ),  # its own numbers begin at 1
    ],
)
def test_what_real_services_said(device: str, resource: Resource, member: str, said: float | str) -> None:
    found = json.loads((RECORDED / f"{device}.json").read_text())
    if isinstance(said, str):
        with pytest.raises(NotFound, match=said):
            reading(found, resource, member)
        return
    read = reading(found, resource, member)
    _check(read, "watts" if resource == "power" else "celsius")
    assert read.value == said


def test_a_range_that_a_device_does_not_gainsay_holds() -> None:
    sensor = {"Name": "Inlet", "ReadingCelsius": 61, "MaxReadingRangeTemp": 60, "UpperThresholdCritical": 45}
    with pytest.raises(NotFound, match="above the device's own range"):
        _check(reading({"Temperatures": [sensor]}, "thermal", "Inlet"), "celsius")
