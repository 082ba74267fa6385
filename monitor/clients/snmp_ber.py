"""SNMP's bytes: the part of BER (ITU-T X.690) that it uses, and its PDUs (RFC 3416), written and read.

Garbage is a ValueError and nothing else. Reading goes by offsets into the datagram, because slices of slices were
half of what an agent cost.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

Value = int | float | str | bytes | None

INTEGER, OCTETS, NULL, OID, SEQUENCE = 0x02, 0x04, 0x05, 0x06, 0x30
GET, GET_NEXT, RESPONSE, REPORT = 0xA0, 0xA1, 0xA2, 0xA8
IP_ADDRESS, OPAQUE = 0x40, 0x44
UNSIGNED = frozenset({0x41, 0x42, 0x43, 0x46, 0x47})  # Counter32, Gauge32, TimeTicks, Counter64, Unsigned32
NUMBERS = UNSIGNED | {INTEGER}
ABSENT = frozenset({NULL, 0x80, 0x81, 0x82})  # noSuchObject, noSuchInstance, endOfMibView
OPAQUE_FLOATS = {b"\x9f\x78\x04": ">f", b"\x9f\x79\x08": ">d"}  # net-snmp's, draft-perkins-opaque-01
SHORT_FORM = 0x80  # lengths below it are one byte
LENGTH_BYTES = 4
INTEGER_BYTES = 9  # Counter64 with its sign byte
OID_BYTES = 640  # 128 parts (RFC 2578, section 3.5) of at most 5 bytes
KEPT_OIDS = 50_000
KEPT_REQUESTS = 4096


@dataclass(frozen=True, slots=True)
class Response:
    """A decoded GetResponse or Report; ``error_status`` 0 means that the values hold."""

    request_id: int
    error_status: int
    values: dict[str, Value]
    kind: int = RESPONSE


# -- writing ----------------------------------------------------------------------------------------------------------


def tlv(tag: int, body: bytes) -> bytes:
    """Return one element."""
    if len(body) < SHORT_FORM:
        return bytes((tag, len(body))) + body
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(size))) + size + body


def integer(number: int) -> bytes:
    """Return an INTEGER."""
    return tlv(INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True))


def oid(dotted: str) -> bytes:
    """Return the contents of an OBJECT IDENTIFIER."""
    first, second, *rest = (int(part) for part in dotted.split("."))
    out = bytearray()
    for arc in (first * 40 + second, *rest):
        septets = [arc & 0x7F]
        while arc := arc >> 7:
            septets.append(arc & 0x7F | 0x80)
        out += bytes(reversed(septets))
    return bytes(out)


@lru_cache(KEPT_REQUESTS)
def _names(oids: tuple[str, ...]) -> tuple[tuple[str, bytes], ...]:
    """Return each object with its whole OBJECT IDENTIFIER."""
    return tuple((each, tlv(OID, oid(each))) for each in oids)


@lru_cache(KEPT_REQUESTS)
def _bindings(oids: tuple[str, ...]) -> bytes:
    return tlv(SEQUENCE, b"".join(tlv(SEQUENCE, tlv(OID, oid(each)) + tlv(NULL, b"")) for each in oids))


def get_request(request_id: int, oids: Sequence[str], kind: int = GET) -> bytes:
    """Return a GetRequest, or with the ``kind`` GET_NEXT a GetNextRequest (RFC 3416, sections 4.2.1 and 4.2.2)."""
    return tlv(kind, integer(request_id) + b"\x02\x01\x00\x02\x01\x00" + _bindings(tuple(oids)))


# -- reading ----------------------------------------------------------------------------------------------------------


def element(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """Return tag, start and stop of the contents of the element at ``at``, which must end by ``end``.

    Raises ValueError.
    """
    start = at + 2
    if start > end:
        raise ValueError("an element is cut short")
    size = data[at + 1]
    if size & 0x80:
        count = size & 0x7F
        if not 1 <= count <= LENGTH_BYTES:
            raise ValueError("a length of a form that SNMP does not use")
        size = int.from_bytes(data[start : start + count], "big")
        start += count
    stop = start + size
    if stop > end:
        raise ValueError("an element is longer than the datagram")
    return data[at], start, stop


def expect(data: bytes, at: int, end: int, tag: int) -> tuple[int, int]:
    """Return start and stop of the contents of the element at ``at``, which must be a ``tag``. Raises ValueError."""
    found, start, stop = element(data, at, end)
    if found != tag:
        raise ValueError(f"tag {found:#04x} where {tag:#04x} belongs")
    return start, stop


def number(data: bytes, start: int, stop: int, *, signed: bool = True) -> int:
    """Return an integer's contents as a number. Raises ValueError."""
    if not 1 <= stop - start <= INTEGER_BYTES:
        raise ValueError("an integer of a size that SNMP does not have")
    return int.from_bytes(data[start:stop], "big", signed=signed)


def dotted(body: bytes) -> str:
    """Return an OBJECT IDENTIFIER's contents as dotted text. Raises ValueError."""
    if len(body) > OID_BYTES:  # before it is kept: else strangers' datagrams would fill the memory
        raise ValueError("an object identifier is longer than SNMP has them")
    return _dotted(body)


@lru_cache(KEPT_OIDS)
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


_TEXTS: dict[int, Callable[[bytes], Value]] = {
    OCTETS: bytes,
    OID: dotted,
    IP_ADDRESS: lambda body: str(ipaddress.IPv4Address(body)),
    OPAQUE: _opaque,
}


def _value(data: bytes, tag: int, start: int, stop: int) -> Value:
    if tag == INTEGER:
        return number(data, start, stop)
    if tag in UNSIGNED:
        return number(data, start, stop, signed=False)
    if tag in ABSENT:
        return None
    if tag in _TEXTS:
        return _TEXTS[tag](data[start:stop])
    raise ValueError(f"a value of unknown type {tag:#04x}")


def _in_order(data: bytes, at: int, end: int, oids: tuple[str, ...]) -> dict[str, Value] | None:
    """Return the values of exactly ``oids``, as nearly every agent answers: in order, and in lengths of the short form.

    None when it is anything else, well formed or not; what this reads, the loop over elements reads alike.
    """
    values: dict[str, Value] = {}
    for oid_asked, name in _names(oids):
        value = at + 2 + len(name)
        low = value + 2
        if low > end or data[at] != SEQUENCE or not data.startswith(name, at + 2):
            return None
        high = at + 2 + data[at + 1]
        if data[at + 1] >= SHORT_FORM or high > end or data[value + 1] != high - low:
            return None
        tag = data[value]
        if tag in NUMBERS and low < high <= low + INTEGER_BYTES:
            values[oid_asked] = int.from_bytes(data[low:high], "big", signed=tag == INTEGER)
        else:
            values[oid_asked] = _value(data, tag, low, high)
        at = high
    return values if at == end else None


def read_pdu(
    data: bytes, at: int, end: int, wanted: int | None = None, oids: Sequence[str] = ()
) -> tuple[Response, int]:
    """Return the Response or Report at ``at`` and where it ends. Raises ValueError.

    With ``wanted``, of a Response to another request ID nothing more is read: it has no values. ``oids`` were asked
    for, and are read faster when they come in that order.
    """
    kind, inner, stop = element(data, at, end)
    if kind not in (RESPONSE, REPORT):
        raise ValueError(f"tag {kind:#04x} where {RESPONSE:#04x} belongs")
    start, after = expect(data, inner, stop, INTEGER)
    request_id = number(data, start, after)
    start, after = expect(data, after, stop, INTEGER)
    status = number(data, start, after)
    _, after = expect(data, after, stop, INTEGER)  # error-index: nothing here depends on it
    place, last = expect(data, after, stop, SEQUENCE)
    values: dict[str, Value] = {}
    if kind == RESPONSE and wanted not in (None, request_id):
        return Response(request_id, status, values, kind), stop
    if oids and (found := _in_order(data, place, last, tuple(oids))) is not None:
        return Response(request_id, status, found, kind), stop
    while place < last:
        start, place = expect(data, place, last, SEQUENCE)
        name, value = expect(data, start, place, OID)
        tag, start, after = element(data, value, place)
        values[dotted(data[name:value])] = _value(data, tag, start, after)
    return Response(request_id, status, values, kind), stop
