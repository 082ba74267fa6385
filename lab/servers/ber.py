"""The subset of ASN.1 BER (X.690) that SNMP v2c uses (RFC 3416 section 3): definite lengths, one-byte tags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

INTEGER: Final = 0x02
OCTET_STRING: Final = 0x04
NULL: Final = 0x05
OBJECT_IDENTIFIER: Final = 0x06
SEQUENCE: Final = 0x30
COUNTER32: Final = 0x41
GAUGE32: Final = 0x42
TIMETICKS: Final = 0x43
NO_SUCH_OBJECT: Final = 0x80
NO_SUCH_INSTANCE: Final = 0x81
END_OF_MIB_VIEW: Final = 0x82

LONG_FORM = 0x80
MAX_LENGTH_BYTES = 4
FIRST_ARC_FACTOR = 40
Oid = tuple[int, ...]


class BadEncoding(ValueError):
    """Bytes that are not BER as SNMP uses it."""


@dataclass(frozen=True, slots=True)
class Value:
    """An SNMP value: its tag and its contents as they stand on the wire."""

    tag: int
    contents: bytes = b""

    def encode(self) -> bytes:
        """Give tag, length and contents."""
        return encode(self.tag, self.contents)


def integer(number: int, tag: int = INTEGER) -> Value:
    """Make an INTEGER or, by ``tag``, one of the unsigned types (Gauge32, Counter32, TimeTicks)."""
    return Value(tag, number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True))


def text(characters: str) -> Value:
    """Make an OCTET STRING of UTF-8."""
    return Value(OCTET_STRING, characters.encode())


def object_identifier(oid: Oid) -> Value:
    """Make an OBJECT IDENTIFIER (X.690 8.19)."""
    arcs = (oid[0] * FIRST_ARC_FACTOR + oid[1], *oid[2:])
    return Value(OBJECT_IDENTIFIER, b"".join(_base_128(arc) for arc in arcs))


def parse_oid(dotted: str) -> Oid:
    """Read ``1.3.6.1…``. Raises ``ValueError``."""
    return tuple(int(arc) for arc in dotted.split("."))


def encode(tag: int, contents: bytes) -> bytes:
    """Give tag, length and contents."""
    length = len(contents)
    if length < LONG_FORM:
        return bytes((tag, length)) + contents
    digits = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, LONG_FORM | len(digits))) + digits + contents


def decode_integer(contents: bytes) -> int:
    """Read an INTEGER's contents. Raises ``BadEncoding`` when they are empty."""
    if not contents:
        raise BadEncoding("an integer without contents")
    return int.from_bytes(contents, "big", signed=True)


def decode_oid(contents: bytes) -> Oid:
    """Read an OBJECT IDENTIFIER's contents. Raises ``BadEncoding``."""
    arcs: list[int] = []
    arc = 0
    for byte in contents:
        arc = arc << 7 | byte & 0x7F
        if not byte & LONG_FORM:
            arcs.append(arc)
            arc = 0
    if not arcs or contents[-1] & LONG_FORM:
        raise BadEncoding("an object identifier that ends within an arc")
    first = min(arcs[0] // FIRST_ARC_FACTOR, 2)
    return (first, arcs[0] - first * FIRST_ARC_FACTOR, *arcs[1:])


class Reader:
    """Takes elements off the front of ``data``."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def at_end(self) -> bool:
        """Whether everything has been taken."""
        return self._at >= len(self._data)

    def element(self) -> Value:
        """Take the next element. Raises ``BadEncoding`` when it is cut short or of indefinite length."""
        tag = self._take(1)[0]
        length = self._take(1)[0]
        if length & LONG_FORM:
            count = length & ~LONG_FORM
            if not 0 < count <= MAX_LENGTH_BYTES:
                raise BadEncoding("an indefinite or absurd length")
            length = int.from_bytes(self._take(count), "big")
        return Value(tag, self._take(length))

    def expect(self, tag: int) -> bytes:
        """Take the next element's contents. Raises ``BadEncoding`` when its tag is another."""
        element = self.element()
        if element.tag != tag:
            raise BadEncoding(f"tag {element.tag:#04x} where {tag:#04x} belongs")
        return element.contents

    def _take(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        if len(taken) < count:
            raise BadEncoding("it ends too early")
        self._at += count
        return taken


def _base_128(arc: int) -> bytes:
    digits = [arc & 0x7F]
    while arc := arc >> 7:
        digits.append(arc & 0x7F | LONG_FORM)
    return bytes(reversed(digits))
