"""Profiles against what real devices said: values, sentinels, sensors that are not there or measure something else."""

from __future__ import annotations

from pathlib import Path

import pytest
from recorded_kit import objects, replayed

from lab.servers.ber import parse_oid
from monitor.clock import RealClock
from monitor.credential import Credentials
from monitor.inventory.estate import Trust
from monitor.inventory.profiles import PROFILES, ProfileName
from monitor.probe import Observation, Target
from monitor.probes.snmp import SnmpParams, SnmpProbe

pytestmark = pytest.mark.anyio
ADDRESS = "127.94.6.71"
Asked = tuple[ProfileName, str, str]


async def asked(folder: Path, device: str, *points: Asked) -> list[Observation]:
    """Ask a recorded device for points, all at once, and return what was observed, in their order."""
    (folder / "community").write_text("public")
    probe = SnmpProbe(Credentials(folder), Trust(tls_ca="ca.pem", known_hosts="known_hosts"), RealClock())
    async with replayed(device, ADDRESS) as port:
        targets = [
            Target(
                f"sensor/{place}", "snmp", SnmpParams(ADDRESS, port, "community", PROFILES[kind][point], index), 10, 20
            )
            for place, (kind, point, index) in enumerate(points)
        ]
        found = {seen.subject: seen async for seen in probe.observe(targets)}
    return [found[target.subject] for target in targets]


def shown(seen: list[Observation]) -> list[float | str]:
    return [
        one.values["value"] if one.values else one.facts.get("ups_status") or one.reason.partition(": ")[2]
        for one in seen
    ]


def told(seen: list[Observation]) -> list[float | str]:
    """Return values, and of what is none the last words of the reason."""
    return [one.rpartition(": ")[2] if isinstance(one, str) else one for one in shown(seen)]


async def test_a_geist_watchdog_speaks_in_tenths(tmp_path: Path) -> None:
    seen = await asked(
        tmp_path,
        "geist-watchdog-15",
        ("geist-v4", "internal-temperature", "1"),
        ("geist-v4", "internal-humidity", "1"),
        ("geist-v4", "temperature", "2"),
        ("geist-v4", "temperature", "3"),
        ("geist-v4", "temperature", "4"),
        ("geist-v3", "climate-temperature", "1"),
    )
    values = shown(seen)
    assert values[:4] == [15.4, 39, 18.5, 18.0]
    assert "so the profile may not fit" in str(values[4])
    assert "so the profile may not fit" in str(values[5])


async def test_an_eaton_ups_by_rfc_1628(tmp_path: Path) -> None:
    points: list[Asked] = [
        ("ups-mib", "charge", ""),
        ("ups-mib", "battery-temperature", ""),
        ("ups-mib", "power", "1"),
        ("ups-mib", "load", "1"),
        ("ups-mib", "state", ""),
        ("ups-mib", "load", "9"),
    ]
    values = shown(await asked(tmp_path, "eaton-93e", *points))
    assert values[:3] == [100, 25, 5100]
    assert 0 <= float(values[3]) <= 100
    assert values[4] == "OL"
    assert "no object" in str(values[5])


async def test_an_apc_rack_pdu_without_a_probe_is_no_minus_a_tenth_of_a_degree(tmp_path: Path) -> None:
    points: list[Asked] = [
        ("apc-powernet", "rpdu-temperature", "1"),
        ("apc-powernet", "rpdu-humidity", "1"),
        ("apc-powernet", "uio-temperature", "1.1"),
    ]
    values = shown(await asked(tmp_path, "apc-8641", *points))
    assert values[:2] == ["no sensor is installed"] * 2
    assert "so the profile may not fit" in str(values[2])


async def test_a_firewall_by_rfc_3433(tmp_path: Path) -> None:
    points: list[Asked] = [("entity-sensor", "temperature", str(index)) for index in (12, 13, 14, 15, 2, 99)]
    values = shown(await asked(tmp_path, "paloalto-5000", *points))
    assert values[:4] == [23, 34, 26, 24]
    assert values[4] == "the sensor measures values of type 10, not celsius"  # a fan, in revolutions a minute
    assert "no object" in str(values[5])


async def test_a_switch_by_rfc_3433(tmp_path: Path) -> None:
    points: list[Asked] = [
        ("entity-sensor", "temperature", "100006001"),
        ("entity-sensor", "humidity", "100006001"),
        ("entity-sensor", "power", "100305212"),  # light received: milliwatts with four places
        ("entity-sensor", "temperature", "100601111"),  # an empty fan tray
    ]
    values = shown(await asked(tmp_path, "arista-7150", *points))
    assert values[0] == 28.2
    assert values[1] == "the sensor measures celsius, not percent"
    assert values[2] == pytest.approx(0.0006015)
    assert values[3] == "the agent cannot get the sensor's value"


async def test_an_akcp_sensorprobe_speaks_in_tenths_and_its_empty_ports_are_no_zero_degrees(tmp_path: Path) -> None:
    points: list[Asked] = [("akcp-sensorprobe", "temperature", str(port)) for port in range(8)]
    points += [("akcp-sensorprobe", "humidity", str(port)) for port in range(8)]
    values = shown(await asked(tmp_path, "akcp-sensorprobe8", *points))
    offline = ["the sensor is offline"] * 5
    assert values == [19.9, *offline, 20.0, 22.1, 42, *offline, 41, 39]


async def test_an_akcp_sensorprobe_plus_speaks_in_tenths(tmp_path: Path) -> None:
    values = shown(await asked(tmp_path, "akcp-sensorprobe2plus", ("akcp-plus", "temperature", "0.0.0.0.0")))
    assert values == [23.1]


async def test_a_netbotz_speaks_in_tenths_and_what_is_not_plugged_in_is_no_zero_degrees(tmp_path: Path) -> None:
    said = objects("netbotz-450")
    for kind, point in (("1", "temperature"), ("2", "humidity")):
        column = parse_oid(f"1.3.6.1.4.1.5528.100.4.1.{kind}.1.2")
        numbers = {oid[-1]: value for oid, value in said.items() if oid[: len(column)] == column}
        empty = []
        for index, number in numbers.items():
            words = said[(*column[:-1], 7, index)].contents.decode()
            tenths = int.from_bytes(number.contents, "big", signed=True)
            assert float(words or 0) == pytest.approx(tenths * PROFILES["apc-netbotz"][point].scale)
            empty += [] if words else [str(index)]
        seen = await asked(tmp_path, "netbotz-450", *(("apc-netbotz", point, index) for index in empty))
        assert empty
        assert set(shown(seen)) == {"no sensor is plugged in"}


async def test_wireless_sensors_of_a_netbotz_250(tmp_path: Path) -> None:
    points: list[Asked] = [("apc-powernet", "wireless-temperature", str(index)) for index in (1, 3, 11, 18)]
    points += [("apc-powernet", "wireless-humidity", str(index)) for index in (1, 3, 11, 18)]
    values = told(await asked(tmp_path, "apc-netbotz-250", *points))
    none = "no probe is connected"
    assert values == [23.8, 27.7, 30.7, "the device has no reading of the sensor", 45, 36, none, none]


async def test_an_apc_rack_pdu_with_a_probe_for_temperature_alone(tmp_path: Path) -> None:
    points: list[Asked] = [("apc-powernet", "rpdu-temperature", "1"), ("apc-powernet", "rpdu-humidity", "1")]
    assert told(await asked(tmp_path, "apc-rpdu-probe", *points)) == [29.2, "no probe is connected"]


async def test_a_geist_of_version_3_without_a_hygrometer(tmp_path: Path) -> None:
    points: list[Asked] = [("geist-v3", "climate-temperature", "1"), ("geist-v3", "climate-humidity", "1")]
    assert told(await asked(tmp_path, "geist-rsmini163", *points)) == [26, "the device measures no humidity"]
