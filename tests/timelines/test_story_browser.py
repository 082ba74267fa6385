"""The newcomer's story through a browser: all well, main is cut, approve what is prepared, watch it, read the report.

What the pages say is held against the lab's own truth. Nothing is reloaded: the pages keep themselves true.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from browser_kit import PHONE, Seen, browsing, open_page
from daemon_kit import RunningDaemon, running_daemon
from estate_kit import RunningLab, start_lab
from playwright.sync_api import expect

pytestmark = [pytest.mark.lab, pytest.mark.browser]
SYSTEMS = ("cdeps", "ncts", "ite", "exim")
SLOW_MS = 90_000
OLD = re.compile(r"No answer from Karaula since .* CES?T\. What you see is old")


def approve(seen: Seen, system: str, name: str) -> str:
    """Go from the overview to the prepared failover of ``system`` and approve it; return the run's id."""
    page = seen.page
    page.locator(f"[id^=ask-{system}-failover] a.button").click()
    page.wait_for_url(re.compile(rf"/runs/{system}-failover-"))
    page.get_by_label("Your name").fill(name)
    page.get_by_role("button", name="Approve the failover").click()
    expect(page.locator("#head .badge")).to_have_text("succeeded", timeout=SLOW_MS)
    return page.url.rpartition("/")[2]


def wait_until_well(seen: Seen, daemon: RunningDaemon) -> None:
    seen.page.goto(daemon.url)
    for system in SYSTEMS:
        expect(seen.page.locator(f"#system-{system} h3 .badge")).to_have_text("OK", timeout=SLOW_MS)
    expect(seen.page.locator("#headline")).to_have_text("All 4 key systems are in service")


def cut_main(seen: Seen, lab: RunningLab) -> None:
    """Cut main and wait until all four failovers are offered on the open page."""
    for system in SYSTEMS:
        lab.wait_for(system, lambda truth: truth["acknowledged"] >= 3, within_s=30)
    lab.fault("cut-site", "main")
    for system in SYSTEMS:
        expect(seen.page.locator(f"[id^=ask-{system}-failover]")).to_be_visible(timeout=SLOW_MS)


def figure(report: Seen, title: str) -> str:
    exactly = re.compile(rf"^{re.escape(title)}$")
    one = report.page.locator(".figures li", has=report.page.locator("span", has_text=exactly))
    return one.locator("b").inner_text()


def test_cut_main_and_fail_over_in_the_browser(tmp_path: Path) -> None:
    with start_lab(tmp_path) as lab, running_daemon(lab, tmp_path / "state") as daemon, browsing() as browser:
        desk = open_page(browser)
        wait_until_well(desk, daemon)
        cut_main(desk, lab)
        expect(desk.page).to_have_title(re.compile(r"^\(4\) "))
        expect(desk.page.locator("#headline")).to_have_text("All 4 key systems are down")
        assert lab.truth("ncts")["writable_sites"] == []

        run_id = approve(desk, "ncts", "Ана Ивановска")
        truth = lab.wait_for("ncts", lambda truth: truth["writable_sites"] == ["dr"])
        expect(desk.page.locator("#facts")).to_contain_text("Ана Ивановска")
        desk.page.get_by_role("link", name="Read the report").click()
        desk.page.wait_for_url(re.compile(r"report\.html$"))
        expect(desk.page.locator("h1")).to_contain_text("succeeded")
        expect(desk.page.locator("body")).to_contain_text("Ана Ивановска")
        measures = {one["name"]: one for one in daemon.api(f"/api/runs/{run_id}/report.json")["measures"]}
        assert figure(desk, measures["rpa_count"]["title"]).split()[0] == str(truth["lost"])
        assert 0 < measures["rta"]["value"] < measures["rta"]["objective"]
        for part in ("rta", "detection", "decision", "machine"):
            assert re.fullmatch(r"[0-9.]+ s", figure(desk, measures[part]["title"]))

        desk.page.goto(daemon.url)
        expect(desk.page.locator("#system-ncts")).to_contain_text("Active at Remote disaster recovery site")
        expect(desk.page.locator("[id^=ask-ncts-failover]")).to_have_count(0)
        assert not desk.complaints

        phone = open_page(browser, PHONE, colours="dark")
        phone.page.goto(daemon.url)
        phone.fits()
        phone.page.locator("#alarms summary").first.click()
        phone.fits()
        approve(phone, "exim", "bojan")
        phone.fits()
        lab.wait_for("exim", lambda truth: truth["writable_sites"] == ["dr"])
        for text in phone.page.locator("summary", has_text="Output").all():
            text.click()
        phone.fits()
        phone.page.get_by_role("link", name="Read the report").click()
        phone.page.wait_for_url(re.compile(r"report\.html$"))
        phone.fits()
        phone.page.goto(f"{daemon.url}/runs")
        phone.fits()
        assert not phone.complaints
        assert not lab.truth("ncts")["ever_double_writable"]


def test_page_says_that_it_is_old_when_the_daemon_dies(tmp_path: Path) -> None:
    with start_lab(tmp_path) as lab, running_daemon(lab, tmp_path / "state") as daemon, browsing() as browser:
        seen = open_page(browser)
        seen.page.goto(daemon.url)
        expect(seen.page.locator("#old")).to_be_hidden()
        daemon.kill()
        expect(seen.page.locator("#old")).to_contain_text(OLD)
        expect(seen.page.locator("#old")).to_be_in_viewport()
