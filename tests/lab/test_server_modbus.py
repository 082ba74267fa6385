"""The lab's Modbus devices, read by pymodbus."""

from __future__ import annotations

import asyncio
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.client import AsyncModbusTcpClient
from server_kit import NETWORK, running

from lab.servers import modbus_device

ADDRESS, PORT = f"{NETWORK}.1.65", 1502
pytestmark = pytest.mark.anyio


async def test_registers_follow_the_truth_and_the_protocol_has_its_exceptions(tmp_path):
    async with running(tmp_path, modbus_device.servers) as lab:
        client = AsyncModbusTcpClient(ADDRESS, port=PORT, timeout=1, retries=0)
        assert await client.connect()
        lab.fault("set-sensor", "main-dust", value=77)
        lab.fault("set-sensor", "main-power", value=12_340)
        lab.fault("set-sensor", "main-smoke", value=1)
        answer = await client.read_input_registers(0, count=5, device_id=1)
        assert answer.registers == [1, 0, 0, 77, 1234]
        assert (await client.read_holding_registers(3, count=1, device_id=1)).registers == [77]
        assert (await client.read_input_registers(4, count=2, device_id=1)).exception_code == 2
        assert (await client.read_input_registers(0, count=1, device_id=9)).exception_code == 11
        assert (await client.read_coils(0, count=1, device_id=1)).exception_code == 1
        assert (await client.write_register(3, 1, device_id=1)).exception_code == 1
        client.close()


async def test_a_faulty_sensor_reads_beyond_what_is_valid(tmp_path):
    async with running(tmp_path, modbus_device.servers) as lab:
        client = AsyncModbusTcpClient(ADDRESS, port=PORT, timeout=1, retries=0)
        assert await client.connect()
        lab.fault("fault-sensor", "main-dust")
        answer = await client.read_input_registers(3, count=1, device_id=1)
        assert answer.registers[0] > lab.estate.plan.sensors["main-dust"].valid_max
        client.close()


async def test_a_cut_site_resets_the_connection_and_refuses_the_next(tmp_path):
    async with running(tmp_path, modbus_device.servers) as lab:
        reader, writer = await asyncio.open_connection(ADDRESS, PORT)
        writer.write(bytes.fromhex("000100000006010400000001"))
        assert (await reader.readexactly(11))[:2] == b"\0\x01"
        lab.fault("cut-site", "main")
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        writer.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(ADDRESS, PORT)
        lab.heal("cut-site", "main")
        _, writer = await asyncio.open_connection(ADDRESS, PORT)
        writer.close()


async def test_a_frame_that_is_no_modbus_ends_the_connection(tmp_path):
    async with running(tmp_path, modbus_device.servers):
        reader, writer = await asyncio.open_connection(ADDRESS, PORT)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()


@given(st.binary(min_size=1, max_size=20))
def test_every_request_has_an_answer_of_its_function(pdu):
    reply = modbus_device.answer({0: 1, 1: 2}, pdu)
    assert reply[0] & 0x7F == pdu[0] & 0x7F
    assert len(reply) <= 253


def test_a_register_holds_the_two_complement_of_a_negative_value():
    assert modbus_device.answer({7: -5}, bytes.fromhex("0400070001")) == struct.pack("!BBh", 4, 2, -5)
