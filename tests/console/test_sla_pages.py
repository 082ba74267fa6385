"""Service levels over HTTP, on the command line and in Chromium: what is shown, what is sent, what may be entered."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser_kit import DESKTOP, PHONE, browsing, open_page
from cli_kit import still
from playwright.sync_api import expect
from sla_kit import HOSTILE, Bureau
from web_kit import WebDaemon, web_daemon

from monitor.sla.document import from_text
from monitor.sla.period import HOUR_US

A4_AT_96_DPI = (696, 1010)  # within the report's margins


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[WebDaemon]:
    bureau = Bureau(tmp_path)
    bureau.fill()
    bureau.clock.advance(86_400)
    with web_daemon() as running:
        running.watch.sla = bureau.office  # type: ignore[attr-defined]  # the desk's watch has one
        yield running
    bureau.books.close()


def excuse(daemon: WebDaemon, **changes: object) -> tuple[int, str]:
    body = {"kind": "excused", "link": "c0/primary", "start": "2026-10-01 05:00", "end": "2026-10-01 06:00"}
    sent = json.dumps({**body, "reason": HOSTILE, **changes}).encode()
    reply = daemon.ask("POST", "/api/sla/entries", sent, Content_Type="application/json", X_Karaula_As="Ana")
    return reply.status, reply.text


def test_the_files_of_a_month_belong_together(daemon: WebDaemon) -> None:
    assert excuse(daemon)[0] == 201
    query = "?month=2026-10&operator=a"
    shown = daemon.ask("GET", f"/api/sla{query}").json()
    text = daemon.ask("GET", f"/api/sla/data.json{query}")
    assert hashlib.sha256(text.text.encode()).hexdigest() == shown["sha256"]
    assert text.headers["content-disposition"] == 'attachment; filename="sla-2026-10-a.json"'
    assert from_text(text.text).links[0].times.excused_us == HOUR_US
    report = daemon.ask("GET", f"/api/sla/report.html{query}")
    assert shown["sha256"] in report.text
    assert "<script" not in report.text
    assert "script" not in report.headers["content-security-policy"]
    sheet = daemon.ask("GET", f"/api/sla/outages.csv{query}")
    assert sheet.headers["content-type"] == "text/csv; charset=utf-8"
    assert "Ana" in sheet.text
    assert "Operator B" not in report.text + text.text + sheet.text
    assert shown["seal"]["revision"] == 2
    assert shown["months"] == ["2026-11", "2026-10", "2026-09"]


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("?month=2026-13", 422, "there is no month 2026-13"),
        ("?month=soon", 422, "'soon' is not a month; write it as 2026-10"),
        ("?month=2025-10", 404, "nothing was recorded in 2025-10; there are records from 2026-09 to 2026-11"),
        ("?month=2026-10&operator=c", 404, "there is no operator 'c' in 2026-10"),
        (f"?month={'2' * 50}", 422, "String should have at most 20 characters"),
    ],
)
def test_what_is_not_there_is_said(daemon: WebDaemon, path: str, status: int, said: str) -> None:
    for ending in ("", "/data.json", "/figures.csv", "/report.html"):
        reply = daemon.ask("GET", f"/api/sla{ending}{path}")
        assert reply.status == status
        assert said in reply.error()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"link": "c0/primry"}, "did you mean 'link/c0/primary'?"),
        ({"start": "2026-10-25 02:30", "end": "2026-10-26"}, "happens twice in Europe/Skopje; say which"),
        ({"start": "2026-03-29 02:30"}, "does not exist in Europe/Skopje"),
        ({"start": "tomorrow"}, "'tomorrow' is not a time"),
        ({"end": "2026-10-01 05:00"}, "the end must be after the start"),
        ({"end": "2027-01-01"}, "an entry may cover two months at most"),
        ({"start": "2026-11-01", "end": "2026-12-20"}, "what has not happened yet cannot be excused"),
        ({"kind": "withdrawn"}, "Input should be 'maintenance' or 'excused'"),
        ({"reason": ""}, "reason: String should have at least 1 character"),
    ],
)
def test_an_entry_that_makes_no_sense_is_refused(daemon: WebDaemon, changes: dict[str, object], said: str) -> None:
    status, text = excuse(daemon, **changes)
    assert status in {404, 422}
    assert said in json.loads(text)["error"]["message"]
    assert daemon.ask("GET", "/api/sla/entries").json()["entries"] == []


def test_an_entry_needs_a_name(daemon: WebDaemon) -> None:
    body = {"kind": "excused", "link": "c0/primary", "start": "2026-10-01", "end": "2026-10-02", "reason": "x"}
    reply = daemon.ask("POST", "/api/sla/entries", json.dumps(body).encode(), Content_Type="application/json")
    assert (reply.status, reply.error()) == (400, "say who you are: a name is recorded with every decision")


def test_the_command_line_shows_saves_enters_and_withdraws(daemon: WebDaemon, tmp_path: Path) -> None:
    told = daemon.karaula("sla", "--month", "2026-10").output
    assert "2026-10 is closed: revision 1" in told
    assert "c0/primary" in told
    assert "99.5973" in told
    crossing = next(line for line in told.splitlines() if line.startswith("c0 "))
    link = next(line for line in told.splitlines() if line.startswith("c0/primary "))
    assert crossing.split()[-2:] == link.split()[-2:] == ["0.048", "8.12"], "its other link was not probed"
    assert "of the links' time is unknown" not in told
    words = ("--from", "2026-10-01 05:00", "--to", "2026-10-01 08:00", "--reason", "flood")
    assert "karaula sla withdraw 1" in daemon.karaula("sla", "excuse", "c0/primary", *words, name="Ана").output
    assert daemon.json("sla", "--month", "2026-10")["data"]["links"][0]["availability"]["percent"] == 100
    assert "entry 1 is withdrawn by entry 2" in daemon.karaula("sla", "withdraw", "1", "--reason", "not so").output
    listed = daemon.karaula("sla", "entries").output
    assert "excused, withdrawn" in listed
    assert "withdraws 1" in listed
    assert "flood (Ана)" in listed
    for option in ("csv", "outages", "json", "html"):
        target = tmp_path / f"file.{option}"
        result = daemon.karaula("sla", "--month", "2026-10", f"--{option}", str(target))
        assert result.exit_code == 0, result.output
        assert target.stat().st_size > 100
    shown = daemon.json("sla", "--month", "2026-10")
    assert hashlib.sha256((tmp_path / "file.json").read_bytes()).hexdigest() == shown["sha256"]
    printed = daemon.karaula("sla", "--month", "2026-10", "--json", "-").stdout
    assert json.loads(printed)["month"] == "2026-10"
    refused = daemon.karaula("sla", "--month", "2026-10", "--csv", "/proc/nowhere/x")
    assert refused.exit_code == 2
    assert "cannot be written" in refused.output


def test_what_is_not_known_yet_is_said_and_from_when(daemon: WebDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour of November is recorded, and no quarter hour of measurements."""
    monkeypatch.setattr("console.terminal.screen.RealClock", still)  # another year would be said with the day
    told = daemon.karaula("sla", "--month", "2026-11").output
    link = next(line for line in told.splitlines() if line.startswith("c0/primary "))
    crossing = next(line for line in told.splitlines() if line.startswith("c0 "))
    assert link.split()[-4:] == crossing.split()[-4:] == ["not", "yet"] * 2
    line = next(line for line in told.splitlines() if line.startswith("not yet: "))
    assert "by quarter hours, the next at 1 Nov 01:01" in line
    page = daemon.ask("GET", "/sla?month=2026-11").text
    assert re.search(r"Loss and round trip come by quarter hours, the next at [^;]*\b01:01\b", page)
    over = daemon.karaula("sla", "--month", "2026-10").output
    assert "not yet" not in over
    assert "not known" in next(line for line in over.splitlines() if line.startswith("c0/backup "))


def test_before_the_watch_has_started_it_is_said(daemon: WebDaemon) -> None:
    daemon.watch.sla = None  # type: ignore[attr-defined]  # as before its start
    assert daemon.ask("GET", "/api/sla").status == 503
    assert "he watch has not started" in daemon.ask("GET", "/sla").text


def test_the_page_escapes_what_people_and_targets_say(daemon: WebDaemon) -> None:
    assert excuse(daemon)[0] == 201
    page = daemon.ask("GET", "/sla?month=2026-10").text
    assert "alert(1)" in page
    assert "<script>alert" not in page
    assert "\u202e" not in page
    assert "Operator A" in page
    assert "Loss, both links" in page
    assert "8.12 ms" in page.partition('id="crossing-c0"')[2].partition("</tr>")[0]
    assert daemon.ask("GET", "/sla?month=2025-01").status == 404
    assert "nothing was recorded in 2025-01" in daemon.ask("GET", "/sla?month=2025-01").text


@pytest.mark.browser
def test_page_and_report_in_a_browser(daemon: WebDaemon) -> None:
    assert excuse(daemon)[0] == 201
    with browsing() as browser:
        for size in (DESKTOP, PHONE):
            seen = open_page(browser, size, colours="dark" if size == PHONE else "light")
            page = seen.page
            page.goto(daemon.url + "/")
            page.get_by_role("link", name="Service levels").first.click()
            expect(page.get_by_role("heading", name="Service levels")).to_be_visible()
            page.get_by_label("Month").select_option("2026-10")
            page.get_by_role("button", name="Show").click()
            expect(page.get_by_text("2026-10 is closed")).to_be_visible()
            expect(page.locator("#link-c0-primary")).to_contain_text("99.7311 %")
            seen.fits()
            page.get_by_role("link", name="Report to send").first.click()
            expect(page.get_by_role("heading", name="October 2026: Operator A")).to_be_visible()
            seen.fits()
            assert seen.complaints == []
        paper = open_page(browser, A4_AT_96_DPI)
        paper.page.goto(daemon.url + "/api/sla/report.html?month=2026-10")
        paper.page.emulate_media(media="print")
        paper.fits()
        wide = paper.page.evaluate(
            "[...document.querySelectorAll('.wide')].filter((e) => e.scrollWidth > e.clientWidth + 1).length"
        )
        assert wide == 0, "a table is cut off on paper"
