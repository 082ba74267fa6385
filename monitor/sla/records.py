"""Reads out of ledger and history what a period is reckoned by. Over connections of its own, for any thread."""

from __future__ import annotations

import hashlib
import sqlite3
import zlib
from collections import defaultdict
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from monitor.errors import StateError
from monitor.sla import terms as terms_file
from monitor.sla.ledger import COUNTS, SCHEMA_VERSION, Entry, Seal, entry_hash, seal_hash, translated
from monitor.sla.measure import QUARTER_US, Sums
from monitor.sla.period import HOUR_US, us
from monitor.sla.reckon import Window
from monitor.sla.timeline import Chain, NumberedFlip, Seen
from monitor.status.state import Health

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from monitor.history import History
    from monitor.sla.period import Month, Period
    from monitor.sla.terms import Terms

_ENTRY = "number, at_us, kind, subject, start_us, end_us, reason, by, channel, withdraws, hash"
_SUMS = ", ".join(
    (
        "coalesce(sum(sent), 0), coalesce(sum(lost), 0), coalesce(sum(sent_down), 0), coalesce(sum(rtt_sum_us), 0)",
        "coalesce(min(CASE WHEN sent > lost THEN rtt_min_us END), 0), coalesce(max(rtt_max_us), 0)",
        *(f"coalesce(sum({name}), 0)" for name in COUNTS),
    )
)


@dataclass(frozen=True, slots=True)
class Records:
    """What a period is reckoned by.

    ``until_us`` is up to when there are records (at most the period's end). The records end at ``recorded_us``; without
    a break, and without a clock that was set, they were made since ``steady_us``.
    ``windows`` are all times taken out, by link; ``changed_us`` when terms changed within the period.
    """

    period: Period
    terms: Terms
    changed_us: tuple[int, ...]
    chains: tuple[Chain, ...]
    seen: Mapping[str, Mapping[int, Seen]]
    flips: Mapping[str, Sequence[NumberedFlip]]
    sums: Mapping[str, Sums]
    windows: Mapping[str, Sequence[Window]]
    entries: tuple[Entry, ...]
    until_us: int
    recorded_us: int
    steady_us: int


class Archive:
    """The ledger and the history, to be read."""

    def __init__(self, ledger: Path, history: History) -> None:
        """Read ``ledger`` when asked; nothing is kept open."""
        self.path = ledger
        self._history = history

    def records(self, period: Period, last_entry: int | None = None) -> Records | None:
        """Return what ``period`` is reckoned by; None when nothing of it was recorded, or nothing before its end.

        With ``last_entry`` only entries up to that number are heard. Raises StateError.
        """
        with self._open() as db:
            every = _chains(db, period)
            terms, changed = _terms(db, period)
            if terms is None or not every.chains or every.recorded_us <= period.start_us:
                return None
            entries = tuple(each for each in _entries(db) if last_entry is None or each.number <= last_entry)
            until_us = min(period.end_us, every.recorded_us)
            windows = _windows(standing(entries), period)
            sums = {
                link.subject: _sums(db, link.subject, period, windows.get(link.subject, ())) for link in terms.links
            }
            seen = _seen(db, every.chains)
        flips = self._flips(every.low, every.high)
        return Records(
            period,
            terms,
            changed,
            every.chains,
            seen,
            flips,
            sums,
            windows,
            entries,
            until_us,
            every.recorded_us,
            every.steady_us,
        )

    def period(self, month: Month) -> Period | None:
        """Return the month's period in the time zone that was in force in it; None before the first terms.

        Raises StateError.
        """
        latest_us = month.period("Etc/GMT+12").end_us  # the last place on earth in which the month ends
        with self._open() as db:
            sql = "SELECT body FROM terms WHERE at_us < ? ORDER BY number DESC LIMIT 1"
            row = db.execute(sql, (latest_us,)).fetchone()
        return None if row is None else month.period(_read_terms(row[0]).zone)

    def recorded_us(self) -> int:
        """Return up to when there are records; 0 when there are none. Raises StateError."""
        with self._open() as db:
            row = db.execute("SELECT end_us FROM marks ORDER BY chain DESC, start_us DESC LIMIT 1").fetchone()
        return 0 if row is None else int(row[0])

    def first_us(self) -> int | None:
        """Return when the first records were made; None when there are none. Raises StateError."""
        with self._open() as db:
            return _number(db.execute("SELECT min(start_us) FROM chains").fetchone()[0])

    def zone(self) -> str | None:
        """Return the time zone of the newest terms; None before the first. Raises StateError."""
        with self._open() as db:
            row = db.execute("SELECT body FROM terms ORDER BY number DESC LIMIT 1").fetchone()
        return None if row is None else _read_terms(row[0]).zone

    def entries(self) -> tuple[Entry, ...]:
        """Return what people said, oldest first. Raises StateError; also when an entry is not what was written."""
        with self._open() as db:
            return _entries(db)

    def seal(self, month: str) -> Seal | None:
        """Return the newest revision of a month's seal. Raises StateError; also when a seal was tampered with."""
        with self._open() as db:
            return _sealed(db).get(month)

    def _flips(self, low: int, high: int) -> dict[str, list[NumberedFlip]]:
        flips: dict[str, list[NumberedFlip]] = defaultdict(list)
        history = self._history
        for number, flip in (*history.standing_at("link/", low), *history.numbered("link/", low, high)):
            flips[flip.subject].append(NumberedFlip(number, flip.new, us(flip.at), flip.reason))
        return flips

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with (
            translated(self.path),
            closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=5)) as db,
        ):
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version != SCHEMA_VERSION:
                raise StateError(f"{self.path} has schema version {version}, this Karaula knows {SCHEMA_VERSION}")
            db.execute("BEGIN")  # everything is read of one moment
            yield db


def standing(entries: Sequence[Entry]) -> list[Window]:
    """Return the times that entries take out and that were not withdrawn."""
    withdrawn = {entry.withdraws for entry in entries if entry.kind == "withdrawn"}
    return [
        Window(entry.subject, entry.start_us, entry.end_us, entry.kind, entry.reason, entry.by)
        for entry in entries
        if entry.kind != "withdrawn" and entry.number not in withdrawn
    ]


def _windows(windows: Sequence[Window], period: Period) -> dict[str, list[Window]]:
    found: dict[str, list[Window]] = defaultdict(list)
    for window in windows:
        if window.start_us < period.end_us and window.end_us > period.start_us:
            found[window.subject].append(window)
    return found


@dataclass(frozen=True, slots=True)
class _Chains:
    chains: tuple[Chain, ...]
    low: int
    high: int
    recorded_us: int
    steady_us: int


def _chains(db: sqlite3.Connection, period: Period) -> _Chains:
    """Return the chains that touch the period (and the next one, for its reason), and which flips are theirs."""
    found: list[Chain] = []
    low, high, before, recorded_us, steady_us, after = None, 0, 0, 0, 0, True
    for number, why, start_us in db.execute("SELECT number, why, start_us FROM chains ORDER BY number").fetchall():
        sql = "SELECT end_us, flips_after FROM marks WHERE chain = ? ORDER BY start_us DESC LIMIT 1"
        end_us, last_flip = db.execute(sql, (number,)).fetchone() or (start_us, before)
        if end_us > start_us:
            recorded_us, steady_us = end_us, start_us
        touches = start_us < period.end_us and end_us > period.start_us
        if touches:
            if low is None:
                low = _flips_before(db, number, period.start_us, before)
            high = _flips_after(db, number, period.end_us, last_flip)
            found += _pieces(db, Chain(number, start_us, end_us, before, last_flip, why), period)
        elif after and found:
            found.append(Chain(number, start_us, start_us, before, last_flip, why))
        after = touches
        before = last_flip
    return _Chains(tuple(found), low if low is not None else before, high, recorded_us, steady_us)


def _flips_before(db: sqlite3.Connection, chain: int, at_us: int, otherwise: int) -> int:
    where = "chain = ? AND start_us < ? AND end_us <= ?"
    sql = f"SELECT flips_before FROM marks WHERE {where} ORDER BY start_us DESC LIMIT 1"  # noqa: S608 - our own words
    row = db.execute(sql, (chain, at_us, at_us)).fetchone()
    return otherwise if row is None else int(row[0])


def _flips_after(db: sqlite3.Connection, chain: int, at_us: int, otherwise: int) -> int:
    sql = "SELECT flips_after FROM marks WHERE chain = ? AND start_us >= ? ORDER BY start_us LIMIT 1"
    row = db.execute(sql, (chain, at_us)).fetchone()
    return otherwise if row is None else int(row[0])


def _pieces(db: sqlite3.Connection, chain: Chain, period: Period) -> list[Chain]:
    """Return the chain; in pieces where marks are missing from it: that time is nobody's."""
    around = (chain.number, period.start_us - HOUR_US, period.end_us)
    where = "FROM marks WHERE chain = ? AND start_us >= ? AND start_us < ?"
    whole, first, last = db.execute(
        f"SELECT sum(end_us - start_us), min(start_us), max(end_us) {where}", around
    ).fetchone()
    if whole is None or whole == last - first:
        return [chain]
    found: list[Chain] = []
    for start_us, end_us in db.execute(f"SELECT start_us, end_us {where} ORDER BY start_us", around):
        if found and found[-1].end_us == start_us:
            found[-1] = replace(found[-1], end_us=end_us)
        else:
            found.append(replace(chain, start_us=start_us, end_us=end_us, why="lost" if found else chain.why))
    return found


def _seen(db: sqlite3.Connection, chains: Sequence[Chain]) -> dict[str, dict[int, Seen]]:
    found: dict[str, dict[int, Seen]] = defaultdict(dict)
    numbers = {chain.number for chain in chains}
    if not numbers:
        return found
    sql = "SELECT chain, subject, at_us, health, reason FROM sightings WHERE chain BETWEEN ? AND ?"
    for chain, subject, at_us, health, reason in db.execute(sql, (min(numbers), max(numbers))):
        found[subject][chain] = Seen(at_us, Health(health), reason)
    return found


def _terms(db: sqlite3.Connection, period: Period) -> tuple[Terms | None, tuple[int, ...]]:
    """Return the terms of the period, and when they changed in it."""
    rows = db.execute("SELECT at_us, body FROM terms WHERE at_us < ? ORDER BY number", (period.end_us,)).fetchall()
    if not rows:
        return None, ()
    first = max((place for place, (at_us, _) in enumerate(rows) if at_us <= period.start_us), default=0)
    versions = [_read_terms(body) for _, body in rows[first:]]
    return terms_file.joined(versions), tuple(at_us for at_us, _ in rows[first + 1 :])


def _read_terms(body: str) -> Terms:
    try:
        return terms_file.from_text(body)
    except (ValueError, KeyError, TypeError) as error:
        raise StateError(f"the ledger's terms cannot be read: {error}") from error


def _sums(db: sqlite3.Connection, subject: str, period: Period, windows: Sequence[Window]) -> Sums:
    """Return what was measured of a link, without the quarter hours that a window touches."""
    outside = "".join(" AND NOT quarter BETWEEN ? AND ?" for _ in windows)
    limits = [
        limit
        for window in windows
        for limit in (window.start_us // QUARTER_US, max(window.start_us, window.end_us - 1) // QUARTER_US)
    ]
    sql = (
        f"SELECT {_SUMS} FROM quarters WHERE link = (SELECT number FROM links WHERE subject = ?) "  # noqa: S608 - no outside text
        f"AND quarter >= ? AND quarter < ?{outside}"
    )
    span = (period.start_us // QUARTER_US, period.end_us // QUARTER_US)
    row = db.execute(sql, (subject, *span, *limits)).fetchone()
    sent, lost, sent_down, total, least, most, *counts = row
    return Sums(sent, lost, sent_down, total, least, most, tuple(counts))


def _entries(db: sqlite3.Connection) -> tuple[Entry, ...]:
    found: list[Entry] = []
    before = ""
    for row in db.execute(f"SELECT {_ENTRY} FROM entries ORDER BY number"):  # noqa: S608 - our own columns
        entry = Entry(*row)
        if entry.number != len(found) + 1 or entry.hash != entry_hash(entry, before):
            raise StateError(f"entry {entry.number} of the ledger of service levels is not what was written")
        found.append(entry)
        before = entry.hash
    return tuple(found)


def _sealed(db: sqlite3.Connection) -> dict[str, Seal]:
    """Return each month's newest seal, the whole chain of hashes verified."""
    found: dict[str, Seal] = {}
    before = ""
    for number, month, revision, at_us, why, sha256, body, own in db.execute("SELECT * FROM seals ORDER BY number"):
        seal = Seal(number, month, revision, at_us, why, sha256, zlib.decompress(body).decode(), own)
        if own != seal_hash(seal, before) or hashlib.sha256(seal.body.encode()).hexdigest() != sha256:
            raise StateError(f"the sealed figures of {month}, revision {revision}, are not what was sealed")
        found[month] = seal
        before = own
    return found


def _number(value: Any) -> int | None:
    return None if value is None else int(value)
