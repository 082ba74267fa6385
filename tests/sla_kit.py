"""Service levels for tests: terms of a small estate, a ledger and history filled as a watch would."""

from __future__ import annotations

import random
import sqlite3
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from monitor.clock import ManualClock
from monitor.history import History
from monitor.sla.ledger import ChainBegun, Ledger, Mark, Row, Sighting, TermsRow
from monitor.sla.measure import BOUNDS_MS, QUARTER_US, Quarter
from monitor.sla.office import Office
from monitor.sla.period import HOUR_US, MINUTE_US, SECOND_US, Month
from monitor.sla.records import Archive
from monitor.sla.terms import Agreement, LinkTerms, Method, OperatorTerms, Terms, to_text
from monitor.status.downtime import Downtime
from monitor.status.state import Flip, Health

ZONE = "Europe/Skopje"
OCTOBER = Month(2026, 10)
WHOLE = OCTOBER.period(ZONE)
LINK = "link/c0/primary"
HOSTILE = "<script>alert(1)</script>=cmd|' /C calc'!A0\u202e"
AGREED = Agreement(99.9, 40.0, 0.5, degraded_is_down=False)


def terms(crossings: int = 2, agreed: Agreement = AGREED) -> Terms:
    """Crossings c0, c1, …, each with its primary at operator a and its backup at operator b."""
    return Terms(
        estate="Test",
        zone=ZONE,
        method=Method(10.0, 3.0, 2, 2, 35.0),
        crossings=tuple((f"c{number}", f"Crossing {number}") for number in range(crossings)),
        operators=(OperatorTerms("a", "Operator A", "noc@a.example"), OperatorTerms("b", "Operator B", "")),
        links=tuple(
            LinkTerms(f"link/c{number}/{which}", f"c{number}", which, operator, agreed)
            for number in range(crossings)
            for which, operator in (("primary", "a"), ("backup", "b"))
        ),
    )


@dataclass
class Books:
    """A history and a ledger in one folder."""

    folder: Path
    most_flips: int = 1  # that wait for one another, as when the disk is slow

    def __post_init__(self) -> None:
        self.history = History(self.folder / "history.sqlite")
        self.ledger = Ledger(self.folder / "sla.sqlite")
        self.archive = Archive(self.folder / "sla.sqlite", self.history)

    def close(self) -> None:
        self.ledger.close()
        self.history.close()

    def files(self) -> tuple[sqlite3.Connection, sqlite3.Connection]:
        return self.history._writer, self.ledger._db

    def write(self, rows: list[Row], flips: list[Flip] | None = None) -> None:
        before = self.history.last_number()
        self.history.record(flips or [], [], [])
        self.ledger.append(rows, before, self.history.last_number())

    def watch(self, chain: int, start_us: int, end_us: int, flips: list[Flip], of: Terms, why: str = "start") -> None:
        """Write a chain as the watch does: a mark a minute, flips before the mark that vouches for them."""
        rows: list[Row] = [ChainBegun(chain, why, start_us), TermsRow(1, start_us, to_text(of))]
        rows += [Sighting(chain, link.subject, start_us, "ok", "") for link in of.links]
        left = deque(sorted(flips, key=lambda flip: flip.at))
        taken: list[Flip] = []
        for at_us in range(start_us, end_us, MINUTE_US):
            upto = min(at_us + MINUTE_US, end_us)
            while left and left[0].at * SECOND_US <= upto:
                taken.append(left.popleft())
            rows.append(Mark(chain, at_us, upto))
            if len(taken) >= self.most_flips:
                self.write(rows, taken)
                rows, taken = [], []
        self.write(rows, taken)


def flip(subject: str, health: Health, at_us: int, reason: str = "no reply") -> Flip:
    return Flip(subject, Health.OK, health, "" if health is Health.OK else reason, at_us / SECOND_US)


def quarters(subject: str, start_us: int, end_us: int, chain: int, seed: int) -> list[Quarter]:
    """A quiet link's measurements."""
    dice = random.Random(seed)  # noqa: S311 - measurements, not secrets
    found = []
    for index in range(start_us // QUARTER_US, end_us // QUARTER_US):
        lost = dice.choice((0, 0, 0, 0, 1))
        counts = (0, 0, 0, 80, 10, *([0] * (len(BOUNDS_MS) - 4)))
        found.append(Quarter(subject, index, chain, 450, lost, 0, (450 - lost) * 8123, 5000, 14000, counts))
    return found


def works(subject: str, start_us: int, end_us: int, reason: str) -> Downtime:
    start, end = start_us / SECOND_US, end_us / SECOND_US
    return Downtime("id", subject, start, end, end, "Boris", reason, start, "command")


class Bureau:
    """An office over books that a test fills."""

    def __init__(self, folder: Path) -> None:
        self.books = Books(folder)
        self.clock = ManualClock(WHOLE.end_us / SECOND_US + 7200)
        self.works: list[Downtime] = []
        self.office = Office(self.books.archive, self._keep, self.clock, lambda _start, _end: self.works)

    async def _keep(self, work: Callable[[Ledger], Any]) -> Any:
        return work(self.books.ledger)

    def fill(self, until_us: int = WHOLE.end_us + HOUR_US) -> None:
        """Have a month with one outage recorded; the books are empty."""
        for own, filled in zip(self.books.files(), _a_month(until_us), strict=True):
            filled.backup(own)

    async def shown(self) -> Any:
        self.clock.advance(3600)  # nothing is kept so long
        answer = await self.office.month(OCTOBER)
        assert answer is not None
        return answer


@cache
def _a_month(until_us: int) -> list[sqlite3.Connection]:
    """The files of books with a month in them, in memory: written minute by minute once, and copied from then on."""
    with TemporaryDirectory() as folder:
        books = Books(Path(folder), most_flips=2)
        outage = [
            flip(LINK, Health.DOWN, WHOLE.start_us + 5 * HOUR_US, HOSTILE),
            flip(LINK, Health.OK, WHOLE.start_us + 8 * HOUR_US),
        ]
        books.watch(1, WHOLE.start_us - HOUR_US, until_us, outage, terms())
        books.write(list(quarters(LINK, WHOLE.start_us, min(until_us, WHOLE.end_us), 1, 1)))
        kept = []
        for file in books.files():
            kept.append(sqlite3.connect(":memory:", check_same_thread=False))
            file.backup(kept[-1])
        books.close()
    return kept
