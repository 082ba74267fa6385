"""The ledger of what service levels are reckoned by: one SQLite file to which is only ever added.

Triggers refuse every change and deletion. Rows have keys of their own, so that a repeated write (after an error whose
outcome was unknown) adds nothing. What people said (``entries``) and sealed months are chained by hashes: each row's
hash covers the row and the hash before it. Methods block; whoever calls them on the event loop uses a thread.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import zlib
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from monitor.errors import StateError
from monitor.sla.measure import BOUNDS_MS, Quarter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

SCHEMA_VERSION = 1
COUNTS = tuple(f"c{number}" for number in range(len(BOUNDS_MS) + 1))
_TABLES = {
    "chains": "number INTEGER PRIMARY KEY, why TEXT NOT NULL, start_us INTEGER NOT NULL",
    "marks": "chain INTEGER NOT NULL, start_us INTEGER NOT NULL, end_us INTEGER NOT NULL, "
    "flips_before INTEGER NOT NULL, flips_after INTEGER NOT NULL, PRIMARY KEY (chain, start_us)",
    "sightings": "chain INTEGER NOT NULL, subject TEXT NOT NULL, at_us INTEGER NOT NULL, health TEXT NOT NULL, "
    "reason TEXT NOT NULL, PRIMARY KEY (chain, subject)",
    "links": "number INTEGER PRIMARY KEY, subject TEXT NOT NULL UNIQUE",
    "quarters": "link INTEGER NOT NULL, quarter INTEGER NOT NULL, chain INTEGER NOT NULL, sent INTEGER NOT NULL, "
    "lost INTEGER NOT NULL, sent_down INTEGER NOT NULL, rtt_sum_us INTEGER NOT NULL, rtt_min_us INTEGER NOT NULL, "
    f"rtt_max_us INTEGER NOT NULL, {', '.join(f'{name} INTEGER NOT NULL' for name in COUNTS)}, "
    "PRIMARY KEY (link, quarter, chain)",
    "terms": "number INTEGER PRIMARY KEY, at_us INTEGER NOT NULL, body TEXT NOT NULL",
    "entries": "number INTEGER PRIMARY KEY, at_us INTEGER NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL, "
    "start_us INTEGER NOT NULL, end_us INTEGER NOT NULL, reason TEXT NOT NULL, by TEXT NOT NULL, "
    "channel TEXT NOT NULL, withdraws INTEGER NOT NULL, hash TEXT NOT NULL",
    "seals": "number INTEGER PRIMARY KEY, month TEXT NOT NULL, revision INTEGER NOT NULL, at_us INTEGER NOT NULL, "
    "why TEXT NOT NULL, sha256 TEXT NOT NULL, body BLOB NOT NULL, hash TEXT NOT NULL, UNIQUE (month, revision)",
}
_WITHOUT_ROWID = frozenset({"marks", "sightings", "quarters"})
EntryKind = Literal["maintenance", "excused", "withdrawn"]


@dataclass(frozen=True, slots=True)
class ChainBegun:
    """The watch began to run, or its clock was set; ``why`` is a key of ``timeline.WHY_BEGUN``."""

    number: int
    why: str
    start_us: int


@dataclass(frozen=True, slots=True)
class Mark:
    """The watch ran from ``start_us`` to ``end_us`` without a break."""

    chain: int
    start_us: int
    end_us: int


@dataclass(frozen=True, slots=True)
class Sighting:
    """The moment in a chain from which a link's state was known, and what it was."""

    chain: int
    subject: str
    at_us: int
    health: str
    reason: str


@dataclass(frozen=True, slots=True)
class TermsRow:
    """Terms, and since when they hold; numbered in the order in which they came."""

    number: int
    at_us: int
    body: str


Row = ChainBegun | Mark | Sighting | TermsRow | Quarter


@dataclass(frozen=True, slots=True)
class Entry:
    """What a person said of a link's time. ``withdraws`` is the number of the entry that is taken back, else 0."""

    number: int
    at_us: int
    kind: EntryKind
    subject: str
    start_us: int
    end_us: int
    reason: str
    by: str
    channel: str
    withdraws: int = 0
    hash: str = ""


@dataclass(frozen=True, slots=True)
class Seal:
    """A closed month's figures as they were when it was closed; a correction makes a new revision."""

    number: int
    month: str
    revision: int
    at_us: int
    why: str
    sha256: str
    body: str
    hash: str = ""


class Ledger:
    """The ledger's file, open for adding; whoever opens it holds the state folder's lock (``History``)."""

    def __init__(self, path: Path) -> None:
        """Open or create ``path``. Raises StateError when it is newer, damaged or cannot be written."""
        self.path = path
        with translated(path):
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
            try:
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=FULL")
                self._match_schema()
            except BaseException:
                self._db.close()
                raise

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _match_schema(self) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            self._db.executescript(f"BEGIN IMMEDIATE; {_schema()} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;")
        elif version != SCHEMA_VERSION:
            raise StateError(
                f"{self.path} has schema version {version}, this Karaula knows {SCHEMA_VERSION}: "
                "run the version that wrote it, or a newer one"
            )

    # -- what is needed to go on ---------------------------------------------------------------------------------------

    def last_chain(self) -> int:
        """Return the number of the newest chain, 0 when there is none. Raises StateError."""
        with translated(self.path):
            return int(self._db.execute("SELECT coalesce(max(number), 0) FROM chains").fetchone()[0])

    def last_terms(self) -> TermsRow | None:
        """Return the newest terms. Raises StateError."""
        with translated(self.path):
            row = self._db.execute("SELECT number, at_us, body FROM terms ORDER BY number DESC LIMIT 1").fetchone()
        return None if row is None else TermsRow(*row)

    # -- adding --------------------------------------------------------------------------------------------------------

    def append(self, rows: Iterable[Row], flips_before: int, flips_after: int) -> None:
        """Add ``rows`` in one transaction; what is there already is left as it is.

        ``flips_before`` and ``flips_after`` are the highest numbers of flips in the history before and after the flips
        of the same batch were written. Raises StateError; then nothing, or all of it, was written.
        """
        with self._writing():
            for row in rows:
                self._add(row, flips_before, flips_after)

    def _add(self, row: Row, flips_before: int, flips_after: int) -> None:
        db = self._db
        match row:
            case Mark():
                values = (row.chain, row.start_us, row.end_us, flips_before, flips_after)
                db.execute("INSERT OR IGNORE INTO marks VALUES (?, ?, ?, ?, ?)", values)
            case ChainBegun():
                db.execute("INSERT OR IGNORE INTO chains VALUES (?, ?, ?)", (row.number, row.why, row.start_us))
            case Sighting():
                seen = (row.chain, row.subject, row.at_us, row.health, row.reason)
                db.execute("INSERT OR IGNORE INTO sightings VALUES (?, ?, ?, ?, ?)", seen)
            case TermsRow():
                db.execute("INSERT OR IGNORE INTO terms VALUES (?, ?, ?)", (row.number, row.at_us, row.body))
            case Quarter():
                db.execute("INSERT OR IGNORE INTO links (subject) VALUES (?)", (row.subject,))
                number = db.execute("SELECT number FROM links WHERE subject = ?", (row.subject,)).fetchone()[0]
                values = (row.index, row.chain, row.sent, row.lost, row.sent_down)
                delays = (row.rtt_sum_us, row.rtt_min_us, row.rtt_max_us, *row.counts)
                places = ", ".join("?" * (1 + len(values) + len(delays)))
                db.execute(f"INSERT OR IGNORE INTO quarters VALUES ({places})", (number, *values, *delays))  # noqa: S608 - question marks

    def enter(self, entry: Entry) -> Entry:
        """Add what a person said; return it with its number and hash. Raises StateError."""
        with self._writing():
            last = self._db.execute("SELECT number, hash FROM entries ORDER BY number DESC LIMIT 1").fetchone()
            number, before = (0, "") if last is None else last
            made = Entry(**{**asdict(entry), "number": number + 1, "hash": ""})
            made = Entry(**{**asdict(made), "hash": entry_hash(made, before)})
            values = tuple(asdict(made).values())
            places = ", ".join("?" * len(values))
            order = ", ".join(asdict(made))
            self._db.execute(f"INSERT INTO entries ({order}) VALUES ({places})", values)  # noqa: S608 - names of our own columns
        return made

    def seal(self, month: str, at_us: int, why: str, body: str) -> Seal:
        """Keep a closed month's figures as its next revision. Raises StateError."""
        with self._writing():
            last = self._db.execute("SELECT number, hash FROM seals ORDER BY number DESC LIMIT 1").fetchone()
            number, before = (0, "") if last is None else last
            sql = "SELECT coalesce(max(revision), 0) FROM seals WHERE month = ?"
            revision = int(self._db.execute(sql, (month,)).fetchone()[0]) + 1
            sha256 = hashlib.sha256(body.encode()).hexdigest()
            made = Seal(number + 1, month, revision, at_us, why, sha256, body)
            made = Seal(**{**asdict(made), "hash": seal_hash(made, before)})
            values = (made.number, month, revision, at_us, why, sha256, zlib.compress(body.encode(), 9), made.hash)
            self._db.execute("INSERT INTO seals VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
        return made

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with translated(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise


def entry_hash(entry: Entry, before: str) -> str:
    """Return the hash of an entry after one with the hash ``before`` (empty for the first)."""
    return _hash({**asdict(entry), "hash": before})


def seal_hash(seal: Seal, before: str) -> str:
    """Return the hash of a seal after one with the hash ``before``; its figures are in it by their own hash."""
    return _hash({**asdict(seal), "hash": before, "body": ""})


def _hash(body: dict[str, Any]) -> str:
    text = json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _schema() -> str:
    parts = []
    for name, columns in _TABLES.items():
        parts.append(f"CREATE TABLE {name} ({columns}) STRICT{', WITHOUT ROWID' if name in _WITHOUT_ROWID else ''};")
        for change in ("UPDATE", "DELETE"):
            refusal = "SELECT RAISE(ABORT, 'the ledger is only ever added to');"
            parts.append(f"CREATE TRIGGER {name}_no_{change.lower()} BEFORE {change} ON {name} BEGIN {refusal} END;")
    return " ".join(parts)


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into StateError."""
    try:
        yield
    except (sqlite3.Error, zlib.error) as error:
        raise StateError(f"the ledger of service levels {path} cannot be used: {error}") from error
