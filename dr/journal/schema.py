"""The journal's tables, and how a journal of an earlier version becomes one of this.

Version 1 had no chain. A journal of it is linked when it is first opened: what it holds then is what is vouched for.
"""

from __future__ import annotations

import secrets
import sqlite3

from dr.journal import chain

SCHEMA_VERSION = 2
_TABLES = """
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL, seq INTEGER NOT NULL, at REAL NOT NULL, word TEXT NOT NULL, body TEXT NOT NULL,
    link BLOB NOT NULL,
    UNIQUE (run_id, seq)
) STRICT;
CREATE TABLE outputs (
    run_id TEXT NOT NULL, step TEXT NOT NULL, attempt INTEGER NOT NULL, text TEXT NOT NULL, sha256 TEXT NOT NULL,
    PRIMARY KEY (run_id, step, attempt)
) STRICT;
CREATE TABLE jobs (job TEXT PRIMARY KEY, since REAL NOT NULL) STRICT;
CREATE TABLE slots (
    job TEXT NOT NULL, due REAL NOT NULL, state TEXT NOT NULL, at REAL NOT NULL,
    run_id TEXT NOT NULL, reason TEXT NOT NULL,
    PRIMARY KEY (job, due)
) STRICT;
CREATE TABLE pauses (
    id INTEGER PRIMARY KEY, system TEXT NOT NULL, owner TEXT NOT NULL, reason TEXT NOT NULL,
    since REAL NOT NULL, expires_at REAL NOT NULL, lifted_at REAL, lifted_by TEXT
) STRICT;
"""
_IDENTITY = "CREATE TABLE identity (journal TEXT NOT NULL) STRICT;"
ROWS = "SELECT run_id, seq, at, word, CAST(body AS BLOB) FROM events ORDER BY id"  # one bad byte spoils one event


def match(db: sqlite3.Connection) -> str:
    """Bring the file to this version; return why it cannot be used, empty when it can. Raises sqlite3.Error."""
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version not in {0, 1, SCHEMA_VERSION}:
        return (
            f"has schema version {version}, this Karaula knows {SCHEMA_VERSION}: "
            "run the version that wrote it, or a newer one"
        )
    if version == SCHEMA_VERSION:
        return ""
    db.execute("BEGIN IMMEDIATE")
    try:
        if version == 0:
            for statement in _TABLES.split(";"):
                db.execute(statement)
        else:
            db.execute("ALTER TABLE events ADD COLUMN link BLOB NOT NULL DEFAULT x''")
        db.execute(_IDENTITY)
        db.execute("INSERT INTO identity VALUES (?)", (secrets.token_hex(8),))
        _link_all(db)
        db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    return ""


def journal_id(db: sqlite3.Connection) -> str:
    """Return the journal's own id. Raises sqlite3.Error."""
    return str(db.execute("SELECT journal FROM identity").fetchone()[0])


def head(db: sqlite3.Connection) -> bytes:
    """Return the newest link. Raises sqlite3.Error."""
    row = db.execute("SELECT link FROM events ORDER BY id DESC LIMIT 1").fetchone()
    return chain.first(journal_id(db)) if row is None else bytes(row[0])


def _link_all(db: sqlite3.Connection) -> None:
    ids = [row[0] for row in db.execute("SELECT id FROM events ORDER BY id")]
    rows = [chain.Row(*row) for row in db.execute(ROWS)]
    made = chain.links(chain.first(journal_id(db)), rows)
    db.executemany("UPDATE events SET link = ? WHERE id = ?", zip(made, ids, strict=True))
