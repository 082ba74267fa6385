"""A chain of records: each link is a hash over the one before and the record's parts.

Pure. A record that is changed, removed, put in or moved breaks every link after it. What a chain cannot show by itself
is that its end was cut off, or that all of it was written anew: for that its head is signed and kept at another place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a record's chain: whose it is, over how many entries, and the newest link."""

    record: str
    count: int
    link: bytes


def first(domain: bytes, name: str) -> bytes:
    """Return the link before the first entry of the record ``name``; ``domain`` keeps kinds of records apart."""
    return hashlib.sha256(domain + _sized(name.encode())).digest()


def link(before: bytes, parts: Iterable[bytes]) -> bytes:
    """Return the link that follows ``before``: SHA-256, every part with its length."""
    return hashlib.sha256(before + b"".join(_sized(part) for part in parts)).digest()


def _sized(part: bytes) -> bytes:
    return len(part).to_bytes(8, "big") + part
