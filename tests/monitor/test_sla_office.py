"""Months are closed once, revised by entries, and a changed record is noticed; what may be entered, and what not."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from sla_kit import HOSTILE, LINK, OCTOBER, WHOLE, Bureau, flip, quarters, terms, works

from monitor.errors import StateError
from monitor.sla import spreadsheet
from monitor.sla.document import from_text, to_text
from monitor.sla.ledger import Mark
from monitor.sla.measure import Sums, added
from monitor.sla.office import Misentered
from monitor.sla.period import HOUR_US, MINUTE_US, SECOND_US, Month
from monitor.sla.render import NOT_RECKONED, length, part_shown, to_html
from monitor.sla.report import month_report
from monitor.status.state import Health

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


pytestmark = pytest.mark.anyio
OF_VERSION_1 = "5134c2a7b748277094dab962348466a0f759c4fa6463755a75386feb03a22737"  # as the code that had only it sealed
RESERVE = "link/c0/backup"


@pytest.fixture
def bureau(tmp_path: Path) -> Iterator[Bureau]:
    made = Bureau(tmp_path)
    yield made
    made.books.close()


async def test_a_month_that_is_over_is_closed_once_and_stays_as_it_is_to_the_last_byte(bureau: Bureau) -> None:
    bureau.fill()
    await bureau.office.tick()
    first = await bureau.shown()
    assert first.seal is not None
    assert (first.seal.revision, first.trouble) == (1, "")
    assert hashlib.sha256(first.text.encode()).hexdigest() == first.sha256 == first.seal.sha256
    bureau.books.write([], [flip(LINK, Health.DOWN, WHOLE.end_us + 2 * HOUR_US)])
    bureau.works.append(works(LINK, WHOLE.start_us, WHOLE.end_us, "said later"))
    again = await bureau.shown()
    assert again == first
    assert bureau.office.current is not None
    assert bureau.office.current.month == "2026-11"


async def test_a_month_that_was_closed_by_an_earlier_version_stays_verifiable_and_of_that_version(
    bureau: Bureau,
) -> None:
    bureau.fill()
    records = bureau.books.archive.records(WHOLE)
    assert records is not None
    text = to_text(month_report(OCTOBER, records, (), 1))
    assert hashlib.sha256(text.encode()).hexdigest() == OF_VERSION_1
    assert to_text(from_text(text)) == text
    bureau.books.ledger.seal(str(OCTOBER), WHOLE.end_us + HOUR_US, "the month is over", text)
    shown = await bureau.shown()
    assert (shown.text, shown.sha256, shown.trouble, shown.seal.revision) == (text, OF_VERSION_1, "", 1)
    page = to_html(shown, 0)
    assert page.count(NOT_RECKONED) == 2 * len(shown.month.crossings)
    start = WHOLE.start_us + 5 * HOUR_US
    await bureau.office.enter("excused", LINK, start, start + HOUR_US, "flood", "Ana", "socket")
    revised = await bureau.shown()
    assert (revised.seal.revision, revised.trouble, revised.month.schema_version) == (2, "", 1)
    assert "measured" not in json.loads(revised.text)["crossings"][0]
    assert (await bureau.shown()).seal.revision == 2
    bureau.books.write(quarters(RESERVE, WHOLE.start_us, WHOLE.end_us, 1, 2))
    assert "no longer those that it was closed with" in (await bureau.shown()).trouble


async def test_figures_of_a_newer_version_or_not_whole_are_refused(bureau: Bureau) -> None:
    bureau.fill()
    body = json.loads((await bureau.shown()).text)
    bare = [{key: value for key, value in each.items() if key != "measured"} for each in body["crossings"]]
    for change, said in (
        ({"schema_version": 3}, "the figures are of version 3, this Karaula knows 1 to 2"),
        ({"schema_version": 0}, "the figures are of version 0"),
        ({"schema_version": 1}, "crossings have loss and delay since version 2"),
        ({"crossings": bare}, "crossings have loss and delay since version 2"),
    ):
        with pytest.raises(ValueError, match=said):
            from_text(json.dumps({**body, **change}))
    newer = json.dumps({**body, "schema_version": 3})
    bureau.books.ledger.seal(str(OCTOBER), WHOLE.end_us + HOUR_US, "by a newer one", newer)
    with pytest.raises(
        StateError,
        match=r"2026-10, revision 2, cannot be read: the figures are of version 3, this Karaula knows 1 to 2",
    ):
        await bureau.shown()


async def test_a_crossing_has_the_loss_and_delay_of_both_its_links_probes_together(bureau: Bureau) -> None:
    bureau.fill()
    bureau.books.write(quarters(RESERVE, WHOLE.start_us + 12 * HOUR_US, WHOLE.end_us, 1, 2))
    await bureau.office.enter("maintenance", LINK, WHOLE.start_us, WHOLE.start_us + HOUR_US, "router", "Ana", "socket")
    records = bureau.books.archive.records(WHOLE)
    assert records is not None
    both = added([records.sums[LINK], records.sums[RESERVE]])
    month = (await bureau.shown()).month
    found, empty = (crossing.measured for crossing in month.crossings)
    first, second = (link.measured for link in month.links[:2])
    assert found.probes_sent == first.probes_sent + second.probes_sent == both.sent
    assert found.probes_lost == first.probes_lost + second.probes_lost == both.lost > second.probes_lost > 0
    assert found.loss_percent == round(100 * both.lost / both.sent, 6)
    assert found.rtt_mean_ms == 8.123
    assert first.probes_sent == 450 * (745 - 1) * 4, "what is taken out of a link is taken out of its crossing"
    assert (empty.probes_sent, empty.loss_percent, empty.rtt_mean_ms) == (Sums().sent, None, None)
    rows = list(csv.DictReader(io.StringIO(spreadsheet.figures(month).removeprefix("\ufeff"), newline="")))
    crossing = next(row for row in rows if row["what"] == "crossing")
    assert (crossing["probes_sent"], crossing["round_trip_mean_ms"]) == (str(both.sent), "8.123")
    assert crossing["agreed_loss_percent"] == ""
    assert f"{found.loss_percent:.4f} %" in to_html(await bureau.shown(), 0).partition("Border crossings")[2]


async def test_a_month_is_open_until_its_last_quarter_hour_was_written(bureau: Bureau) -> None:
    bureau.fill(WHOLE.end_us + 10 * MINUTE_US)
    answer = await bureau.shown()
    assert answer.seal is None
    assert not answer.month.closed


async def test_an_entry_about_a_closed_month_makes_a_revision_and_the_old_one_stays(bureau: Bureau) -> None:
    bureau.fill()
    before = await bureau.shown()
    assert before.month.links[0].times.down_us == 3 * HOUR_US
    start = WHOLE.start_us + 5 * HOUR_US
    made = await bureau.office.enter("excused", LINK, start, start + HOUR_US, HOSTILE, "Ana", "socket")
    after = await bureau.shown()
    assert (after.seal.revision, after.seal.why) == (2, "what was entered since as number 1")
    assert (after.month.links[0].times.excused_us, after.month.links[0].times.down_us) == (HOUR_US, 2 * HOUR_US)
    await bureau.office.withdraw(made.number, "not so", "Boris", "socket")
    last = await bureau.shown()
    assert last.seal.revision == 3
    assert last.month.links[0].times == before.month.links[0].times
    with closing(sqlite3.connect(bureau.books.ledger.path)) as db:
        kept = db.execute("SELECT revision, sha256 FROM seals ORDER BY number").fetchall()
    assert kept[0] == (1, before.sha256)
    assert len(kept) == 3


async def test_an_entry_that_was_written_just_before_a_crash_makes_its_revision_later(bureau: Bureau) -> None:
    bureau.fill()
    await bureau.shown()
    start = WHOLE.start_us + 5 * HOUR_US
    await bureau.office.enter("maintenance", LINK, start, start + HOUR_US, "new router", "Ana", "socket")
    with closing(sqlite3.connect(bureau.books.ledger.path)) as db:  # as if it had come to that only
        db.execute("DROP TRIGGER seals_no_delete")
        db.execute("DELETE FROM seals WHERE revision = 2")
        db.commit()
    answer = await bureau.shown()
    assert (answer.seal.revision, answer.trouble, answer.month.links[0].times.planned_us) == (2, "", HOUR_US)


async def test_a_clock_that_was_wrong_does_not_close_a_month_for_good(bureau: Bureau) -> None:
    """The machine starts in May 2027, an hour long, before its clock is set: that closes nothing for ever."""
    now = WHOLE.start_us + 10 * 24 * HOUR_US
    wrong = now + 200 * 24 * HOUR_US
    bureau.books.most_flips = 2
    bureau.books.watch(1, WHOLE.start_us, now, [], terms())
    bureau.clock.jump((wrong + HOUR_US) / SECOND_US - bureau.clock.now())
    bureau.books.watch(2, wrong, wrong + 10 * MINUTE_US, [], terms())
    assert (await bureau.shown()).seal is None, "ten minutes are no time to trust a clock"
    bureau.books.write([Mark(2, wrong + 10 * MINUTE_US, wrong + HOUR_US)])
    assert (await bureau.shown()).seal is not None
    bureau.clock.jump((now + HOUR_US) / SECOND_US - bureau.clock.now())
    bureau.books.watch(3, now, now + HOUR_US, [], terms(), "clock")
    bureau.clock.advance(0)
    answer = await bureau.shown()
    assert answer.seal is None
    assert answer.month.until_us == now + HOUR_US
    bureau.books.write([Mark(3, now + HOUR_US, WHOLE.end_us + HOUR_US)])
    bureau.clock.jump(WHOLE.end_us / SECOND_US + 7200 - bureau.clock.now())
    last = await bureau.shown()
    assert (last.seal.revision, last.trouble) == (2, "")
    assert last.month.links[0].times.up_us == WHOLE.length_us


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE quarters SET lost = lost + 40 WHERE quarter % 100 = 0",
        "DELETE FROM marks WHERE start_us % 1001 = 0",
        "UPDATE sightings SET health = 'down'",
    ],
)
async def test_a_changed_record_of_a_closed_month_is_noticed_and_never_sealed_over(bureau: Bureau, change: str) -> None:
    bureau.fill()
    before = await bureau.shown()
    with closing(sqlite3.connect(bureau.books.ledger.path)) as db:
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {name}")
        db.execute(change)
        db.commit()
    after = await bureau.shown()
    assert after.text == before.text
    assert "no longer those that it was closed with" in after.trouble
    await bureau.office.enter("excused", LINK, WHOLE.start_us, WHOLE.start_us + HOUR_US, "late", "Ana", "socket")
    again = await bureau.shown()
    assert again.seal.revision == 1
    assert again.trouble
    assert "Do not send this report" in to_html(again, 0)


async def test_what_cannot_be_entered_is_said(bureau: Bureau) -> None:
    bureau.fill()
    now, office = bureau.office.now_us(), bureau.office
    for start, end, said in (
        (now, now, "the end must be after the start"),
        (now - 90 * 24 * HOUR_US, now, "an entry may cover two months at most"),
        (now, now + HOUR_US, "what has not happened yet cannot be excused"),
    ):
        with pytest.raises(Misentered, match=said):
            await office.enter("excused", LINK, start, end, "why", "Ana", "socket")
    await office.enter("maintenance", LINK, now, now + HOUR_US, "agreed for tonight", "Ana", "socket")
    with pytest.raises(Misentered, match="there is no entry 2 to withdraw"):
        await office.withdraw(2, "why", "Ana", "socket")
    await office.withdraw(1, "why", "Ana", "socket")
    for number, said in ((1, "entry 1 was withdrawn already"), (2, "there is no entry 2 to withdraw")):
        with pytest.raises(Misentered, match=said):
            await office.withdraw(number, "why", "Ana", "socket")
    assert [entry.kind for entry in await office.entries()] == ["maintenance", "withdrawn"]


async def test_months_without_records_are_none_and_months_are_listed(bureau: Bureau) -> None:
    assert await bureau.office.months() == []
    assert await bureau.office.month(OCTOBER) is None
    bureau.fill()
    bureau.clock.advance(3600)
    assert await bureau.office.months() == [Month(2026, 11), Month(2026, 10), Month(2026, 9)]
    assert await bureau.office.month(Month(2026, 7)) is None
    assert await bureau.office.present_month() == Month(2026, 11)


async def test_a_spreadsheet_gets_whole_seconds_that_sum_and_no_formula(bureau: Bureau) -> None:
    bureau.fill()
    start = WHOLE.start_us + 5 * HOUR_US
    await bureau.office.enter("excused", LINK, start, start + HOUR_US, "=1+1", "@ana", "socket")
    month = (await bureau.shown()).month
    text = spreadsheet.figures(month)
    assert text.startswith("\ufeffmonth,")
    assert text.count("\r\n") == text.count("\n")
    rows = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline="")))
    assert [row["what"] for row in rows] == ["link"] * 4 + ["crossing"] * 2 + ["operator"] * 2
    kinds = ("up_s", "degraded_s", "down_s", "unknown_s", "planned_s", "excused_s")
    assert {sum(round(float(row[kind]) * SECOND_US) for kind in kinds) for row in rows[:6]} == {745 * HOUR_US}
    assert rows[0]["total_s"] == "2682000.000000"
    hostile = month.links[0].model_copy(update={"link": "=1+1", "crossing_name": "@x", "operator": "-2+3"})
    told = spreadsheet.figures(month.model_copy(update={"links": (hostile,)}))
    told += spreadsheet.outages(month)
    cells = [cell for row in csv.reader(io.StringIO(told, newline="")) for cell in row]
    dangerous = [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert dangerous == []
    assert {"'=1+1", "'@x primary", "'-2+3", "'@ana"} <= set(cells)


async def test_a_report_says_everything_and_lets_nothing_in(bureau: Bureau) -> None:
    bureau.fill()
    start = WHOLE.start_us + 5 * HOUR_US
    bureau.works.append(works("crossing/c0", start, start + 2 * HOUR_US, "cable works"))
    bureau.works.append(works("site/main", start, start + HOUR_US, "no link of anybody"))
    await bureau.office.enter("excused", LINK, start, start + HOUR_US, HOSTILE, "Ana", "socket")
    whole = await bureau.shown()
    page = to_html(whole.of_operator("a"), 0)
    assert "<script" not in page
    assert "\u202e" not in page
    assert "Operator B" not in page
    assert "c0/backup" not in page
    for said in (
        "October 2026: Operator A",
        "745 hours",
        "revision 1",
        "at least 99.9 %",
        "excused",
        "01 Oct 2026 06:00:00 CEST",
        "2 h 00 min 00 s",
        "every 10 s",
        "when 2 measurements in a row have failed",
        whole.of_operator("a").sha256,
        "noc@a.example",
        "works announced: cable works (Boris)",
    ):
        assert said in page, said
    assert whole.of_operator("a").sha256 != whole.sha256


def test_lengths_and_parts_in_words() -> None:
    shown = [length(us) for us in (0, 1_500_000, 59_000_000, 61_000_000, 26 * HOUR_US + 1, -2 * HOUR_US)]
    assert shown == ["0 s", "1.5 s", "59 s", "1 min 01 s", "26 h 00 min 00 s", "-2 h 00 min 00 s"]
    parts = [part_shown(part, 10**9) for part in (0, 1, 5 * 10**8, 10**9 - 1, 10**9)]
    assert parts == ["0 %", "under 0.01 %", "50.00 %", "99.99 %", "100 %"]
