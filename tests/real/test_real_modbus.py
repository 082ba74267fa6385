"""Modbus TCP against pymodbus's server: all four tables, every encoding, and what is not there."""

from __future__ import annotations

from pathlib import Path

import pytest
from stands.modbus import ModbusServer

from monitor.probe import Answer, Target
from monitor.probes.modbus import ModbusParams

pytestmark = [pytest.mark.real, pytest.mark.anyio]


async def test_every_table_and_encoding(tmp_path: Path) -> None:
    server = ModbusServer(tmp_path / "device")
    await server.start()

    def of(register: int, **more: object) -> ModbusParams:
        return ModbusParams(server.address, server.port, 1, register, **more)

    cases: list[tuple[ModbusParams, float | str]] = [
        (of(0, table="coil"), 1),
        (of(1, table="coil"), 0),
        (of(0, table="discrete"), 0),
        (of(1, table="discrete"), 1),
        (of(0, table="input", scale=0.1), 30.5),
        (of(0, table="holding", scale=0.1), 21.5),
        (of(1, table="holding", encoding="int16", scale=0.1), -5.5),
        (of(2, table="holding", encoding="uint32"), 70_000),
        (of(4, table="holding", encoding="int32"), -70_000),
        (of(6, table="holding", encoding="float32"), 21.5),
        (of(2, table="holding", encoding="uint32", word_order="low-first"), (70_000 & 0xFFFF) << 16 | 1),
        (of(8, table="holding", encoding="float32"), "holds nan"),
        (of(10, table="holding", sentinels=frozenset({32767})), "holds 32767, the device's word for no measurement"),
        (of(500, table="holding"), "the device has no holding register 500"),
        (of(500, table="coil"), "the device has no coil 500"),
    ]
    probe = server.probe()
    targets = [Target(f"sensor/{place}", "modbus", params, 10, 20.0) for place, (params, _) in enumerate(cases)]
    found = {seen.subject: seen async for seen in probe.observe(targets)}
    await probe.close()
    await server.stop()
    for target, (params, expected) in zip(targets, cases, strict=True):
        seen = found[target.subject]
        if isinstance(expected, str):
            assert seen.answer is Answer.FAILED
            assert expected in seen.reason, params
        else:
            assert seen.values == {"value": pytest.approx(expected)}, params
