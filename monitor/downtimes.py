"""Planned downtimes, kept for ever: those that people announce, and each window of the inventory's calendar.

A file of its own beside the history (``downtime_record``), WAL with ``synchronous=FULL``, chained. What a person
announced is in force once it is on the disk, never before. A window of the calendar is in force from its minute on,
whether the disk takes it or not; ``error`` says when it does not, and it is tried again. While the file cannot be
read, what is in memory goes on, and a window that opens then is compared with the file once it can. A window that
passed while no daemon ran is written down at the next start: it was planned all the same. When a line leaves the
inventory, or is changed, its open window ends.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from monitor import downtime_record
from monitor.errors import StateError
from monitor.status.calendar import due_times, windows
from monitor.status.downtime import Downtime

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from monitor.chain import Head
    from monitor.inventory.planning import PlannedDowntime

log = logging.getLogger(__name__)

INVENTORY = "the inventory"
LOOK_BACK_S = 400 * 86400.0  # windows that passed longer ago, while no daemon ran, are not made up for
LOOK_AHEAD_S = 400 * 86400.0
FOR_EVER = 1e15  # Unix seconds


class Downtimes:
    """The record of planned downtimes. It belongs to the event loop, and writes in a thread of its own."""

    def __init__(self, path: Path) -> None:
        """Open or create ``path``. Raises StateError."""
        self.path = path
        self._unread = ""
        self._unwritable = ""
        with _translated(path):
            self._db = downtime_record.opened(path)
            self._reader = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=1)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="downtimes")
        self._changed = False
        self._unwritten: dict[str, Downtime] = {}
        self._unsure: dict[str, Downtime] = {}  # opened while the file could not say whether it has them already
        self._announced_at: dict[str, float] = dict(self._rows("SELECT line, announced_at FROM lines"))
        self._looked_at: dict[str, float] = {}  # by line, since the start of this process
        self._next_at: dict[str, float] = {}
        self._open: dict[str, Downtime] = {}
        self._loaded = False
        self._dropped_until = 0.0  # what ended by then is not among the open ones

    @property
    def error(self) -> str:
        """Why the file can at present not be read or written; empty when it can."""
        return self._unread or self._unwritable

    async def close(self) -> None:
        """Write what still waits, if the disk takes it, and close the file."""
        await self.save()
        if lost := len(self._unwritten) + len(self._unsure):
            log.error("%d downtimes could not be written at the end: %s", lost, self.error)
        await asyncio.get_running_loop().run_in_executor(self._thread, self._db.close)
        self._thread.shutdown(wait=False)
        self._reader.close()

    # -- reading -------------------------------------------------------------------------------------------------------

    def in_force(self, now: float) -> tuple[Downtime, ...]:
        """Return the downtimes that hold at ``now`` (Unix seconds), as far as they could be read, by their start."""
        self._try_to_load(now)
        return _sorted(each for each in self._open.values() if each.in_force(now))

    def between(self, start: float, end: float, subject: str | None = None) -> list[Downtime]:
        """Return every downtime (of exactly ``subject``) that overlaps ``start`` to ``end``, by its start.

        Of what lies ahead those are among them that people announced. Raises StateError.
        """
        rows = self._rows("SELECT * FROM downtimes WHERE ends > ? AND starts < ?", (start, end))
        found = self._unsure | {each.id: each for each in (Downtime(*row) for row in rows)} | self._unwritten
        return list(
            _sorted(
                each
                for each in found.values()
                if max(start, each.start) < min(end, each.end) and subject in (None, each.subject)
            )
        )

    def upcoming(self, lines: Mapping[str, PlannedDowntime], zone: str, now: float) -> list[Downtime]:
        """Return what people announced for later, and the next window of each line of the calendar, by their start."""
        self._load(now)
        found = [each for each in self._open.values() if each.start > now and each.start < each.end]
        for job, line in lines.items():
            start = next(due_times(line.cron, zone, now, now + LOOK_AHEAD_S), None)
            if start is not None:
                found.append(self._window(job, line, start, start + line.duration_s, now))
        return list(_sorted(found))

    # -- what people announce ------------------------------------------------------------------------------------------

    async def announce(self, downtime: Downtime, now: float) -> None:
        """Let ``downtime`` stand. Raises StateError; then it does not."""
        self._load(now)
        await self._written([downtime])
        self._open[downtime.id] = downtime

    async def end(self, name: str, by: str, now: float) -> list[Downtime]:
        """End those of the id, or of the subject, ``name`` that hold or lie ahead; return them. Raises StateError."""
        self._load(now)
        found = [each for each in self._open.values() if name in (each.id, each.subject) and now < each.end]
        ended = [replace(each, end=max(each.start, now), ended_by=by) for each in found]
        await self._written(ended)
        for each in ended:
            self._unwritten.pop(each.id, None)
            self._unsure.pop(each.id, None)
            self._open[each.id] = each
        return ended

    # -- the calendar --------------------------------------------------------------------------------------------------

    def tick(self, lines: Mapping[str, PlannedDowntime], zone: str, now: float) -> None:
        """Open the windows of ``lines`` that are due by ``now``, end those whose line is gone; ``save`` writes."""
        if self._try_to_load(now):
            for window in list(self._unsure.values()):
                self._compare(window, now)
        wanted = {_line(job, line): (job, line) for job, line in lines.items()}
        self._changed |= wanted.keys() != self._announced_at.keys()
        self._announced_at = {line: self._announced_at.get(line, now) for line in wanted}
        for text, (job, line) in wanted.items():
            if self._looked_at.get(text, FOR_EVER) <= now < self._next_at.get(text, 0.0):
                continue
            since = self._looked_at.get(text, max(self._announced_at[text], now - LOOK_BACK_S))
            for start, end in windows(line.cron, zone, line.duration_s, min(since, now), now):
                self._enter(self._window(job, line, start, end, now), now)
            self._looked_at[text] = now
            self._next_at[text] = next(due_times(line.cron, zone, now, now + LOOK_AHEAD_S), now + LOOK_AHEAD_S)
        for each in [each for each in self._open.values() if each.origin == "calendar" and each.end > now]:
            if not any(each.id.startswith(f"{_name(text)}@") for text in wanted):
                waits = self._unsure if each.id in self._unsure else self._unwritten
                self._open[each.id] = waits[each.id] = replace(each, end=now, ended_by=INVENTORY)
        self._open = {each.id: each for each in self._open.values() if each.end > now}
        self._dropped_until = max(self._dropped_until, now)

    def _enter(self, window: Downtime, now: float) -> None:
        """Take in a window that has begun, once for ever: what was ended early is not begun again."""
        known = window.id in self._open or window.id in self._unwritten or window.id in self._unsure
        if not known and window.start < window.end:
            self._unsure[window.id] = window
            if window.end > now:
                self._open[window.id] = window
            self._compare(window, now)

    def _compare(self, window: Downtime, now: float) -> None:
        """Go by what the file has of a window, have it written if that is nothing, or leave it for the next time."""
        try:
            rows = self._rows("SELECT * FROM downtimes WHERE id = ?", (window.id,))
        except StateError as error:
            self._unread = str(error)
            return
        self._unread = ""
        del self._unsure[window.id]
        if not rows:
            self._unwritten[window.id] = window
            return
        kept = Downtime(*rows[0])
        self._open.pop(window.id, None)
        if kept.end > now and not kept.ended_by:
            self._open[window.id] = kept

    def _window(self, job: str, line: PlannedDowntime, start: float, end: float, now: float) -> Downtime:
        """Return the window; one in whose middle its line was first read is planned from then on."""
        text = _line(job, line)
        announced_at = self._announced_at.get(text, now)
        name = f"{_name(text)}@{start:.0f}"
        begin = max(start, announced_at) if announced_at < end else start
        return Downtime(name, line.subject, begin, end, end, line.owner, line.reason, announced_at, "calendar", job)

    # -- the disk ------------------------------------------------------------------------------------------------------

    def _load(self, now: float) -> None:
        """Take up what was in force, or lay ahead, when the last daemon ended or before the clock was set back.

        What was ended early stays ended, whatever the clock says. Raises StateError; what is in memory stays then.
        """
        if self._loaded and now >= self._dropped_until:
            return
        rows = self._rows("SELECT * FROM downtimes WHERE ends > ?", (now,))
        found = self._unsure | {each.id: each for each in (Downtime(*row) for row in rows)} | self._unwritten
        self._open = {each.id: each for each in found.values() if each.end > now and not each.ended_by}
        self._loaded, self._dropped_until = True, now

    def _try_to_load(self, now: float) -> bool:
        """Load what has to be; return whether that could be done. ``error`` says why not."""
        try:
            self._load(now)
        except StateError as error:
            self._unread = str(error)
            return False
        if not self._unsure:
            self._unread = ""
        return True

    async def save(self) -> None:
        """Write what waits; ``error`` says when the disk does not take it."""
        if not (self._changed or self._unwritten):
            return
        waiting = list(self._unwritten.values())
        self._changed = False
        try:
            await self._written(waiting)
        except StateError as error:
            self._changed = True
            self._unwritable = str(error)
            return
        self._unwritable = ""
        for each in waiting:
            if self._unwritten.get(each.id) is each:
                del self._unwritten[each.id]

    async def head(self) -> Head:
        """Return where the chain of what was ever written ends. Raises StateError."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._head)

    def _head(self) -> Head:
        with _translated(self.path):
            return downtime_record.head(self._db)

    async def _written(self, downtimes: list[Downtime]) -> None:
        lines = dict(self._announced_at)
        await asyncio.get_running_loop().run_in_executor(self._thread, self._write, downtimes, lines)

    def _write(self, downtimes: list[Downtime], lines: Mapping[str, float]) -> None:
        """Write all in one transaction. Raises StateError."""
        with _translated(self.path):
            downtime_record.write(self._db, downtimes, lines)

    def _rows(self, sql: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        with _translated(self.path):
            return self._reader.execute(sql, values).fetchall()


def _line(job: str, line: PlannedDowntime) -> str:
    """Return the line as it is remembered: any change of it makes another line."""
    return f"{job} {line.model_dump_json()}"


def _name(text: str) -> str:
    job = text.partition(" ")[0]
    return f"{job}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _sorted(downtimes: Iterable[Downtime]) -> tuple[Downtime, ...]:
    return tuple(sorted(downtimes, key=lambda each: (each.start, each.id)))


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into StateError."""
    try:
        yield
    except sqlite3.Error as error:
        raise StateError(f"the record of downtimes {path} cannot be used: {error}") from error
