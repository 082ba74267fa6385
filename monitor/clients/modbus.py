"""Modbus TCP (Modbus Application Protocol V1.1b3, Messaging on TCP/IP V1.0b): reading, functions 1 to 4.

Written out, at a dozen bytes each way, because a reading must be the answer to its question: pymodbus 3.16 also takes
the answer to another function, one with a wrong byte count, and one of transaction 0. A connection is made for each
round: small devices accept few and forget idle ones.
"""

from __future__ import annotations

import asyncio
import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from monitor.errors import DeadlineExceeded, GarbledReply, NotFound, Refused, SessionLost, TargetError, Unreachable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Table = Literal["coil", "discrete", "holding", "input"]
FUNCTIONS: Mapping[Table, int] = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
WORDS: Mapping[Table, str] = {
    "coil": "coil",
    "discrete": "discrete input",
    "holding": "holding register",
    "input": "input register",
}
BITS = frozenset({"coil", "discrete"})
EXCEPTION = 0x80
REQUEST = struct.Struct("!HHHBBHH")  # transaction, protocol 0, length, unit | function, address, count
HEADER = struct.Struct("!HHHB")
EXCEPTION_BYTES = 2
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


@dataclass(frozen=True, slots=True)
class Place:
    """A bit, or one or two registers, at a 0-based protocol address."""

    table: Table
    address: int
    count: Literal[1, 2] = 1

    @property
    def data_bytes(self) -> int:
        """How many bytes of data its answer has."""
        return 1 if self.table in BITS else 2 * self.count

    def __str__(self) -> str:
        return f"{WORDS[self.table]} {self.address}"


async def read(
    address: str, port: int, unit_id: int, places: Iterable[Place], timeout_s: float
) -> dict[Place, tuple[int, ...] | TargetError]:
    """Read each place and return its bit (0 or 1) or its registers (0..65535, as they stand).

    A place that the device will not give is there as the error: NotFound, Refused or Unreachable.
    Raises Unreachable, DeadlineExceeded, SessionLost and GarbledReply when the device as a whole fails.
    """
    where = f"{address}:{port} unit {unit_id}"
    writer = None
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(address, port)
            found: dict[Place, tuple[int, ...] | TargetError] = {}
            for number, place in enumerate(places, 1):
                transaction, function = number & 0xFFFF, FUNCTIONS[place.table]
                writer.write(REQUEST.pack(transaction, 0, 6, unit_id, function, place.address, place.count))
                found[place] = _values(place, await _answer(reader, transaction, unit_id, place))
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


async def _answer(reader: asyncio.StreamReader, transaction: int, unit_id: int, place: Place) -> bytes:
    """Return the body of the answer, of one of two sizes. Raises ValueError and what the reader raises."""
    said_transaction, protocol, length, unit = HEADER.unpack(await reader.readexactly(HEADER.size))
    if protocol or length not in (1 + EXCEPTION_BYTES, 3 + place.data_bytes):
        raise ValueError("its header is wrong")
    if (said_transaction, unit) != (transaction, unit_id):
        raise ValueError("it belongs to another question")
    return await reader.readexactly(length - 1)


def _values(place: Place, body: bytes) -> tuple[int, ...] | TargetError:
    """Return what a body says. Raises ValueError when it is neither the value nor an exception."""
    function = FUNCTIONS[place.table]
    if len(body) == EXCEPTION_BYTES and body[0] == function | EXCEPTION:
        return _exception(place, body[1])
    if len(body) != 2 + place.data_bytes or body[:2] != bytes((function, place.data_bytes)):
        raise ValueError(f"not one {WORDS[place.table]}")
    data = body[2:]
    if place.table in BITS:
        return (data[0] & 1,)
    return struct.unpack(f"!{place.count}H", data)


def _exception(place: Place, code: int) -> TargetError:
    if code == ILLEGAL_ADDRESS:
        return NotFound(f"the device has no {place}")
    if code in PASSING:
        return Unreachable(f"{place}: {PASSING[code]}")
    return Refused(f"{place}: {REFUSALS.get(code, f'exception {code}')}")


def _why(error: OSError) -> str:
    # asyncio's own text repeats the address.
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
