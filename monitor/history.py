"""What changed, kept for ever: flips and alarms, and what people were told of them. SQLite, one writer.

WAL with ``synchronous=FULL``: what ``record`` returned from is on the disk. A ``record`` that raised may still have
been written, so repeating it is safe. A flip is written by "update where it is still the old state"; where the file
holds another state, that one becomes the flip's old state, so that the record has no gaps in it. Methods block; the
watch calls the writing ones in a thread of their own.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from monitor.errors import StateError
from monitor.status.alarm import Alarm
from monitor.status.state import Flip, Health

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE statuses (subject TEXT PRIMARY KEY, health TEXT NOT NULL, detail TEXT NOT NULL) STRICT;
CREATE TABLE flips (
    id INTEGER PRIMARY KEY, subject TEXT NOT NULL, old TEXT NOT NULL, new TEXT NOT NULL, detail TEXT NOT NULL,
    reason TEXT NOT NULL, at REAL NOT NULL
) STRICT;
CREATE INDEX flips_of_subject ON flips (subject, at);
CREATE TABLE alarms (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, subject TEXT NOT NULL, severity TEXT NOT NULL, since REAL NOT NULL,
    reason TEXT NOT NULL, cleared_at REAL, note TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX one_standing ON alarms (name, subject) WHERE cleared_at IS NULL;
CREATE TABLE notices (
    alarm_id TEXT NOT NULL, channel TEXT NOT NULL, event TEXT NOT NULL, sent_at REAL, reference TEXT NOT NULL,
    PRIMARY KEY (alarm_id, channel, event)
) STRICT;
"""
_ALARM = "id, name, subject, severity, since, reason, cleared_at, note"
Event = Literal["raised", "cleared"]


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that people are to be told over one channel.

    ``sent_at`` is None while it is owed; ``reference`` is what the channel calls it (a ticket's number).
    """

    alarm_id: str
    channel: str
    event: Event
    sent_at: float | None = None
    reference: str = ""


class History:
    """One history file, held open and locked by one process."""

    def __init__(self, path: Path) -> None:
        """Open or create ``path``. Raises StateError when it is held, newer, damaged or cannot be written."""
        self.path = path
        self._lock = _hold(path.with_suffix(".lock"))
        try:
            with _translated(path):
                self._writer = _open(path)
                self._reader = sqlite3.connect(f"file:{path}?mode=ro", uri=True, check_same_thread=False, timeout=5)
        except BaseException:
            os.close(self._lock)
            raise

    def close(self) -> None:
        """Close the file and let it go; once is enough."""
        self._reader.close()
        self._writer.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    # -- writing -------------------------------------------------------------------------------------------------------

    def record(self, flips: Iterable[Flip], raised: Iterable[Alarm], cleared: Iterable[Alarm]) -> list[Flip]:
        """Write all in one transaction; return the flips that found another state than their old one (and were mended).

        Raises StateError; then nothing, or all of it, was written.
        """
        with self._writing():
            strange = [flip for flip in flips if not self._flip(flip)]
            for alarm in raised:
                self._writer.execute(
                    f"INSERT OR IGNORE INTO alarms ({_ALARM}) VALUES (?, ?, ?, ?, ?, ?, NULL, '')",  # noqa: S608 - names of our own columns
                    (alarm.id, alarm.name, alarm.subject, alarm.severity, alarm.since, alarm.reason),
                )
            for alarm in cleared:
                self._writer.execute(
                    "UPDATE alarms SET cleared_at = ?, note = ? WHERE id = ? AND cleared_at IS NULL",
                    (alarm.cleared_at, alarm.note, alarm.id),
                )
        return strange

    def _flip(self, flip: Flip) -> bool:
        """Write a flip unless it stands there; return whether its old state was what the file holds."""
        db = self._writer
        new = (flip.new.value, flip.detail)
        if db.execute(
            "SELECT 1 FROM flips WHERE subject = ? AND at = ? AND new = ? AND detail = ?", (flip.subject, flip.at, *new)
        ).fetchone():
            return True
        db.execute("INSERT OR IGNORE INTO statuses VALUES (?, ?, '')", (flip.subject, Health.UNKNOWN.value))
        old, as_said = flip.old.value, True
        where = "UPDATE statuses SET health = ?, detail = ? WHERE subject = ? AND health = ?"
        if not db.execute(where, (*new, flip.subject, old)).rowcount:
            as_said = False
            old = db.execute("SELECT health FROM statuses WHERE subject = ?", (flip.subject,)).fetchone()[0]
            db.execute(where, (*new, flip.subject, old))
        db.execute(
            "INSERT INTO flips (subject, old, new, detail, reason, at) VALUES (?, ?, ?, ?, ?, ?)",
            (flip.subject, old, *new, flip.reason, flip.at),
        )
        return as_said

    def tell(self, owed: Iterable[Notice], sent: Iterable[Notice]) -> None:
        """Write down what people are to be told, and what they were; owing twice changes nothing. Raises StateError."""
        with self._writing():
            for notice, sql in (
                *((each, "INSERT OR IGNORE INTO notices VALUES (?, ?, ?, ?, ?)") for each in owed),
                *((each, "INSERT OR REPLACE INTO notices VALUES (?, ?, ?, ?, ?)") for each in sent),
            ):
                row = (notice.alarm_id, notice.channel, notice.event, notice.sent_at, notice.reference)
                self._writer.execute(sql, row)

    # -- reading -------------------------------------------------------------------------------------------------------

    def flips(self, subject: str | None = None, limit: int = 100) -> list[Flip]:
        """Return the newest flips (of ``subject``), newest first. Raises StateError."""
        where, values = ("WHERE subject = ?", (subject,)) if subject is not None else ("", ())
        sql = f"SELECT subject, old, new, reason, at, detail FROM flips {where} ORDER BY id DESC LIMIT ?"  # noqa: S608 - no outside text
        return [_flip_from(row) for row in self._read(sql, (*values, limit))]

    def last_number(self) -> int:
        """Return the number of the newest flip, 0 when there is none. For the thread that writes. Raises StateError."""
        with _translated(self.path):
            return int(self._writer.execute("SELECT coalesce(max(id), 0) FROM flips").fetchone()[0])

    def numbered(self, kind: str, after: int, until: int) -> list[tuple[int, Flip]]:
        """Return the flips of ``kind`` (``link/``) with their numbers above ``after`` up to ``until``, in order.

        Over a connection of its own, for any thread. Raises StateError.
        """
        where = "id > ? AND id <= ? AND substr(subject, 1, ?) = ? ORDER BY id"
        return self._numbered(where, (after, until, len(kind), kind))

    def standing_at(self, kind: str, number: int) -> list[tuple[int, Flip]]:
        """Return for each subject of ``kind`` its last flip up to ``number``, as ``numbered`` does."""
        last = "SELECT max(id) FROM flips WHERE subject >= ? AND subject < ? AND id <= ? GROUP BY subject"
        return self._numbered(f"id IN ({last}) ORDER BY id", (kind, kind + "\U0010ffff", number))

    def _numbered(self, where: str, values: tuple[object, ...]) -> list[tuple[int, Flip]]:
        sql = f"SELECT id, subject, old, new, reason, at, detail FROM flips WHERE {where}"  # noqa: S608 - no outside text
        with (
            _translated(self.path),
            closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=5)) as reader,
        ):
            return [(row[0], _flip_from(row[1:])) for row in reader.execute(sql, values)]

    def flips_since(self, at: float) -> list[Flip]:
        """Return all flips from ``at`` (Unix seconds) on, oldest first. Raises StateError."""
        sql = "SELECT subject, old, new, reason, at, detail FROM flips WHERE at >= ? ORDER BY id"
        return [_flip_from(row) for row in self._read(sql, (at,))]

    def last_flips(self) -> list[Flip]:
        """Return for each subject the flip that began its present health, then its last. Raises StateError."""
        sql = """
            SELECT subject, old, new, reason, at, detail FROM flips WHERE id IN (
                SELECT max(id) FROM flips WHERE old <> new GROUP BY subject
                UNION SELECT max(id) FROM flips GROUP BY subject
            ) ORDER BY id"""
        return [_flip_from(row) for row in self._read(sql, ())]

    def alarms(self, *, active_only: bool, limit: int = 1000) -> list[Alarm]:
        """Return standing alarms, or the newest of all; oldest first. Raises StateError."""
        where = "WHERE cleared_at IS NULL" if active_only else ""
        sql = f"SELECT {_ALARM} FROM alarms {where} ORDER BY since DESC, id LIMIT ?"  # noqa: S608 - no outside text
        rows = self._read(sql, (limit,))
        return [_alarm_from(row) for row in reversed(rows)]

    def alarm(self, alarm_id: str) -> Alarm | None:
        """Return the alarm of that id. Raises StateError."""
        rows = self._read(f"SELECT {_ALARM} FROM alarms WHERE id = ?", (alarm_id,))  # noqa: S608 - our own columns
        return _alarm_from(rows[0]) if rows else None

    def notices(self) -> list[Notice]:
        """Return what is owed, and all notices of alarms that stand or that something is owed of. Raises StateError."""
        sql = """
            SELECT alarm_id, channel, event, sent_at, reference FROM notices WHERE alarm_id IN (
                SELECT id FROM alarms WHERE cleared_at IS NULL UNION SELECT alarm_id FROM notices WHERE sent_at IS NULL
            ) OR (alarm_id, channel) IN (
                SELECT alarm_id, channel FROM notices GROUP BY alarm_id, channel HAVING max(event = 'cleared') = 0
            ) ORDER BY rowid"""
        return [Notice(*row) for row in self._read(sql, ())]

    def _read(self, sql: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        with _translated(self.path):
            return self._reader.execute(sql, values).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction; whatever goes wrong in it leaves nothing half done on this connection."""
        with _translated(self.path):
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
    try:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        _match_schema(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _match_schema(db: sqlite3.Connection, path: Path) -> None:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;")
    elif version != SCHEMA_VERSION:
        raise StateError(
            f"{path} has schema version {version}, this Karaula knows {SCHEMA_VERSION}: "
            "run the version that wrote it, or a newer one"
        )


def _flip_from(row: tuple[Any, ...]) -> Flip:
    subject, old, new, reason, at, detail = row
    return Flip(subject, Health(old), Health(new), reason, at, detail)


def _alarm_from(row: tuple[Any, ...]) -> Alarm:
    key, name, subject, severity, since, reason, cleared_at, note = row
    return Alarm(key, name, subject, severity, since, reason, cleared_at, note=note)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into StateError."""
    try:
        yield
    except sqlite3.Error as error:
        raise StateError(f"the history {path} cannot be used: {error}") from error


def _hold(path: Path) -> int:
    """Take the lock file of a history. Raises StateError when another process holds it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateError(f"the lock file {path} cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise StateError(f"the state in {path.parent} is held by another daemon; only one may run on it") from error
    return descriptor
