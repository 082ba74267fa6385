"""A Modbus TCP device (Modbus Application Protocol V1.1b3, Messaging on TCP/IP V1.0b): input registers, read only.

Functions 3 and 4 read the same registers; others are answered "illegal function". The frames are made here by hand
rather than by the library that the product asks with, so that one encoding bug cannot sit on both ends.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from lab.identity import Identity
from lab.plan import SensorPlan
from lab.presence import Presence
from lab.scenario import Estate, Server
from lab.servers.listener import TcpListener, always_alive

HEADER = struct.Struct("!HHHB")  # transaction, protocol (0), length of what follows it, unit
MAX_PDU_BYTES = 253
READ_HOLDING_REGISTERS, READ_INPUT_REGISTERS = 3, 4
MAX_REGISTERS = 125
ILLEGAL_FUNCTION, ILLEGAL_DATA_ADDRESS, ILLEGAL_DATA_VALUE, GATEWAY_TARGET_SILENT = 1, 2, 3, 11
EXCEPTION = 0x80
READ_PDU = struct.Struct("!BHH")

Registers = Mapping[int, int]


class ModbusDevice:
    """Answers for ``units()``: by unit identifier, register address to 16-bit value (-32768…65535)."""

    def __init__(
        self,
        address: str,
        port: int,
        units: Callable[[], Mapping[int, Registers]],
        presence: Callable[[], Presence] = always_alive,
    ) -> None:
        self._units = units
        self._listener = TcpListener(address, port, self._converse, presence)

    @property
    def port(self) -> int:
        """The TCP port in use."""
        return self._listener.port

    async def start(self) -> None:
        """Begin to follow the truth. Raises ``OSError`` when the port cannot be bound."""
        await self._listener.start()

    async def stop(self) -> None:
        """Close the port and every connection."""
        await self._listener.stop()

    def refresh(self) -> None:
        """Become what the truth says now."""
        self._listener.refresh()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            transaction, protocol, length, unit = HEADER.unpack(await reader.readexactly(HEADER.size))
            if protocol != 0 or not 1 < length <= MAX_PDU_BYTES + 1:
                return  # no longer in step with the client; the specification says to close
            pdu = answer(self._units().get(unit), await reader.readexactly(length - 1))
            writer.write(HEADER.pack(transaction, 0, len(pdu) + 1, unit) + pdu)
            await writer.drain()


def servers(estate: Estate, identity: Identity) -> list[Server]:  # noqa: ARG001 - Modbus has no secrets
    """Build a device for each address and port at which the inventory has sensors."""
    devices: dict[tuple[str, int], list[SensorPlan]] = {}
    for sensor in estate.plan.sensors.values():
        if sensor.source["protocol"] == "modbus":
            devices.setdefault((sensor.source["address"], sensor.source["port"]), []).append(sensor)
    return [
        ModbusDevice(address, port, partial(_units, estate, sensors), partial(estate.sensor_presence, sensors[0].key))
        for (address, port), sensors in devices.items()
    ]


def _units(estate: Estate, sensors: Sequence[SensorPlan]) -> Mapping[int, Registers]:
    units: dict[int, dict[int, int]] = {}
    for sensor in sensors:
        state = estate.sensor(sensor.key)
        # A broken wire reads far above the range, as a current loop does.
        value = 2 * sensor.valid_max - sensor.valid_min if state.faulty else state.value
        register = round(value / float(sensor.source.get("scale", 1.0)))
        units.setdefault(sensor.source.get("unit_id", 1), {})[sensor.source["register_address"]] = min(register, 0xFFFF)
    return units


def answer(registers: Registers | None, pdu: bytes) -> bytes:
    """Give the response PDU to a request PDU of at least one byte; no ``registers`` means no such unit."""
    function = pdu[0]
    if function not in (READ_HOLDING_REGISTERS, READ_INPUT_REGISTERS):
        return bytes((function | EXCEPTION, ILLEGAL_FUNCTION))
    if registers is None:
        return bytes((function | EXCEPTION, GATEWAY_TARGET_SILENT))
    if len(pdu) != READ_PDU.size:
        return bytes((function | EXCEPTION, ILLEGAL_DATA_VALUE))
    _, first, count = READ_PDU.unpack(pdu)
    if not 1 <= count <= MAX_REGISTERS:
        return bytes((function | EXCEPTION, ILLEGAL_DATA_VALUE))
    wanted = range(first, first + count)
    if any(register not in registers for register in wanted):
        return bytes((function | EXCEPTION, ILLEGAL_DATA_ADDRESS))
    values = [registers[register] & 0xFFFF for register in wanted]
    return struct.pack(f"!BB{count}H", function, count * 2, *values)
