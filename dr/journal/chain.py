"""The chain that holds the journal's events together: each link is a hash over the one before and the event's row.

Pure. What a chain can show, and what it cannot, stands in ``monitor.chain``; its head is signed and kept at another
place (``dr.evidence.anchor``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from monitor import chain

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
    return chain.first(DOMAIN, journal_id)


def link(before: bytes, row: Row) -> bytes:
    """Return the link of ``row`` that follows the link ``before``."""
    parts = (row.run_id.encode(), str(row.seq).encode(), row.at.hex().encode(), row.word.encode(), row.body)
    return chain.link(before, parts)


def links(before: bytes, rows: Iterable[Row]) -> Iterator[bytes]:
    """Yield the link of each row that follows ``before``."""
    for row in rows:
        before = link(before, row)
        yield before
