"""The journal's tables, and how a journal of an earlier version becomes one of this.

Version 1 had no chain. A journal of it is linked when it is first opened: what it holds then is what is vouched for.
Version 2 kept pauses and the calendar's ledger in tables beside the chain: they are entered at its end, as they stand.
"""

from __future__ import annotations

import secrets
import sqlite3

from dr.journal import chain
from dr.journal.calendar import CLAIMED, JobSeen, Slot, SlotClaimed, SlotSettled
from dr.journal.calendar import PREFIX as CALENDAR
from dr.journal.event import Event, encode
from dr.journal.pause import PREFIX as PAUSE
from dr.journal.pausing import PauseBegun, PauseLifted

SCHEMA_VERSION = 3
CHAINED = frozenset({2, SCHEMA_VERSION})  # versions whose events have links
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
"""
_IDENTITY = "CREATE TABLE identity (journal TEXT NOT NULL) STRICT;"
ROWS = "SELECT run_id, seq, at, word, CAST(body AS BLOB) FROM events ORDER BY id"  # one bad byte spoils one event


def match(db: sqlite3.Connection) -> str:
    """Bring the file to this version; return why it cannot be used, empty when it can. Raises sqlite3.Error."""
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version not in range(SCHEMA_VERSION + 1):
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
        elif version == 1:
            db.execute("ALTER TABLE events ADD COLUMN link BLOB NOT NULL DEFAULT x''")
        if version < 2:  # noqa: PLR2004 - the first with a chain
            db.execute(_IDENTITY)
            db.execute("INSERT INTO identity VALUES (?)", (secrets.token_hex(8),))
            _link_all(db)
        if version:
            _enter_tables(db)
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


def enter(db: sqlite3.Connection, run_id: str, seq: int, event: Event) -> None:
    """Put the event at the end of the chain. Raises sqlite3.Error, and IllegalEvent for what cannot be read again."""
    word, body = encode(event)
    linked = chain.link(head(db), chain.Row(run_id, seq, float(event.at), word, body.encode()))
    db.execute(
        "INSERT INTO events (run_id, seq, at, word, body, link) VALUES (?, ?, ?, ?, ?, ?)",
        (run_id, seq, event.at, word, body, linked),
    )


def _enter_tables(db: sqlite3.Connection) -> None:
    """Enter what version 2 and those before it had in tables of their own, and give these up."""
    stories: dict[str, list[Event]] = {}
    slots = db.execute("SELECT job, due, state, at, run_id, reason FROM slots ORDER BY job, due").fetchall()
    known = dict(db.execute("SELECT job, since FROM jobs").fetchall())
    for job in sorted({*known, *(slot[0] for slot in slots)}):
        mine = [Slot(*slot) for slot in slots if slot[0] == job]
        since = known[job] if job in known else min(slot.at for slot in mine)
        story = stories.setdefault(f"{CALENDAR}{job}", [JobSeen(since)])
        for slot in mine:
            settled = slot.state != CLAIMED and (slot.run_id or slot.state == "refused")
            state, reason = (CLAIMED, "") if settled else (slot.state, slot.reason)
            story.append(SlotClaimed(slot.at, slot.due, state, reason))
            if settled:
                story.append(SlotSettled(slot.at, slot.due, slot.state, slot.run_id, slot.reason))
    columns = "id, system, owner, reason, since, expires_at, lifted_at, lifted_by"
    for number, system, owner, reason, since, expires_at, lifted_at, lifted_by in db.execute(
        f"SELECT {columns} FROM pauses ORDER BY id"  # noqa: S608 - our own columns
    ).fetchall():
        story = stories.setdefault(f"{PAUSE}{number}", [PauseBegun(since, system, owner, reason, expires_at)])
        if lifted_at is not None:
            story.append(PauseLifted(lifted_at, lifted_by or ""))
    for story_id, events in stories.items():
        for seq, event in enumerate(events):
            enter(db, story_id, seq, event)
    for table in ("slots", "jobs", "pauses"):
        db.execute(f"DROP TABLE {table}")


def _link_all(db: sqlite3.Connection) -> None:
    ids = [row[0] for row in db.execute("SELECT id FROM events ORDER BY id")]
    rows = [chain.Row(*row) for row in db.execute(ROWS)]
    made = chain.links(chain.first(journal_id(db)), rows)
    db.executemany("UPDATE events SET link = ? WHERE id = ?", zip(made, ids, strict=True))
