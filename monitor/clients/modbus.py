"""Modbus TCP (Modbus Application Protocol V1.1b3, Messaging on TCP/IP V1.0b): reading input registers, function 4.

Written out, at a dozen bytes each way, because a reading must be the answer to its question: pymodbus 3.16 also takes
the answer to another function, one with a wrong byte count, and one of transaction 0. A connection is made for each
round: small devices accept few and forget idle ones.
"""

from __future__ import annotations

import asyncio
import os
import struct
from typing import TYPE_CHECKING

from monitor.errors import DeadlineExceeded, GarbledReply, NotFound, Refused, SessionLost, TargetError, Unreachable

if TYPE_CHECKING:
    from collections.abc import Iterable

READ_INPUT_REGISTERS = 4
EXCEPTION = READ_INPUT_REGISTERS | 0x80
REQUEST = struct.Struct("!HHHBBHH")  # transaction, protocol 0, length, unit | function, register, count
HEADER = struct.Struct("!HHHB")
VALUE = struct.Struct("!BBH")  # function, byte count, register
LENGTHS = (1 + 2, 1 + VALUE.size)  # unit and exception, unit and one register
ILLEGAL_ADDRESS = 2
# MAP V1.1b3, section 7. What may pass by itself:
PASSING = {
    4: "device failure",
    5: "acknowledged, takes long",
    6: "busy",
    10: "gateway path unavailable",
    11: "the device behind the gateway does not answer",
}
REFUSALS = {1: "illegal function", 3: "illegal value"}


async def read_input_registers(
    address: str, port: int, unit_id: int, registers: Iterable[int], timeout_s: float
) -> dict[int, int | TargetError]:
    """Read each register (0-based protocol address) and return its 16 bits as 0..65535.

    A register that the device will not give is there as the error: NotFound, Refused or Unreachable.
    Raises Unreachable, DeadlineExceeded, SessionLost and GarbledReply when the device as a whole fails.
    """
    where = f"{address}:{port} unit {unit_id}"
    writer = None
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(address, port)
            found: dict[int, int | TargetError] = {}
            for transaction, register in enumerate(registers, 1):
                writer.write(REQUEST.pack(transaction & 0xFFFF, 0, 6, unit_id, READ_INPUT_REGISTERS, register, 1))
                body = await _answer(reader, transaction & 0xFFFF, unit_id)
                found[register] = VALUE.unpack(body)[2] if len(body) == VALUE.size else _exception(register, body[1])
            return found
    except TimeoutError as error:
        raise DeadlineExceeded(f"{where}: no answer in {timeout_s:g} s") from error
    except asyncio.IncompleteReadError as error:
        raise SessionLost(f"{where}: the device hung up in the middle") from error
    except ValueError as error:
        raise GarbledReply(f"{where}: not a Modbus answer: {error}") from error
    except OSError as error:
        raise Unreachable(f"{where}: {_why(error)}") from error
    finally:
        if writer is not None:
            writer.close()


async def _answer(reader: asyncio.StreamReader, transaction: int, unit_id: int) -> bytes:
    """Return the body of the answer, of one of two sizes. Raises ValueError and what the reader raises."""
    said_transaction, protocol, length, unit = HEADER.unpack(await reader.readexactly(HEADER.size))
    if protocol or length not in LENGTHS:
        raise ValueError("its header is wrong")
    if (said_transaction, unit) != (transaction, unit_id):
        raise ValueError("it belongs to another question")
    body = await reader.readexactly(length - 1)
    if length == LENGTHS[0]:
        if body[0] != EXCEPTION:
            raise ValueError("neither a value nor an exception")
    elif body[:2] != bytes((READ_INPUT_REGISTERS, 2)):
        raise ValueError("not one input register")
    return body


def _exception(register: int, code: int) -> TargetError:
    if code == ILLEGAL_ADDRESS:
        return NotFound(f"the device has no input register {register}")
    if code in PASSING:
        return Unreachable(f"register {register}: {PASSING[code]}")
    return Refused(f"register {register}: {REFUSALS.get(code, f'exception {code}')}")


def _why(error: OSError) -> str:
    # asyncio's own text repeats the address.
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
