"""Profiles against what real devices said: values, sentinels, sensors that are not there or measure something else."""

from __future__ import annotations

from pathlib import Path

import pytest
from recorded_kit import replayed

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
