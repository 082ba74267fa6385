"""Every sensor of the shipped inventory, asked by the product's probes of the lab's devices, well and at fault."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from server_kit import Running, running

from lab.servers import modbus_device, redfish_chassis, snmp_agent, ups
from monitor.clock import RealClock
from monitor.credential import Credentials
from monitor.inventory.model import Inventory
from monitor.inventory.read import read
from monitor.probe import Answer, Observation
from monitor.probes import PROBES
from monitor.status.evaluate import judge
from monitor.status.state import Health
from monitor.targets import targets

pytestmark = pytest.mark.anyio


class Devices:
    def __init__(self, lab: Running, folder: Path) -> None:
        self.lab = lab
        self.inventory: Inventory = read(folder / "inventory.yaml")
        self.credentials = Credentials(lab.identity.credentials)

    async def asked(self) -> dict[str, Observation]:
        """Return the observation of every sensor, by key."""
        found: dict[str, Observation] = {}
        sensors = [target for target in targets(self.inventory) if target.subject.startswith("sensor/")]
        for name in {target.probe for target in sensors}:
            probe = PROBES[name](self.credentials, self.inventory.trust, RealClock())
            own = [target for target in sensors if target.probe == name]
            async for seen in probe.observe(own):
                found[seen.subject.removeprefix("sensor/")] = seen
            await probe.close()
        return found

    async def health(self, key: str) -> tuple[Health, str]:
        judgement = judge((await self.asked())[key], self.inventory)
        return judgement.health, judgement.detail


@pytest.fixture
async def devices(tmp_path: Path) -> AsyncIterator[Devices]:
    factories = (snmp_agent.servers, modbus_device.servers, ups.servers, redfish_chassis.servers)
    async with running(tmp_path, *factories) as lab:
        yield Devices(lab, tmp_path)


async def test_all_is_well_on_a_good_day(devices: Devices) -> None:
    found = await devices.asked()
    assert found.keys() == devices.inventory.sensors.keys()
    assert {key: seen.reason for key, seen in found.items() if seen.answer is not Answer.OK} == {}
    judged = {key: judge(seen, devices.inventory) for key, seen in found.items()}
    assert {key: each for key, each in judged.items() if each.health is not Health.OK} == {}
    for key, plan in devices.lab.estate.plan.sensors.items():
        if plan.quantity != "ups-state":
            assert found[key].values["value"] == pytest.approx(devices.lab.estate.sensor_value(key), abs=0.5), key


async def test_a_faulty_sensor_is_a_fault_whatever_its_protocol(devices: Devices) -> None:
    keys = ("main-rack-1-temperature", "main-smoke", "main-ups-a-state", "main-ups-b-state", "main-chassis-inlet")
    for key in keys:
        devices.lab.fault("fault-sensor", key)
    found = await devices.asked()
    for key in keys:
        judgement = judge(found[key], devices.inventory)
        assert (judgement.health, judgement.detail) == (Health.UNKNOWN, "sensor-fault"), key
    assert judge(found["main-rack-2-temperature"], devices.inventory).health is Health.OK


@pytest.mark.parametrize("key", ["main-ups-a-state", "main-ups-b-state"])
async def test_a_power_cut_as_both_upss_tell_it(devices: Devices, key: str) -> None:
    devices.lab.fault("set-sensor", key, value=1)
    assert await devices.health(key) == (Health.DEGRADED, "on-battery")
    devices.lab.fault("set-sensor", key, value=2)
    assert await devices.health(key) == (Health.DOWN, "low-battery")


async def test_a_hot_chassis(devices: Devices) -> None:
    devices.lab.fault("set-sensor", "dr-chassis-inlet", value=36)
    assert await devices.health("dr-chassis-inlet") == (Health.DOWN, "above")
