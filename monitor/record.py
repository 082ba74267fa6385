"""The watch's hand that writes: flips, alarms and notices go to the history in a thread, in order, and never get lost.

While the disk fails everything is kept in memory and tried again; ``error`` says so. What waits is limited; beyond that
the oldest flips are given up, which is logged.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from monitor.errors import StateError
from monitor.history import History
from monitor.sla.ledger import Ledger, Mark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from monitor.clock import Clock
    from monitor.history import Notice
    from monitor.sla.ledger import Row
    from monitor.status.alarm import Alarm
    from monitor.status.state import Flip

log = logging.getLogger(__name__)

RETRY_S = 1.0
SLOW_S = 10.0
LEDGER_FILE = "sla.sqlite"
MOST_PENDING = 100_000
MOST_RECENT = 1000
ALARMS_SHOWN = 1000
LONGEST_LAST_WRITE_S = 3.0

Result = TypeVar("Result")


@dataclass(slots=True)
class _Batch:
    flips: list[Flip] = field(default_factory=list)
    raised: list[Alarm] = field(default_factory=list)
    cleared: list[Alarm] = field(default_factory=list)
    owed: list[Notice] = field(default_factory=list)
    sent: list[Notice] = field(default_factory=list)
    rows: list[tuple[int, Row]] = field(default_factory=list)  # each with the number of flips that come before it

    def __len__(self) -> int:
        changes = (self.flips, self.raised, self.cleared, self.owed, self.sent, self.rows)
        return sum(len(each) for each in changes)


class Record:
    """Keeps what changed; owns the history file."""

    def __init__(self, path: Path, clock: Clock) -> None:
        """Open the history, and beside it the ledger of service levels. Raises StateError."""
        self.history = History(path)
        try:
            self.ledger = Ledger(path.with_name(LEDGER_FILE))
        except StateError:
            self.history.close()
            raise
        self.error = ""
        self.given_up = False
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="history")
        self._batch = _Batch()
        self._writing_since: float | None = None
        self._recent: deque[Flip] = deque(maxlen=MOST_RECENT)
        self._work = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.create_task(self._write_for_ever(), name="history")

    async def stop(self) -> None:
        """Write what waits, if the disk lets us, and close the file."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(LONGEST_LAST_WRITE_S):
                await loop.run_in_executor(self._thread, self._write, self._batch)
        except (StateError, TimeoutError) as error:
            log.error("%d changes could not be written at the end: %s", len(self._batch), error)  # noqa: TRY400 - known, and said in one line
        self._thread.submit(self.ledger.close)
        self._thread.submit(self.history.close)
        self._thread.shutdown(wait=not self.error)

    @property
    def pending(self) -> int:
        """How many changes wait to be written; the ledger's rows are not changes."""
        return len(self._batch) - len(self._batch.rows)

    def keep(self, flips: Iterable[Flip], raised: Iterable[Alarm], cleared: Iterable[Alarm]) -> None:
        """Take changes to be written soon."""
        found = list(flips)
        self._recent.extend(found)
        self._batch.flips += found
        self._batch.raised += raised
        self._batch.cleared += cleared
        if len(self._batch.flips) > MOST_PENDING:
            lost = len(self._batch.flips) - MOST_PENDING
            del self._batch.flips[:lost]
            log.error("the disk has failed for so long that %d changes are given up", lost)
            self._give_up_rows(lost)
        self._wake()
        if self._writing_since is not None and self._clock.monotonic() - self._writing_since > SLOW_S:
            self.error = f"the history {self.history.path} has not taken a write for {SLOW_S:g} s"
        if self._task is not None and self._task.done():
            self.error = f"nothing is written to the history {self.history.path} any more: its writer has ended"

    def note(self, rows: Iterable[Row]) -> None:
        """Take rows of the ledger; they are written after every flip that was taken before them."""
        self._batch.rows += [(len(self._batch.flips), row) for row in rows]
        if len(self._batch.rows) > MOST_PENDING:
            log.error("the disk has failed for so long that the ledger's last rows are given up")
            self._give_up_rows()
        self._wake()

    def _give_up_rows(self, lost: int = 0) -> None:
        """Without all its flips a time cannot be vouched for: the marks that say so go with them."""
        rows = self._batch.rows
        self._batch.rows = [(max(0, place - lost), row) for place, row in rows if not isinstance(row, Mark)]
        self.given_up = True

    async def with_ledger(self, work: Callable[[Ledger], Result]) -> Result:
        """Run ``work`` on the ledger in the thread that writes. Raises what it raises."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, self.ledger)

    def owe(self, notices: Iterable[Notice]) -> None:
        """Take what people are to be told."""
        self._batch.owed += notices
        self._wake()

    def sent(self, notice: Notice) -> None:
        """Take that people were told."""
        self._batch.sent.append(notice)
        self._wake()

    def flips(self, subject: str | None, limit: int) -> list[Flip]:
        """Return the newest flips, newest first: those that wait, then those on the disk."""
        waiting = [flip for flip in reversed(self._batch.flips) if subject in (None, flip.subject)]
        kept = self._tried(lambda: self.history.flips(subject, limit))
        if kept is None:
            kept = [flip for flip in reversed(self._recent) if subject in (None, flip.subject)]
        return list(dict.fromkeys([*waiting, *kept]))[:limit]

    def alarms(self) -> list[Alarm]:
        """Return the newest alarms, also those that wait to be written; oldest first."""
        kept = self._tried(lambda: self.history.alarms(active_only=False, limit=ALARMS_SHOWN)) or []
        found = {alarm.id: alarm for alarm in (*kept, *self._batch.raised, *self._batch.cleared)}
        return list(found.values())

    def _tried(self, read: Callable[[], Result]) -> Result | None:
        try:
            return read()
        except StateError as error:
            self.error = str(error)
            return None

    def _wake(self) -> None:
        if len(self._batch):
            self._work.set()

    async def _write_for_ever(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            batch, self._batch = self._batch, _Batch()
            try:
                await self._in_thread(batch)
            except StateError as error:
                self.error = str(error)
                self._put_back(batch)
                await self._clock.sleep(RETRY_S)
                self._work.set()
            except BaseException:
                self._put_back(batch)
                raise
            else:
                self.error = ""

    async def _in_thread(self, batch: _Batch) -> None:
        self._writing_since = self._clock.monotonic()
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._write, batch)
        finally:
            self._writing_since = None

    def _put_back(self, batch: _Batch) -> None:
        """Repeat it with what came since; writing the same twice does no harm."""
        self._batch = _Batch(
            batch.flips + self._batch.flips,
            batch.raised + self._batch.raised,
            batch.cleared + self._batch.cleared,
            batch.owed + self._batch.owed,
            batch.sent + self._batch.sent,
            batch.rows + [(place + len(batch.flips), row) for place, row in self._batch.rows],
        )

    def _write(self, batch: _Batch) -> None:
        """Write flips and rows in the order in which they came, the rest with the last of them."""
        done = 0
        for place in sorted({len(batch.flips), *(place for place, _ in batch.rows)}):
            rows = [row for at, row in batch.rows if at == place]
            before = self.history.last_number() if rows else 0
            rest = (batch.raised, batch.cleared) if place == len(batch.flips) else ((), ())
            for flip in self.history.record(batch.flips[done:place], *rest):
                log.warning("the history held another old state than %s for %s", flip.old, flip.subject)
            if rows:
                self.ledger.append(rows, before, self.history.last_number())
            done = place
        if batch.owed or batch.sent:
            self.history.tell(batch.owed, batch.sent)
