"""SNMP v2c GET (RFC 3416) over UDP: one request, its bytes written and read here.

Written out because an agent's garbage must be an error and nothing else: gufo-snmp 0.13 panics in its BER header on
such a datagram (an exception outside ``Exception``) and takes an error-status for an empty answer.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from monitor.errors import DeadlineExceeded, GarbledReply, Refused, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from monitor.credential import Secret

Value = int | float | str | bytes | None

VERSION_2C = 1
INTEGER, OCTETS, NULL, OID, SEQUENCE = 0x02, 0x04, 0x05, 0x06, 0x30
GET, RESPONSE = 0xA0, 0xA2
IP_ADDRESS, OPAQUE = 0x40, 0x44
UNSIGNED = frozenset({0x41, 0x42, 0x43, 0x46, 0x47})  # Counter32, Gauge32, TimeTicks, Counter64, Unsigned32
ABSENT = frozenset({NULL, 0x80, 0x81, 0x82})  # noSuchObject, noSuchInstance, endOfMibView
OPAQUE_FLOATS = {b"\x9f\x78\x04": ">f", b"\x9f\x79\x08": ">d"}  # net-snmp's, draft-perkins-opaque-01
ERRORS = ("noError", "tooBig", "noSuchName", "badValue", "readOnly", "genErr", "noAccess")
AUTHORIZATION_ERROR = 16
OIDS_A_REQUEST = 32
TRIES = 3
LENGTH_BYTES = 4
INTEGER_BYTES = 9  # Counter64 with its sign byte
DATAGRAM_BYTES = 65_507


@dataclass(frozen=True, slots=True)
class Response:
    """A decoded GetResponse; ``error_status`` 0 means that the values hold."""

    request_id: int
    error_status: int
    values: dict[str, Value]


# -- BER (ITU-T X.690, the part that SNMP uses) ---------------------------------------------------------------------


def _tlv(tag: int, body: bytes) -> bytes:
    if len(body) < 0x80:  # noqa: PLR2004 - the short form's limit
        return bytes((tag, len(body))) + body
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(size))) + size + body


def _integer(number: int) -> bytes:
    return _tlv(INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True))


def _oid(dotted: str) -> bytes:
    first, second, *rest = (int(part) for part in dotted.split("."))
    out = bytearray()
    for arc in (first * 40 + second, *rest):
        septets = [arc & 0x7F]
        while arc := arc >> 7:
            septets.append(arc & 0x7F | 0x80)
        out += bytes(reversed(septets))
    return bytes(out)


def _read(data: bytes, expected: int | None = None) -> tuple[int, bytes, bytes]:
    """Split off the first element; returns its tag, its body and what follows. Raises ValueError."""
    if len(data) < 2:  # noqa: PLR2004 - tag and length
        raise ValueError("an element is cut short")
    tag, size, start = data[0], data[1], 2
    if expected is not None and tag != expected:
        raise ValueError(f"tag {tag:#04x} where {expected:#04x} belongs")
    if size & 0x80:
        count = size & 0x7F
        if not 1 <= count <= LENGTH_BYTES:
            raise ValueError("a length of a form that SNMP does not use")
        start += count
        size = int.from_bytes(data[2:start], "big")
    if len(data) < start + size:
        raise ValueError("an element is longer than the datagram")
    return tag, data[start : start + size], data[start + size :]


def _number(body: bytes, *, signed: bool) -> int:
    if not 1 <= len(body) <= INTEGER_BYTES:
        raise ValueError("an integer of a size that SNMP does not have")
    return int.from_bytes(body, "big", signed=signed)


def _dotted(body: bytes) -> str:
    arcs, arc = [], 0
    for byte in body:
        arc = arc << 7 | byte & 0x7F
        if arc >> 32:
            raise ValueError("an object identifier's part is over 32 bits")
        if not byte & 0x80:
            arcs.append(arc)
            arc = 0
    if not arcs or body[-1] & 0x80:
        raise ValueError("an object identifier is cut short")
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))


def _opaque(body: bytes) -> float | bytes:
    form = OPAQUE_FLOATS.get(body[:3])
    return float(struct.unpack(form, body[3:])[0]) if form and len(body) == 3 + struct.calcsize(form) else body


def _value(tag: int, body: bytes) -> Value:
    if tag in ABSENT:
        return None
    if tag == INTEGER or tag in UNSIGNED:
        return _number(body, signed=tag == INTEGER)
    if tag in TEXTS:
        return TEXTS[tag](body)
    raise ValueError(f"a value of unknown type {tag:#04x}")


TEXTS: dict[int, Callable[[bytes], Value]] = {
    OCTETS: bytes,
    OID: _dotted,
    IP_ADDRESS: lambda body: str(ipaddress.IPv4Address(body)),
    OPAQUE: _opaque,
}


def encode_get(community: bytes, request_id: int, oids: Sequence[str]) -> bytes:
    """Return a GetRequest (RFC 3416, section 4.2.1) in a v2c message (RFC 1901)."""
    bindings = b"".join(_tlv(SEQUENCE, _tlv(OID, _oid(oid)) + _tlv(NULL, b"")) for oid in oids)
    pdu = _integer(request_id) + _integer(0) + _integer(0) + _tlv(SEQUENCE, bindings)
    return _tlv(SEQUENCE, _integer(VERSION_2C) + _tlv(OCTETS, community) + _tlv(GET, pdu))


def decode_response(datagram: bytes) -> Response:
    """Return what an agent answered. Raises ValueError for anything that is not a v2c response."""
    _, message, rest = _read(datagram, SEQUENCE)
    _, version, message = _read(message, INTEGER)
    _, _community, message = _read(message, OCTETS)
    _, pdu, after = _read(message, RESPONSE)
    if rest or after or _number(version, signed=True) != VERSION_2C:
        raise ValueError("not one v2c message")
    _, request_id, pdu = _read(pdu, INTEGER)
    _, status, pdu = _read(pdu, INTEGER)
    _, _index, pdu = _read(pdu, INTEGER)
    _, bindings, _ = _read(pdu, SEQUENCE)
    values: dict[str, Value] = {}
    while bindings:
        _, binding, bindings = _read(bindings, SEQUENCE)
        _, name, binding = _read(binding, OID)
        tag, body, _ = _read(binding)
        values[_dotted(name)] = _value(tag, body)
    return Response(_number(request_id, signed=True), _number(status, signed=True), values)


# -- asking ---------------------------------------------------------------------------------------------------------


class _Exchange(asyncio.DatagramProtocol):
    """One request's socket; connected, so that only the agent is heard and a closed port is told."""

    def __init__(self, request_id: int) -> None:
        self.answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self.answer.add_done_callback(lambda answer: answer.cancelled() or answer.exception())
        self._request_id = request_id

    def datagram_received(self, data: bytes, _addr: object) -> None:
        if self.answer.done():
            return
        try:
            response = decode_response(data)
        except ValueError as error:
            self.answer.set_exception(GarbledReply(f"not an SNMP answer: {error}"))
            return
        if response.request_id == self._request_id:  # else an answer to somebody else's question
            self.answer.set_result(response)

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(Unreachable(getattr(exc, "strerror", None) or str(exc)))


async def get(address: str, port: int, community: Secret, oids: Sequence[str], timeout_s: float) -> dict[str, Value]:
    """Read ``oids`` (dotted, no leading dot) and return a value for each; None where the agent has no such object.

    Text is bytes, addresses and object identifiers are dotted text. A lost datagram is sent again within
    ``timeout_s``. Raises Unreachable, DeadlineExceeded, GarbledReply, Refused.
    """
    values: dict[str, Value] = {}
    where = f"{address}:{port}"
    try:
        async with asyncio.timeout(timeout_s):
            for start in range(0, len(oids), OIDS_A_REQUEST):
                part = oids[start : start + OIDS_A_REQUEST]
                values |= await _ask(address, port, community, part, timeout_s / TRIES)
    except TimeoutError as error:
        # An agent does not answer a wrong community at all.
        raise DeadlineExceeded(
            f"{where}: no SNMP answer in {timeout_s:g} s (down, cut off, or wrong community)"
        ) from error
    except (GarbledReply, Unreachable, Refused) as error:
        raise type(error)(f"{where}: {error}") from error
    return values


async def _ask(address: str, port: int, community: Secret, oids: Sequence[str], try_s: float) -> dict[str, Value]:
    request_id = secrets.randbelow(1 << 31)
    datagram = encode_get(community.reveal().encode(), request_id, oids)
    loop = asyncio.get_running_loop()
    try:
        transport, exchange = await loop.create_datagram_endpoint(
            lambda: _Exchange(request_id), remote_addr=(address, port)
        )
    except OSError as error:
        raise Unreachable(error.strerror or str(error)) from error
    try:
        while True:  # until the caller's time-out
            transport.sendto(datagram)
            done, _ = await asyncio.wait([exchange.answer], timeout=try_s)
            if done:
                response = exchange.answer.result()
                break
    finally:
        exchange.answer.cancel()
        transport.close()
    status = response.error_status
    if status:
        name = ERRORS[status] if 0 < status < len(ERRORS) else f"error {status}"
        raise Refused(f"the agent says {'authorizationError' if status == AUTHORIZATION_ERROR else name}")
    if response.values.keys() != set(oids):
        raise GarbledReply("not an SNMP answer: other objects than were asked for")
    return response.values
