"""Where service levels are asked for: a month's figures, what people enter about it, and the closing of months.

Reckoning happens in threads of its own over connections of its own; adding goes through the record's writing thread. A
month is closed, its figures sealed, a few minutes after its end. From then on the sealed figures are what is shown, to
the last byte. Each time they are asked for they are reckoned anew and compared: records that were changed afterwards
are noticed and said. An entry about a closed month makes a new revision of it; the old one stays in the ledger.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from monitor.errors import KaraulaError, StateError
from monitor.sla import document
from monitor.sla.announced import works_on_links
from monitor.sla.ledger import Entry
from monitor.sla.period import HOUR_US, SECOND_US, Month, month_of, us
from monitor.sla.reckon import Window
from monitor.sla.report import month_report
from monitor.sla.risk import conditions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from monitor.clock import Clock
    from monitor.sla.document import MonthPart
    from monitor.sla.ledger import EntryKind, Ledger, Seal
    from monitor.sla.period import Period
    from monitor.sla.records import Archive
    from monitor.status.alarm import Condition
    from monitor.status.downtime import Downtime

log = logging.getLogger(__name__)

TICK_S = 5.0
SHORTEST_REFRESH_S = 5.0
REFRESH_SHARE = 200.0  # a month is reckoned anew after this many times of what it took: half a percent of one core
MOST_KEPT = 4
MOST_BACK = 24  # months that are closed late, when the daemon did not run at their end
LONGEST_ENTRY_US = 62 * 86_400 * 1_000_000

Result = TypeVar("Result")


class Misentered(KaraulaError):
    """An entry that cannot be made; the text says why."""


class Keeping(Protocol):
    """Runs work on the ledger in the thread that writes (``Record.with_ledger``)."""

    def __call__(self, work: Callable[[Ledger], Result]) -> Awaitable[Result]:
        """Return what ``work`` returns; raises what it raises."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """A month's figures, as text and with its hash.

    ``seal`` is None while the month is open. ``trouble`` says what is wrong with it, empty when nothing is.
    """

    month: MonthPart
    text: str
    sha256: str
    seal: Seal | None = None
    trouble: str = ""

    def of_operator(self, operator: str) -> Answer:
        """Return the part of one operator, with a hash of its own."""
        month = document.of_operator(self.month, operator)
        return Answer(month, *_text_of(month), self.seal, self.trouble)


class Office:
    """Answers for one ledger. It belongs to the event loop."""

    def __init__(
        self,
        archive: Archive,
        keeping: Keeping,
        clock: Clock,
        announced: Callable[[float, float], Iterable[Downtime]] = lambda _start, _end: (),
    ) -> None:
        """``announced`` returns the downtimes that were announced for a time (Unix seconds)."""
        self._archive = archive
        self._keeping = keeping
        self._clock = clock
        self._announced = announced
        self._kept: dict[Month, tuple[float, Answer | None]] = {}
        self._refresh_s = SHORTEST_REFRESH_S
        self._busy = asyncio.Lock()
        self._closed_before: Month | None = None
        self._ticking: asyncio.Task[None] | None = None
        self.current: MonthPart | None = None
        self.conditions: tuple[Condition, ...] | None = None  # of the present month's agreements; None: not reckoned
        self.error = ""

    def start(self) -> None:
        """Begin to keep the present month's figures up to date, and to close months."""
        self._ticking = asyncio.create_task(self._tick_for_ever(), name="service levels")

    async def stop(self) -> None:
        """End that."""
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.gather(self._ticking, return_exceptions=True)

    async def _tick_for_ever(self) -> None:
        while True:
            await self._clock.sleep(TICK_S)
            try:
                await self.tick()
                self.error = ""
            except StateError as error:
                self.error = str(error)
            except Exception as error:  # the border of its task: a defect here must not end the closing of months
                log.exception("service levels could not be reckoned")
                self.error = f"service levels could not be reckoned: {type(error).__name__}: {error}"

    async def month(self, month: Month) -> Answer | None:
        """Return the figures of ``month``; None when nothing was recorded of it. Raises StateError."""
        async with self._busy:
            kept = self._kept.get(month)
            if kept is not None and self._clock.monotonic() < kept[0]:
                return kept[1]
            began = self._clock.monotonic()
            answer = await self._answer(month)
            spent_s = self._clock.monotonic() - began
            self._refresh_s = max(SHORTEST_REFRESH_S, REFRESH_SHARE * spent_s)
            self._kept.pop(month, None)
            while len(self._kept) >= MOST_KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[month] = (self._clock.monotonic() + self._refresh_s, answer)
            return answer

    def now_us(self) -> int:
        """Return the present in microseconds."""
        return us(self._clock.now())

    async def months(self) -> list[Month]:
        """Return the months of which there may be records, the newest first. Raises StateError."""
        first_us, last_us = await asyncio.to_thread(lambda: (self._archive.first_us(), self._archive.recorded_us()))
        if first_us is None or not last_us:
            return []
        zone = await asyncio.to_thread(self._zone)
        found = [month_of(last_us, zone)]
        while found[-1] > month_of(first_us, zone):
            found.append(found[-1].previous)
        return found

    async def zone(self) -> str:
        """Return the time zone of the newest terms. Raises StateError."""
        return await asyncio.to_thread(self._zone)

    async def present_month(self) -> Month:
        """Return the month in which the records end, or that it is now. Raises StateError."""
        last_us = await asyncio.to_thread(self._archive.recorded_us)
        zone = await asyncio.to_thread(self._zone)
        return month_of(last_us or us(self._clock.now()), zone)

    def _zone(self) -> str:
        return self._archive.zone() or "UTC"

    async def tick(self) -> None:
        """Bring the present month's figures up to date when it is time, and close months that are over.

        Raises StateError.
        """
        present = await self.present_month()
        answer = await self.month(present)
        self.current = None if answer is None else answer.month
        self.conditions = None if answer is None else conditions(answer.month)
        if present == self._closed_before:
            return
        waiting = False
        for month in (await self.months())[1 : 1 + MOST_BACK]:
            if await self._standing_seal(month) is not None:
                break
            found = await self.month(month)
            waiting |= found is not None and found.seal is None
        if not waiting:
            self._closed_before = present

    # -- what people enter ---------------------------------------------------------------------------------------------

    async def enter(
        self, kind: EntryKind, link: str, start_us: int, end_us: int, reason: str, by: str, channel: str
    ) -> Entry:
        """Take out a time of a link: agreed maintenance, or an accepted excuse. Raises Misentered and StateError."""
        if end_us <= start_us:
            raise Misentered("the end must be after the start")
        if end_us - start_us > LONGEST_ENTRY_US:
            raise Misentered("an entry may cover two months at most")
        if kind == "excused" and end_us > us(self._clock.now()):
            raise Misentered("what has not happened yet cannot be excused")
        return await self._entered(Entry(0, self.now_us(), kind, link, start_us, end_us, reason, by, channel))

    async def withdraw(self, number: int, reason: str, by: str, channel: str) -> Entry:
        """Take an entry back: it counts no more, and stays to be read. Raises Misentered and StateError."""
        entries = await self.entries()
        found = next((each for each in entries if each.number == number and each.kind != "withdrawn"), None)
        if found is None:
            raise Misentered(f"there is no entry {number} to withdraw")
        if any(each.withdraws == number for each in entries):
            raise Misentered(f"entry {number} was withdrawn already")
        made = Entry(
            0, self.now_us(), "withdrawn", found.subject, found.start_us, found.end_us, reason, by, channel, number
        )
        return await self._entered(made)

    async def entries(self) -> tuple[Entry, ...]:
        """Return what people entered, oldest first. Raises StateError."""
        return await asyncio.to_thread(self._archive.entries)

    async def _entered(self, entry: Entry) -> Entry:
        made = await self._keeping(lambda ledger: ledger.enter(entry))
        self._kept.clear()
        for month in await self.months():
            period = await asyncio.to_thread(self._archive.period, month)
            if period is not None and made.start_us < period.end_us and made.end_us > period.start_us:
                await self.month(month)  # makes the new revision of a closed one
        return made

    # -- reckoning -----------------------------------------------------------------------------------------------------

    async def _answer(self, month: Month) -> Answer | None:
        period = await asyncio.to_thread(self._archive.period, month)
        if period is None:
            return None
        seal = await self._standing_seal(month)
        if seal is not None:
            return await self._sealed(month, period, seal)
        reckoned = await asyncio.to_thread(self._reckon, month, period, self._works(period))
        if reckoned is None:
            return None
        text, sha256 = _text_of(reckoned)
        if reckoned.closed:
            return Answer(reckoned, text, sha256, await self._seal(month, text, "the month is over"))
        return Answer(reckoned, text, sha256)

    async def _standing_seal(self, month: Month) -> Seal | None:
        """Return the month's seal, unless it is of the future: then it was made while the clock was wrong."""
        seal = await asyncio.to_thread(self._archive.seal, str(month))
        return None if seal is None or seal.at_us > self.now_us() + HOUR_US else seal

    async def _sealed(self, month: Month, period: Period, seal: Seal) -> Answer:
        """Return what was sealed; a new revision when people entered something since; say it when records changed."""
        try:
            before = document.from_text(seal.body)
        except ValueError as error:
            raise StateError(
                f"the sealed figures of {month}, revision {seal.revision}, cannot be read: {error}"
            ) from error
        schema = before.schema_version
        works = [
            Window(each.link, each.start_us, each.end_us, "maintenance", each.reason, each.by)
            for each in before.announced
        ]
        heard = max((entry.number for entry in before.entries), default=0)
        again = await asyncio.to_thread(self._reckon, month, period, works, heard, schema)
        if again is None or document.to_text(again) != seal.body:
            trouble = f"the records of {month} are no longer those that it was closed with; shown is what was sealed"
            log.error("%s: revision %d, SHA-256 %s", trouble, seal.revision, seal.sha256)
            return Answer(before, seal.body, seal.sha256, seal, trouble)
        now = await asyncio.to_thread(self._reckon, month, period, works, None, schema)
        text = seal.body if now is None else document.to_text(now)
        if now is None or text == seal.body:
            return Answer(before, seal.body, seal.sha256, seal)
        numbers = [str(entry.number) for entry in now.entries if entry.number > heard]
        made = await self._seal(month, text, f"what was entered since as number {', '.join(numbers)}")
        return Answer(now, text, made.sha256, made)

    def _reckon(
        self,
        month: Month,
        period: Period,
        works: Sequence[Window],
        last_entry: int | None = None,
        schema: int = document.SCHEMA,
    ) -> MonthPart | None:
        records = self._archive.records(period, last_entry)
        return None if records is None else month_report(month, records, works, schema)

    async def _seal(self, month: Month, text: str, why: str) -> Seal:
        now_us = self.now_us()
        made = await self._keeping(lambda ledger: ledger.seal(str(month), now_us, why, text))
        log.info("%s is sealed: revision %d, SHA-256 %s (%s)", month, made.revision, made.sha256, why)
        return made

    def _works(self, period: Period) -> Sequence[Window]:
        return works_on_links(self._announced(period.start_us / SECOND_US, period.end_us / SECOND_US))


def _text_of(month: MonthPart) -> tuple[str, str]:
    text = document.to_text(month)
    return text, hashlib.sha256(text.encode()).hexdigest()
