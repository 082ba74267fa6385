"""Sensors in a Modbus device: signs and scales, one connection a unit, registers that are not there."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from test_client_modbus import ADDRESS, answer

from monitor.clock import RealClock
from monitor.credential import Credentials
from monitor.inventory.estate import Trust
from monitor.probe import Answer, Target
from monitor.probes.modbus import ModbusParams, ModbusProbe

pytestmark = pytest.mark.anyio


@pytest.fixture
def probe(tmp_path: Path) -> ModbusProbe:
    return ModbusProbe(Credentials(tmp_path), Trust(tls_ca="ca.pem", known_hosts="known_hosts"), RealClock())


@pytest.fixture
async def device():
    connections: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        while request := await reader.read(12):
            writer.write(answer(request))
        writer.close()

    server = await asyncio.start_server(serve, ADDRESS, 0)
    server.connections = connections
    yield server
    server.close()
    await asyncio.sleep(0.01)


def sensor(port: int, register: int, **more: object) -> Target:
    params = ModbusParams(ADDRESS, port, int(str(more.pop("unit", 1))), register, **more)
    return Target(f"sensor/{register}", "modbus", params, 10, 20.0)


async def test_signs_scales_and_what_is_not_there(probe: ModbusProbe, device) -> None:
    port = device.sockets[0].getsockname()[1]
    targets = [
        sensor(port, 0, scale=0.1),
        sensor(port, 1, encoding="int16"),
        sensor(port, 7, encoding="uint16"),
        sensor(port, 5),
        sensor(port, 0, unit=2),
    ]
    seen = [one async for one in probe.observe(targets)]
    assert [one.values.get("value") for one in seen] == [pytest.approx(21.5), -10, 65535, None, 215]
    assert [one.answer for one in seen] == [Answer.OK] * 3 + [Answer.FAILED, Answer.OK]
    assert "no input register 5" in seen[3].reason
    assert len(device.connections) == 2


async def test_a_dead_device_fails_all_its_sensors(probe: ModbusProbe) -> None:
    seen = [one async for one in probe.observe([sensor(9, 0), sensor(9, 1)])]
    assert [one.answer for one in seen] == [Answer.FAILED] * 2
