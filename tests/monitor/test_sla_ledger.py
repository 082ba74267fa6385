"""The ledger: only ever added to, written once however often, read back as a month's figures."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from sla_kit import ZONE, Books, flip, quarters, terms

from monitor.errors import StateError
from monitor.sla.document import from_text, of_operator, to_text
from monitor.sla.ledger import ChainBegun, Entry, Ledger, Mark, Sighting, TermsRow
from monitor.sla.measure import Sums
from monitor.sla.period import HOUR_US, MINUTE_US, SECOND_US, Month
from monitor.sla.report import month_report
from monitor.sla.terms import to_text as terms_text
from monitor.sla.timeline import WHY_BEGUN
from monitor.status.state import Health

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OCTOBER = Month(2026, 10)
WHOLE = OCTOBER.period(ZONE)
LINK = "link/c0/primary"


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    made = Books(tmp_path)
    yield made
    made.close()


def entry(kind: str, start_us: int, end_us: int, link: str = LINK, withdraws: int = 0) -> Entry:
    return Entry(0, start_us, kind, link, start_us, end_us, "flood", "ana", "socket", withdraws)  # type: ignore[arg-type]  # a kind


def test_a_month_of_the_autumn_change_is_exactly_745_hours_of_each_link(books: Books) -> None:
    start = WHOLE.start_us
    outage = [flip(LINK, Health.DOWN, start + 5 * HOUR_US), flip(LINK, Health.OK, start + 6 * HOUR_US)]
    books.watch(1, start - HOUR_US, WHOLE.end_us + HOUR_US, outage, terms())
    books.write([*quarters(LINK, start, WHOLE.end_us, 1, 1), *quarters("link/c0/backup", start, WHOLE.end_us, 1, 2)])
    records = books.archive.records(WHOLE)
    assert records is not None
    month = month_report(OCTOBER, records)
    assert month.closed
    assert {link.times.total_us for link in month.links} == {745 * HOUR_US}
    link = month.links[0]
    assert (link.times.down_us, link.times.unknown_us) == (HOUR_US, 0)
    assert link.availability.percent == 99.8657
    assert [verdict.met for verdict in link.verdicts] == [False, True, True]
    assert link.verdicts[0].certain
    assert link.measured.probes_sent == 450 * 745 * 4
    assert link.measured.rtt_mean_ms == 8.123
    assert [(outage.start, outage.reason) for outage in link.outages] == [("2026-10-01 05:00:00+02:00", "no reply")]
    assert month.crossings[0].availability.percent == 100
    operator = month.operators[0]
    assert (operator.links, operator.links_in_breach, operator.times.total_us) == (2, 1, 2 * 745 * HOUR_US)
    assert from_text(to_text(month)) == month
    alone = of_operator(month, "b")
    assert {link.operator for link in alone.links} == {"b"}
    assert "Operator A" not in to_text(alone)


def test_a_repeated_write_adds_nothing(books: Books) -> None:
    rows = [
        ChainBegun(1, "start", 0),
        Mark(1, 0, MINUTE_US),
        Sighting(1, LINK, 1, "ok", ""),
        TermsRow(1, 0, terms_text(terms())),
    ]
    measured = quarters(LINK, 0, HOUR_US, 1, 1)
    for _ in range(3):
        books.write([*rows, *measured])
    counts = []
    with closing(sqlite3.connect(books.ledger.path)) as db:
        for table in ("chains", "marks", "quarters"):
            counts += db.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608 - our own tables
    assert counts == [1, 1, 4]


def test_the_ledger_refuses_every_change_and_deletion(books: Books) -> None:
    books.watch(1, 0, HOUR_US, [], terms())
    books.write(list(quarters(LINK, 0, HOUR_US, 1, 1)))
    books.ledger.enter(entry("excused", 0, HOUR_US))
    books.ledger.seal("1970-01", 5, "closed", "{}")
    with closing(sqlite3.connect(books.ledger.path)) as db:
        tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        assert len(tables) == 8
        for table in tables:
            column = db.execute("SELECT name FROM pragma_table_info(?)", (table,)).fetchone()[0]
            for change in ("DELETE FROM {}", f"UPDATE {{}} SET {column} = {column}"):  # noqa: S608 - our own columns
                with pytest.raises(sqlite3.IntegrityError, match="only ever added to"):
                    db.execute(change.format(table))


def test_what_was_changed_behind_the_triggers_is_noticed(books: Books) -> None:
    books.watch(1, WHOLE.start_us, WHOLE.start_us + HOUR_US, [], terms())
    books.ledger.enter(entry("excused", WHOLE.start_us, WHOLE.start_us + MINUTE_US))
    books.ledger.seal("2026-09", 5, "closed", "{}")
    assert books.archive.seal("2026-09") is not None
    with closing(sqlite3.connect(books.ledger.path)) as db:
        db.execute("DROP TRIGGER entries_no_update")
        db.execute("DROP TRIGGER seals_no_update")
        db.execute("UPDATE entries SET end_us = end_us + 1")
        db.execute("UPDATE seals SET month = '2026-08'")
        db.commit()
    with pytest.raises(StateError, match="entry 1 of the ledger of service levels is not what was written"):
        books.archive.records(WHOLE)
    with pytest.raises(StateError, match="the sealed figures of 2026-08, revision 1, are not what was sealed"):
        books.archive.seal("2026-08")


def test_missing_marks_make_unknown_time(books: Books) -> None:
    books.watch(1, WHOLE.start_us, WHOLE.start_us + 2 * HOUR_US, [], terms())
    with closing(sqlite3.connect(books.ledger.path)) as db:
        db.execute("DROP TRIGGER marks_no_delete")
        db.execute("DELETE FROM marks WHERE start_us = ?", (WHOLE.start_us + HOUR_US,))
        db.commit()
    records = books.archive.records(WHOLE)
    assert records is not None
    month = month_report(OCTOBER, records)
    assert month.links[0].times.unknown_us == MINUTE_US
    assert [stretch.reason for stretch in month.not_watched] == [WHY_BEGUN["lost"]]


def test_excused_and_planned_time_are_apart_and_a_withdrawn_entry_counts_for_nothing(books: Books) -> None:
    start = WHOLE.start_us
    outage = [flip(LINK, Health.DOWN, start + 2 * HOUR_US), flip(LINK, Health.OK, start + 4 * HOUR_US)]
    books.watch(1, start, start + 10 * HOUR_US, outage, terms())
    books.write(list(quarters(LINK, start, start + 10 * HOUR_US, 1, 1)))
    books.ledger.enter(entry("excused", start + 2 * HOUR_US, start + 3 * HOUR_US))
    made = books.ledger.enter(entry("maintenance", start + 5 * HOUR_US, start + 6 * HOUR_US))
    records = books.archive.records(WHOLE)
    assert records is not None
    link = month_report(OCTOBER, records).links[0]
    times = link.times
    assert (times.excused_us, times.planned_us, times.down_us) == (HOUR_US, HOUR_US, HOUR_US)
    assert link.availability.percent == 87.5
    assert link.measured.probes_sent == 450 * 4 * (10 - 2), "quarter hours that are taken out measure nothing"
    assert [(each.kind, each.taken_out_by) for each in link.outages] == [("excused", "ana"), ("down", "")]
    books.ledger.enter(entry("withdrawn", made.start_us, made.end_us, withdraws=made.number))
    records = books.archive.records(WHOLE)
    assert records is not None
    month = month_report(OCTOBER, records)
    assert month.links[0].times.planned_us == 0
    assert [(each.kind, each.standing) for each in month.entries] == [
        ("excused", True),
        ("maintenance", False),
        ("withdrawn", False),
    ]


def test_terms_of_a_later_month_do_not_change_an_earlier_one(books: Books) -> None:
    books.watch(1, WHOLE.start_us, WHOLE.end_us + HOUR_US, [], terms())
    before = books.archive.records(WHOLE)
    books.write([TermsRow(2, WHOLE.end_us + MINUTE_US, terms_text(terms(1)))])
    after = books.archive.records(WHOLE)
    assert before is not None
    assert after is not None
    assert to_text(month_report(OCTOBER, before)) == to_text(month_report(OCTOBER, after))
    books.write([TermsRow(3, WHOLE.end_us - MINUTE_US, terms_text(terms(1)))])
    within = books.archive.records(WHOLE)
    assert within is not None
    month = month_report(OCTOBER, within)
    assert len(month.links) == 4, "a link taken out of the inventory stays in the month in which it was there"
    assert month.terms_changed == ("2026-10-31 23:59:00+01:00",)


def test_a_month_of_which_nothing_was_recorded_is_none(books: Books) -> None:
    assert books.archive.records(WHOLE) is None
    books.watch(1, WHOLE.end_us + HOUR_US, WHOLE.end_us + 2 * HOUR_US, [], terms())
    assert books.archive.records(WHOLE) is None
    assert books.archive.records(OCTOBER.next.next.period(ZONE)) is None


def test_a_newer_ledger_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sla.sqlite"
    Ledger(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 9")
    with pytest.raises(StateError, match="has schema version 9, this Karaula knows 1"):
        Ledger(path)


def test_forty_links_with_thousands_of_outages_are_reckoned_within_a_second(books: Books) -> None:
    """Measured in CPU time of this process, at a third of what is allowed; a busy machine does not break it."""
    books.most_flips = 500
    of = terms(20)
    start = Month(2026, 9).period(ZONE).start_us
    flips = [
        flip(
            link.subject,
            health,
            start + number * 7 * HOUR_US + place * SECOND_US + (HOUR_US if health is Health.OK else 0),
        )
        for place, link in enumerate(of.links)
        for number in range(200)
        for health in (Health.DOWN, Health.OK)
    ]
    books.watch(1, start, Month(2026, 11).period(ZONE).start_us + HOUR_US, flips, of)
    for place, link in enumerate(of.links):
        books.write(list(quarters(link.subject, WHOLE.start_us, WHOLE.end_us, 1, place)))
    began = time.process_time()
    records = books.archive.records(WHOLE)
    assert records is not None
    month = month_report(OCTOBER, records)
    text = to_text(month)
    spent_s = time.process_time() - began
    assert {link.times.total_us for link in month.links} == {WHOLE.length_us}
    assert sum(len(link.outages) for link in month.links) > 3000
    assert text.count("\n") > 1000
    assert spent_s < 3, f"{spent_s:.2f} s"
    print(f"{spent_s:.2f} s of CPU for 40 links")  # noqa: T201 - shown with -s


def test_sums_of_nothing_are_not_known() -> None:
    assert Sums().loss_percent is None
    assert Sums().rtt_ms is None
    assert Sums().rtt_at_most_ms(0.95) is None
