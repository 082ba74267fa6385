"""The file of planned downtimes: entries that are only ever added, in a chain, and the tables that they come to.

What is asked every day is in the tables ``downtimes`` and ``lines``; what vouches for them is ``entries``: whoever
changes a row of either, takes one away or puts one in is found by ``examine``, and a cut of the end by the signed head
that is kept elsewhere (``dr.evidence``). Version 1 had the tables alone: such a file is entered as it stands when it is
opened.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from monitor.chain import Head, first, link
from monitor.errors import StateError
from monitor.status.downtime import Downtime

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

SCHEMA_VERSION = 2
PREFIX = "downtimes-"  # of the record's id, by which its anchors are told from those of a journal
_DOMAIN = b"karaula downtimes chain 1"
_TABLES = """
CREATE TABLE downtimes (
    id TEXT PRIMARY KEY, subject TEXT NOT NULL, starts REAL NOT NULL, ends REAL NOT NULL, planned_end REAL NOT NULL,
    owner TEXT NOT NULL, reason TEXT NOT NULL, announced_at REAL NOT NULL, origin TEXT NOT NULL, job TEXT NOT NULL,
    ended_by TEXT NOT NULL
) STRICT;
CREATE INDEX downtimes_by_end ON downtimes (ends);
CREATE TABLE lines (line TEXT PRIMARY KEY, announced_at REAL NOT NULL) STRICT;
"""
_CHAIN = """
CREATE TABLE identity (record TEXT NOT NULL) STRICT;
CREATE TABLE entries (id INTEGER PRIMARY KEY, word TEXT NOT NULL, body TEXT NOT NULL, link BLOB NOT NULL) STRICT;
"""
_NAMES = tuple(field.name for field in fields(Downtime))


@dataclass(frozen=True, slots=True)
class Examined:
    """What a file of planned downtimes holds: its id, the true link after each entry, and what speaks against it."""

    record: str
    links: tuple[bytes, ...]
    faults: tuple[str, ...]

    @property
    def first(self) -> bytes:
        """Return the link before the first entry."""
        return first(_DOMAIN, self.record)


def opened(path: Path) -> sqlite3.Connection:
    """Open or create the file, and bring it to this version. Raises StateError and sqlite3.Error."""
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=1)
    try:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        _match_schema(db, path)
    except BaseException:
        db.close()
        raise
    return db


def write(db: sqlite3.Connection, downtimes: Iterable[Downtime], lines: Mapping[str, float]) -> None:
    """Enter what has changed, in one transaction; the same twice does no harm. Raises sqlite3.Error."""
    with _transaction(db):
        for each in downtimes:
            if db.execute("SELECT * FROM downtimes WHERE id = ?", (each.id,)).fetchone() != astuple(each):
                db.execute("INSERT OR REPLACE INTO downtimes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", astuple(each))
                _enter(db, "downtime", asdict(each))
        before = dict(db.execute("SELECT line, announced_at FROM lines").fetchall())
        for line in before.keys() - lines.keys():
            db.execute("DELETE FROM lines WHERE line = ?", (line,))
            _enter(db, "line-gone", {"line": line})
        for line, announced_at in lines.items():
            if before.get(line) != announced_at:
                db.execute("INSERT OR REPLACE INTO lines VALUES (?, ?)", (line, announced_at))
                _enter(db, "line", {"line": line, "announced_at": announced_at})


def head(db: sqlite3.Connection) -> Head:
    """Return where the chain ends. Raises sqlite3.Error."""
    record = str(db.execute("SELECT record FROM identity").fetchone()[0])
    return Head(record, db.execute("SELECT count(*) FROM entries").fetchone()[0], _newest(db, record))


def examine(path: Path) -> Examined:
    """Hold the file against its own chain. Raises StateError when it cannot be read at all."""
    try:
        db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5)
    except sqlite3.Error as error:
        raise StateError(f"{path} cannot be opened: {error}") from error
    try:
        if db.execute("PRAGMA user_version").fetchone()[0] != SCHEMA_VERSION:
            raise StateError(f"{path} is not a record of downtimes with a chain (schema version {SCHEMA_VERSION})")
        db.execute("BEGIN")  # one moment of a file that may be written to meanwhile
        record = str(db.execute("SELECT record FROM identity").fetchone()[0])
        entries = db.execute("SELECT word, body, link FROM entries ORDER BY id").fetchall()
        tables = {
            "downtime": {row[0]: tuple(row) for row in db.execute("SELECT * FROM downtimes")},
            "line": dict(db.execute("SELECT line, announced_at FROM lines").fetchall()),
        }
        damage = str(db.execute("PRAGMA integrity_check(1)").fetchone()[0])
    except (sqlite3.Error, TypeError) as error:  # a file that somebody made may hold anything
        raise StateError(f"{path} cannot be read: {error}") from error
    finally:
        db.close()
    found = _examined(record, entries, tables)
    if damage == "ok":  # SQLite's word
        return found
    said = (
        f"the file of the planned downtimes is damaged, and whoever reads it may be shown others than these: {damage}"
    )
    return replace(found, faults=(said, *found.faults))


def _examined(record: str, entries: list[tuple[Any, ...]], tables: dict[str, dict[str, Any]]) -> Examined:
    links: list[bytes] = []
    faults: list[str] = []
    told: dict[str, dict[str, Any]] = {"downtime": {}, "line": {}}
    newest = first(_DOMAIN, record)
    for number, (word, body, kept) in enumerate(entries, 1):
        newest = link(newest, (str(word).encode(), str(body).encode()))
        links.append(newest)
        if kept != newest and not faults:
            faults.append(
                f"entry {number} of the planned downtimes ({word}) does not fit the chain: an entry there or before it "
                "was changed, removed, put in or moved"
            )
        try:
            _apply(told, word, body)
        except (ValueError, TypeError, KeyError, RecursionError):
            faults.append(f"entry {number} of the planned downtimes cannot be read")
    for kind, rows in tables.items():
        named = {"downtime": "the downtime", "line": "the line of the calendar"}[kind]
        faults += [
            f"{named} '{key}' is not what was entered"
            for key in sorted(rows.keys() | told[kind].keys(), key=str)
            if rows.get(key) != told[kind].get(key)
        ]
    return Examined(record, tuple(links), tuple(faults))


def _apply(told: dict[str, dict[str, Any]], word: str, body: str) -> None:
    """Take one entry in. Raises ValueError, TypeError or KeyError for one that was never written."""
    data = json.loads(body)
    if word == "downtime":
        told["downtime"][data["id"]] = tuple(data[name] for name in _NAMES)
    elif word == "line":
        told["line"][data["line"]] = data["announced_at"]
    elif word == "line-gone":
        del told["line"][data["line"]]
    else:
        raise ValueError(f"no word of this record: {word}")


def _enter(db: sqlite3.Connection, word: str, data: Mapping[str, object]) -> None:
    body = json.dumps(data, sort_keys=True, separators=(",", ":"))
    record = str(db.execute("SELECT record FROM identity").fetchone()[0])
    made = link(_newest(db, record), (word.encode(), body.encode()))
    db.execute("INSERT INTO entries (word, body, link) VALUES (?, ?, ?)", (word, body, made))


def _newest(db: sqlite3.Connection, record: str) -> bytes:
    row = db.execute("SELECT link FROM entries ORDER BY id DESC LIMIT 1").fetchone()
    return first(_DOMAIN, record) if row is None else bytes(row[0])


def _match_schema(db: sqlite3.Connection, path: Path) -> None:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version not in {0, 1, SCHEMA_VERSION}:
        raise StateError(
            f"{path} has schema version {version}, this Karaula knows {SCHEMA_VERSION}: "
            "run the version that wrote it, or a newer one"
        )
    if version == SCHEMA_VERSION:
        return
    with _transaction(db):
        for statement in (_CHAIN if version else _TABLES + _CHAIN).split(";"):
            db.execute(statement)
        db.execute("INSERT INTO identity VALUES (?)", (PREFIX + secrets.token_hex(8),))
        for row in db.execute("SELECT * FROM downtimes ORDER BY announced_at, id").fetchall():
            _enter(db, "downtime", asdict(Downtime(*row)))
        for line, announced_at in db.execute("SELECT line, announced_at FROM lines ORDER BY line").fetchall():
            _enter(db, "line", {"line": line, "announced_at": announced_at})
        db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
