"""Search filters of LDAP: from the text that people write (RFC 4515) to the bytes that are sent (RFC 4511, 4.5.1.7).

Everything but extensible matches (``:=``). What is not a filter raises ValueError, with a text for its author.
"""

from __future__ import annotations

import re

ATTRIBUTE = re.compile(r"([A-Za-z][A-Za-z0-9-]*|[0-9]+(\.[0-9]+)+)(;[A-Za-z0-9-]+)*")
ESCAPE = re.compile(r"\\([0-9A-Fa-f]{2})?")
DEEPEST = 20
LONGEST = 2000
AND, OR, NOT, EQUAL, SUBSTRINGS, AT_LEAST, AT_MOST, PRESENT, ALIKE = (
    0xA0,
    0xA1,
    0xA2,
    0xA3,
    0xA4,
    0xA5,
    0xA6,
    0x87,
    0xA8,
)
COMPARISONS = {">=": AT_LEAST, "<=": AT_MOST, "~=": ALIKE}


def tlv(tag: int, content: bytes) -> bytes:
    """Return one BER element of a definite length, as LDAP has them (RFC 4511, section 5.1)."""
    size = len(content)
    if size < 0x80:  # noqa: PLR2004 - the short form
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(length))) + length + content


def encoded(text: str) -> bytes:
    """Return a filter's bytes."""
    if len(text) > LONGEST:
        raise ValueError(f"a filter has at most {LONGEST} characters")
    found, end = _filter(text, 0, 0)
    if end != len(text):
        raise ValueError(f"something follows the filter at character {end + 1}")
    return found


def check(text: str) -> str:
    """Accept a filter and give it back, for the inventory."""
    encoded(text)
    return text


def _filter(text: str, start: int, depth: int) -> tuple[bytes, int]:
    """Return the filter that begins at ``start``, and where it ends."""
    if depth > DEEPEST:
        raise ValueError(f"a filter is at most {DEEPEST} deep")
    if not text.startswith("(", start):
        raise ValueError(f"a filter begins with '(', as in (uid=karaula), at character {start + 1}")
    sign, place = text[start + 1 : start + 2], start + 2
    if sign in ("&", "|"):
        parts = b""
        while text.startswith("(", place):
            part, place = _filter(text, place, depth + 1)
            parts += part
        found = tlv(AND if sign == "&" else OR, parts)
    elif sign == "!":
        part, place = _filter(text, place, depth + 1)
        found = tlv(NOT, part)
    else:
        place = text.find(")", start)
        found = _item(text[start + 1 : place]) if place > 0 else b""
    if not text.startswith(")", place):
        raise ValueError("a filter ends with ')'")
    return found, place + 1


def _item(text: str) -> bytes:
    name, sign, value = text.partition("=")
    comparison = EQUAL
    if sign and name[-1:] in "<>~" and name:
        comparison, name = COMPARISONS[name[-1] + "="], name[:-1]
    if not sign or not ATTRIBUTE.fullmatch(name):
        raise ValueError(f"'{text[:60]}' is not attribute, comparison and value, as in uid=karaula")
    if "(" in value:
        raise ValueError("a '(' in a value is written \\28")
    attribute = name.encode()
    if comparison != EQUAL or "*" not in value:
        if "*" in value:
            raise ValueError("a '*' in a value is written \\2a here")
        return tlv(comparison, tlv(4, attribute) + tlv(4, _value(value)))
    if value == "*":
        return tlv(PRESENT, attribute)
    first, *middle, last = (_value(part) for part in value.split("*"))
    parts = tlv(0x80, first) if first else b""
    parts += b"".join(tlv(0x81, part) for part in middle if part)
    parts += tlv(0x82, last) if last else b""
    if not parts:
        raise ValueError("write (attribute=*) for any value")
    return tlv(SUBSTRINGS, tlv(4, attribute) + tlv(0x30, parts))


def _value(text: str) -> bytes:
    found, place = b"", 0
    for escape in ESCAPE.finditer(text):
        if escape[1] is None:
            raise ValueError("a '\\' in a value is followed by two hexadecimal digits; itself it is written \\5c")
        found += text[place : escape.start()].encode() + bytes.fromhex(escape[1])
        place = escape.end()
    return found + text[place:].encode()
