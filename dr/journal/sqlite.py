"""The journal on disk: SQLite in WAL mode with ``synchronous=FULL``, one writer, events that are never changed.

An ``append`` that returns is on the disk. One that raises StateError may still be there (measured: a commit can stand
although the caller was told otherwise), so repeating the same append is safe: equal events at the same place
count as written, different ones are an error. Only one process holds the journal; a second gets StateError.
Methods block; the engine calls them in the journal's own thread.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from dr.errors import IllegalEvent
from dr.journal import schema
from dr.journal.calendar import PREFIX as CALENDAR
from dr.journal.event import Event, encode
from dr.journal.finding import PREFIX as FINDING
from dr.journal.finding import TrackedFinding, fold_finding
from dr.journal.glance import Glance, Remainder, glance, stories_of
from dr.journal.ledger import CalendarLedger
from dr.journal.override import PREFIX as OVERRIDE
from dr.journal.override import Override, fold_override
from dr.journal.pause import PREFIX as PAUSE
from dr.journal.pause import Pause, fold_pause
from dr.journal.pausing import PauseBegun, PauseLifted
from dr.journal.story import Story
from monitor.chain import Head
from monitor.errors import StateError

log = logging.getLogger(__name__)
T = TypeVar("T")
BESIDE = (OVERRIDE, FINDING, PAUSE, CALENDAR)  # stories in the journal that are no runs


@dataclass(frozen=True, slots=True)
class StepOutput:
    """The full redacted text that one attempt of a step printed; below nought it is an undo of the step."""

    step: str
    attempt: int
    text: str

    @property
    def sha256(self) -> str:
        """Return the hash that the step's outcome event carries."""
        return hashlib.sha256(self.text.encode()).hexdigest()


class SqliteJournal:
    """One journal file, held open and locked by one process. ``calendar`` is the ledger of due times in it."""

    def __init__(self, path: Path) -> None:
        """Open or create ``path``. Raises StateError when it is held, newer, damaged or cannot be written."""
        self.path = path
        self.calendar = CalendarLedger(self)
        self._lock = _hold(path.with_suffix(".lock"))
        try:
            self._db = self._open()
        except BaseException:
            os.close(self._lock)
            raise

    def _open(self) -> sqlite3.Connection:
        with _translated(self.path):
            db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=5)
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            if unfit := schema.match(db):
                db.close()
                raise StateError(f"{self.path} {unfit}")
            return db

    def close(self) -> None:
        """Close the file and let it go."""
        self._db.close()
        os.close(self._lock)

    def touch(self) -> None:
        """Write something that changes nothing, to see whether writing works. Raises StateError."""
        with self._writing():
            self._db.execute(f"PRAGMA user_version={schema.SCHEMA_VERSION}")

    # -- runs --------------------------------------------------------------------------------------------------------

    def append(self, run_id: str, seq: int, events: Sequence[Event], outputs: Sequence[StepOutput] = ()) -> None:
        """Write ``events`` as numbers ``seq``, ``seq + 1``, … of the run, and ``outputs``, in one transaction.

        Raises StateError (try again with the same arguments) and IllegalEvent when other events stand there.
        """
        with self._writing():
            there = {
                number: (word, body)
                for number, word, body in self._db.execute(
                    "SELECT seq, word, body FROM events WHERE run_id = ? AND seq >= ?", (run_id, seq)
                )
            }
            for number, event in enumerate(events, seq):
                if number not in there:
                    schema.enter(self._db, run_id, number, event)
                elif there[number] != encode(event):
                    raise IllegalEvent(f"run {run_id} already has another event number {number}")
            self._db.executemany(
                "INSERT OR IGNORE INTO outputs VALUES (?, ?, ?, ?, ?)",
                [(run_id, output.step, output.attempt, output.text, output.sha256) for output in outputs],
            )

    def head(self) -> Head:
        """Return where the chain of events ends. Raises StateError."""
        with _translated(self.path):
            count = self._db.execute("SELECT count(*) FROM events").fetchone()[0]
            return Head(schema.journal_id(self._db), count, schema.head(self._db))

    def load(self) -> dict[str, list[Event]]:
        """Return the events of every run, runs and events in the order written. Raises StateError, IllegalEvent."""
        runs: dict[str, list[Event]] = {}
        for run_id, story in self.stories().items():
            if story.damage:
                raise IllegalEvent(f"run {run_id}: {story.damage}")
            runs[run_id] = story.events
        return runs

    def stories(self) -> dict[str, Story]:
        """Return what is written of every run, also of those that cannot be read. Raises StateError."""
        return {key: story for key, story in self._stories().items() if not key.startswith(BESIDE)}

    def glance(self) -> Glance:
        """Return what is told before the runs are read. Raises StateError."""
        with _translated(self.path):
            return glance(self._db, BESIDE)

    def stories_of(self, run_ids: Iterable[str]) -> dict[str, Story]:
        """Return what is written of these runs, as ``stories`` does of all. Raises StateError."""
        with _translated(self.path):
            return stories_of(self._db, run_ids)

    def read_on(self, left: Remainder, rows: int) -> dict[str, Story]:
        """Read so many rows of what is left; return the stories that are complete by them. Raises StateError."""
        with _translated(self.path):
            return left.read(self._db, rows)

    def overrides(self) -> list[Override]:
        """Return every override, oldest first; one that cannot be read overrides nothing. Raises StateError."""
        return list(self._folded(OVERRIDE, fold_override).values())

    def findings(self) -> list[TrackedFinding]:
        """Return every finding, oldest first; one that cannot be read is not among them. Raises StateError."""
        return list(self._folded(FINDING, fold_finding).values())

    def _folded(self, prefix: str, fold: Callable[[str, Sequence[Event]], T]) -> dict[str, T]:
        found = {}
        for key, story in self._stories(f"{prefix}*").items():
            try:
                found[key] = fold(key, () if story.damage else story.events)
            except IllegalEvent as error:
                log.error("%s cannot be read and counts for nothing: %s", key, story.damage or error)  # noqa: TRY400 - foreseen
        return found

    def _stories(self, like: str = "*") -> dict[str, Story]:
        found: dict[str, Story] = {}
        with _translated(self.path):
            rows = self._db.execute(
                "SELECT run_id, seq, word, CAST(body AS BLOB) FROM events WHERE run_id GLOB ? ORDER BY id",
                (like,),  # cast: one bad byte spoils one run
            )
            for run_id, seq, word, body in rows:
                found.setdefault(run_id, Story()).add(seq, word, body)
        return found

    def outputs(self, run_id: str) -> list[StepOutput]:
        """Return the kept output of every attempt of the run's steps. Raises StateError."""
        with _translated(self.path):
            rows = self._db.execute(
                "SELECT step, attempt, text FROM outputs WHERE run_id = ? ORDER BY rowid", (run_id,)
            ).fetchall()
        return [StepOutput(*row) for row in rows]

    def rows(self, story_id: str) -> list[tuple[int, str, bytes]]:
        """Return number, word and body of each event of one story, whether it can be read or not. Raises StateError."""
        with _translated(self.path):
            return self._db.execute(
                "SELECT seq, word, CAST(body AS BLOB) FROM events WHERE run_id = ? ORDER BY seq", (story_id,)
            ).fetchall()

    def names(self, prefix: str) -> list[str]:
        """Return the stories whose names begin with ``prefix``, read or not. Raises StateError."""
        with _translated(self.path):
            rows = self._db.execute(
                "SELECT DISTINCT run_id FROM events WHERE run_id GLOB ? ORDER BY run_id", (f"{prefix}*",)
            )
            return [str(row[0]) for row in rows]

    # -- pauses ------------------------------------------------------------------------------------------------------

    def add_pause(self, pause: Pause) -> None:
        """Write a pause. Raises StateError."""
        begun = PauseBegun(pause.since, pause.system, pause.owner, pause.reason, pause.expires_at)
        self.append(f"{PAUSE}{len(self.names(PAUSE)) + 1}", 0, (begun,))

    def lift_pause(self, system: str, by: str, now: float) -> int:
        """End the pauses of ``system`` that are in force; return how many there were. Raises StateError."""
        known = self._folded(PAUSE, fold_pause)
        lifted = [key for key, each in known.items() if each.system == system and each.in_force(now)]
        for key in lifted:
            self.append(key, 1, (PauseLifted(now, by),))
        return len(lifted)

    def pauses(self, now: float) -> list[Pause]:
        """Return the pauses in force, oldest first. Raises StateError."""
        return [each for each in self._folded(PAUSE, fold_pause).values() if each.in_force(now)]

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction; whatever goes wrong in it leaves nothing half done on this connection."""
        with _translated(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into StateError."""
    try:
        yield
    except sqlite3.Error as error:
        raise StateError(f"the journal {path} cannot be used: {error}") from error


def _hold(path: Path) -> int:
    """Take the lock file of a journal and write our process id into it. Raises StateError when it is held."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateError(f"the lock file {path} cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise StateError(
            f"the state in {path.parent} is held by another daemon (process {holder}); only one may run on it"
        ) from error
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except OSError as error:
        os.close(descriptor)
        raise StateError(f"the lock file {path} cannot be written: {error.strerror}") from error
    return descriptor
