"""Modbus TCP against a device written for this test from the Modbus specification, honest and hostile."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable

import pytest

from monitor.clients import modbus
from monitor.clients.modbus import Place
from monitor.errors import DeadlineExceeded, GarbledReply, NotFound, Refused, SessionLost, TargetError, Unreachable

pytestmark = pytest.mark.anyio
ADDRESS = "127.94.5.65"
REGISTERS = {0: 215, 1: 0xFFF6, 7: 65535}


def frame(transaction: int, unit: int, pdu: bytes) -> bytes:
    """MBAP header (Modbus Messaging on TCP/IP V1.0b, 3.1.3) and PDU."""
    return struct.pack("!HHHB", transaction, 0, len(pdu) + 1, unit) + pdu


def answer(request: bytes) -> bytes:
    transaction, _, _, unit, function, register, count = struct.unpack("!HHHBBHH", request)
    assert (function, count) == (4, 1)
    if register not in REGISTERS:
        return frame(transaction, unit, b"\x84\x02")
    return frame(transaction, unit, b"\x04\x02" + REGISTERS[register].to_bytes(2, "big"))


@pytest.fixture
async def device():
    servers: list[asyncio.Server] = []
    held: list[asyncio.StreamWriter] = []

    async def start(reply: Callable[[bytes], bytes | None]) -> int:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            held.append(writer)
            while request := await reader.read(12):
                said = reply(request)
                if said is None:
                    writer.close()
                    return
                writer.write(said)
            writer.close()

        server = await asyncio.start_server(serve, ADDRESS, 0)
        servers.append(server)
        port: int = server.sockets[0].getsockname()[1]
        return port

    yield start
    for server in servers:
        server.close()
    for writer in held:
        writer.close()
    await asyncio.sleep(0.01)


async def read(port: int, *registers: int, timeout_s: float = 20.0) -> dict[int, int | TargetError]:
    places = [Place("input", register) for register in registers]
    found = await modbus.read(ADDRESS, port, 1, places, timeout_s)
    return {place.address: one[0] if isinstance(one, tuple) else one for place, one in found.items()}


async def test_registers_come_as_unsigned_16_bits(device) -> None:
    assert await read(await device(answer), 0, 1, 7) == {0: 215, 1: 65526, 7: 65535}


async def test_a_register_that_is_not_there_does_not_spoil_the_others(device) -> None:
    found = await read(await device(answer), 0, 5, 7)
    assert (found[0], found[7]) == (215, 65535)
    assert isinstance(found[5], NotFound)


@pytest.mark.parametrize(
    ("code", "kind"),
    [(1, Refused), (2, NotFound), (3, Refused), (4, Unreachable), (6, Unreachable), (11, Unreachable), (99, Refused)],
)
async def test_exception_codes(device, code: int, kind: type[TargetError]) -> None:
    port = await device(lambda request: frame(int.from_bytes(request[:2], "big"), 1, bytes((0x84, code))))
    found = await read(port, 0)
    assert type(found[0]) is kind


async def test_nobody_listening() -> None:
    with pytest.raises(Unreachable, match=r"Connection refused$"):
        await modbus.read("127.94.5.99", 9, 1, [Place("input", 0)], 20.0)


async def test_silence_ends_at_the_deadline(device) -> None:
    with pytest.raises(DeadlineExceeded):
        await read(await device(lambda _request: b""), 0, timeout_s=0.3)


HOSTILE = {
    "not modbus": lambda _request: b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "all ones": lambda _request: b"\xff" * 300,
    "half an answer": lambda request: answer(request)[:8],
    "too many registers": lambda request: frame(int.from_bytes(request[:2], "big"), 1, b"\x04\x04\x00\x01\x00\x02"),
    "no register": lambda request: frame(int.from_bytes(request[:2], "big"), 1, b"\x04\x00"),
    "odd count": lambda request: frame(int.from_bytes(request[:2], "big"), 1, b"\x04\x03\x00\x01\x00"),
    "count beyond the frame": lambda request: frame(int.from_bytes(request[:2], "big"), 1, b"\x04\xff\x00\x01"),
    "another function": lambda request: frame(int.from_bytes(request[:2], "big"), 1, b"\x03\x02\x00\x01"),
    "unknown function": lambda request: frame(int.from_bytes(request[:2], "big"), 1, b"\x7f\x02\x00\x01"),
    "another transaction": lambda request: frame(int.from_bytes(request[:2], "big") ^ 1, 1, b"\x04\x02\x00\x01"),
    "another unit": lambda request: frame(int.from_bytes(request[:2], "big"), 9, b"\x04\x02\x00\x01"),
    "transaction 0": lambda _request: frame(0, 1, b"\x04\x02\x00\x01"),
    "another protocol": lambda request: request[:2] + b"\0\1\0\5\1\4\2\0\1",
    "length zero": lambda request: request[:2] + bytes(4) + b"\x01\x04",
    "hangs up": lambda _request: None,
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_answers_are_errors_of_the_target(device, name: str) -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))
    with pytest.raises((GarbledReply, DeadlineExceeded, SessionLost)):
        await read(await device(HOSTILE[name]), 0, timeout_s=1.0)
    assert complaints == []
