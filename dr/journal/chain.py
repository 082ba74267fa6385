"""The chain that holds the journal's events together: each link is a hash over the one before and the event's row.

Pure. A row that is changed, removed, put in or moved breaks every link after it. What it cannot show by itself is that
its end was cut off, or that all of it was written anew: for that its head is signed and kept at another place
(``dr.evidence.anchor``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

LINK_BYTES = 32
DOMAIN = b"karaula journal chain 1"


@dataclass(frozen=True, slots=True)
class Row:
    """One event as it lies in the journal; ``body`` are its bytes, whether they can be read or not."""

    run_id: str
    seq: int
    at: float
    word: str
    body: bytes


def first(journal_id: str) -> bytes:
    """Return the link before the first event of the journal with this id."""
    return hashlib.sha256(DOMAIN + _sized(journal_id.encode())).digest()


def link(before: bytes, row: Row) -> bytes:
    """Return the link of ``row`` that follows the link ``before``: SHA-256, every part with its length."""
    parts = (row.run_id.encode(), str(row.seq).encode(), row.at.hex().encode(), row.word.encode(), row.body)
    return hashlib.sha256(before + b"".join(_sized(part) for part in parts)).digest()


def links(before: bytes, rows: Iterable[Row]) -> Iterator[bytes]:
    """Yield the link of each row that follows ``before``."""
    for row in rows:
        before = link(before, row)
        yield before


def _sized(part: bytes) -> bytes:
    return len(part).to_bytes(8, "big") + part
