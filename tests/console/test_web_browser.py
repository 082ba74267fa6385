"""The pages in Debian's Chromium: readable in the dark and on a phone, hard to mishandle, true without a reload."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from urllib.parse import urlencode

import pytest
from browser_kit import DESKTOP, PHONE, Seen, browsing, open_page
from playwright.sync_api import Browser, expect
from web_kit import WebDaemon, web_daemon

from dr.engine.orchestrator import Request
from dr.journal.override import FENCING
from monitor.inventory.recovery import Condition, SafetyRule
from monitor.status.alarm import Alarm
from monitor.status.state import Health

pytestmark = pytest.mark.browser
LEAST_CONTRAST = 4.5  # WCAG 2.2, 1.4.3
LEAST_TARGET_PX = {PHONE: 44, DESKTOP: 24}  # WCAG 2.2, 2.5.5 and 2.5.8
LONG = "a-word-without-any-place-to-break-it" * 12
CONTRASTS = """() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (c) => { const [r, g, b] = c.slice(0, 3).map((v) => v / 255)
    .map((v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
  const ground = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
    if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
  const found = [];
  for (const e of document.querySelectorAll("body *")) {
    const own = Array.from(e.childNodes).some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || !e.getClientRects().length) continue;
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
    found.push([(a + .05) / (b + .05), e.outerHTML.slice(0, 80)]);
  }
  return found.sort((x, y) => x[0] - y[0]);
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as started:
        yield started


@pytest.fixture
def daemon() -> Iterator[WebDaemon]:
    with web_daemon() as running:
        yield running


def trouble(daemon: WebDaemon) -> tuple[str, str]:
    """Make an estate with something of everything; return a waiting and a paused run."""
    now = daemon.clock.now()
    daemon.script.words["promote"] = ["lost"]
    daemon.script.blind.add("promote")
    paused = daemon.prepared()
    assert daemon.ask("POST", f"/runs/{paused}/decide", form="decision=approve&name=ana").status == 303
    daemon.wait_state(paused, "PAUSED")
    asked = Request("failover", "ite", "karaula", f"main is lost {LONG}", "alarm", "a", now - 60, now - 50)
    waiting = daemon.call(daemon.orchestrator.submit(asked)).id
    daemon.watch.set("system/ncts", Health.DOWN, LONG)
    daemon.watch.set("system/ite", Health.UNKNOWN, "no answer")
    daemon.watch.set("system/exim", Health.DEGRADED, "no standby", "main")
    daemon.watch.set("crossing/blace", Health.DEGRADED, "", "redundancy-lost")
    daemon.watch.set("link/blace/backup", Health.DOWN, LONG)
    daemon.watch.set("sensor/main-dust", Health.DEGRADED, LONG)
    daemon.watch.set("sensor/main-smoke", Health.UNKNOWN, LONG, "sensor-fault")
    daemon.watch.set("host/vault-dr", Health.DOWN, LONG)
    daemon.watch.set("vm/vc-main/ncts-db-1", Health.DEGRADED, LONG)
    daemon.watch.standing = [
        Alarm("four", "sensor-fault", "sensor/main-smoke", "warning", now - 50, LONG, None, "site-down site/main"),
        Alarm("one", "site-down", "site/main", "critical", now - 60, LONG),
        Alarm("two", "host-down", "host/vault-dr", "warning", now - 50, LONG, None, "site-down site/main"),
        Alarm("three", "link-down", "link/blace/backup", "warning", now - 50, LONG),
    ]
    daemon.call(daemon.tracker.enter("vera", "ite", "critical", LONG))
    given = urlencode({"decision": "give", "rule": f"ite {FENCING}", "name": "vera", "reason": LONG})
    assert daemon.ask("POST", "/overrides/decide", form=given).status == 303
    daemon.broken.append(f"the journal cannot be written {LONG}")
    world, well = daemon.orchestrator.world, Condition(subject="site/dr", status="ok")
    rules = {"a-rule-whose-name-is-longer-than-a-phone": SafetyRule(reason=LONG, only_while=(well,))}
    inventory = world.inventory.model_copy(update={"safety": rules})
    daemon.orchestrator.reload(replace(world, inventory=inventory), daemon.orchestrator.rules)
    return waiting, paused


@pytest.mark.parametrize(("size", "colours"), list(product((DESKTOP, PHONE), ("light", "dark"))))
def test_everything_fits_and_can_be_read(
    browser: Browser, daemon: WebDaemon, size: tuple[int, int], colours: str
) -> None:
    waiting, paused = trouble(daemon)
    seen = open_page(browser, size, colours=colours)  # type: ignore[arg-type]  # one of two words
    for path in (
        "/",
        "/runs",
        f"/runs/{waiting}",
        f"/runs/{paused}",
        "/readiness",
        "/overrides",
        "/findings",
        "/findings/1",
        "/nowhere",
    ):
        seen.page.goto(daemon.url + path)
        for summary in seen.page.locator("summary").all():
            summary.click()
        seen.fits()
        assert seen.page.evaluate("innerWidth") == size[0], f"{path}: a phone shows it smaller, for it is too wide"
        tables = seen.page.evaluate("[...document.querySelectorAll('.wide')].map(e => e.scrollWidth - e.clientWidth)")
        assert not any(tables), f"{path}: a table must be pushed to and fro: {tables}"
        contrast, where = seen.page.evaluate(CONTRASTS)[0]
        assert contrast >= LEAST_CONTRAST, f"{path}: {contrast:.2f} at {where}"
        for box in seen.page.locator("button:visible, a.button:visible, input:visible, nav a, summary:visible").all():
            found = box.bounding_box()
            assert found is not None
            assert found["height"] >= LEAST_TARGET_PX[size], box.inner_text()
        for choice in seen.page.locator("select:visible").all():
            inside, around = choice.bounding_box(), choice.locator("xpath=ancestor::form").bounding_box()
            assert inside is not None
            assert around is not None
            assert inside["x"] + inside["width"] <= around["x"] + around["width"] + 1, f"{path}: it leaves its box"
        for field in seen.page.locator("input:visible").all():
            assert float(field.evaluate("e => parseFloat(getComputedStyle(e).fontSize)")) >= 16, "iOS zooms in on focus"
    assert [text for text in seen.complaints if "404" not in text] == []


def test_enter_in_a_field_decides_nothing(browser: Browser, daemon: WebDaemon) -> None:
    run_id = daemon.prepared()
    seen = open_page(browser)
    seen.page.goto(f"{daemon.url}/runs/{run_id}")
    seen.page.get_by_label("Your name").fill("ana")
    seen.page.get_by_label("Your name").press("Enter")
    seen.page.get_by_label("Remark").press("Enter")
    expect(seen.page.get_by_role("button", name="Approve the failover")).to_be_visible()
    assert daemon.orchestrator.run(run_id).state.value == "WAITING"
    assert seen.page.url.endswith(run_id)


def test_approve_without_a_name_is_not_sent(browser: Browser, daemon: WebDaemon) -> None:
    run_id = daemon.prepared()
    seen = open_page(browser)
    seen.page.goto(f"{daemon.url}/runs/{run_id}")
    seen.page.get_by_role("button", name="Approve the failover").click()
    expect(seen.page.get_by_label("Your name")).to_be_focused()
    assert seen.page.url.endswith(run_id)


def test_the_focus_can_be_seen(browser: Browser, daemon: WebDaemon) -> None:
    run_id = daemon.prepared()
    seen = open_page(browser)
    seen.page.goto(f"{daemon.url}/runs/{run_id}")
    for _ in range(8):
        seen.page.keyboard.press("Tab")
        width = seen.page.evaluate("parseFloat(getComputedStyle(document.activeElement).outlineWidth)")
        assert width >= 2, seen.page.evaluate("document.activeElement.outerHTML")


def test_typing_focus_and_open_details_outlive_renewals(browser: Browser, daemon: WebDaemon) -> None:
    waiting, _ = trouble(daemon)
    seen = open_page(browser)
    seen.page.goto(f"{daemon.url}/runs/{waiting}")
    name = seen.page.get_by_label("Your name")
    name.press_sequentially("bo")
    seen.page.locator("#guards summary").click()
    name.focus()
    renewed(seen)
    seen.page.keyboard.type("jan")
    expect(name).to_have_value("bojan")
    expect(seen.page.locator("#guards-said li").first).to_be_visible()

    seen.page.goto(daemon.url)
    seen.page.locator("#alarms summary").click()
    link = seen.page.locator("#runs a.button").last
    link.focus()
    daemon.watch.standing = [Alarm("new", "site-down", "site/dr", "critical", 1.0, "first"), *daemon.watch.standing]
    expect(seen.page.locator("#alarm-new")).to_be_visible()
    expect(seen.page.locator("#alarm-two")).to_be_visible()
    expect(link).to_be_focused()
    assert not seen.complaints


def renewed(seen: Seen, times: int = 2) -> None:
    """Wait until the page has renewed itself that often."""
    for _ in range(times):
        before = seen.page.locator("#when").inner_text()
        expect(seen.page.locator("#when")).not_to_have_text(before)


def test_a_run_is_watched_live_from_beginning_to_end(browser: Browser, daemon: WebDaemon) -> None:
    daemon.script.words["copy"] = ["hold"]
    run_id = daemon.prepared("drill")
    seen = open_page(browser)
    seen.page.goto(f"{daemon.url}/runs/{run_id}")
    expect(seen.page.locator("#step-copy .badge")).to_have_text("in progress")
    expect(seen.page).to_have_title(re.compile("in progress"))
    seen.page.evaluate("document.title = 'kept'; window.notReloaded = true")
    daemon.script.released.set()
    expect(seen.page.locator("#head .badge")).to_have_text("succeeded")
    expect(seen.page).to_have_title(re.compile("succeeded"))
    seen.page.locator("#output-ask summary").click()
    expect(seen.page.locator("#output-ask pre")).to_contain_text("ask on its way")
    assert seen.page.evaluate("window.notReloaded")
    expect(seen.page.locator("[data-stream]")).to_have_count(0)
    assert daemon.front.app.state.streams.open == 0
    assert not seen.complaints


def test_lines_are_shown_while_a_step_prints_them(browser: Browser, daemon: WebDaemon) -> None:
    daemon.script.words["copy"] = ["hold"]
    run_id = daemon.prepared("drill")
    seen = open_page(browser)
    seen.page.goto(f"{daemon.url}/runs/{run_id}")
    expect(seen.page.locator("#step-copy .badge")).to_have_text("in progress")
    seen.page.wait_for_function("stream && stream.readyState === EventSource.OPEN")
    for line in ("<b>bold</b>", "second"):
        daemon.hear(run_id, "copy", line)
    expect(seen.page.locator("#step-copy pre")).to_have_text("<b>bold</b>\nsecond\n")
    renewed(seen, 1)
    expect(seen.page.locator("#step-copy pre")).to_have_text("<b>bold</b>\nsecond\n")


def test_the_answer_to_a_refused_decision_goes_on_being_true(browser: Browser, daemon: WebDaemon) -> None:
    run_id = daemon.prepared()
    seen = open_page(browser)
    seen.page.goto(f"{daemon.url}/runs/{run_id}")
    seen.page.get_by_label("Your name").fill("karaula")
    seen.page.get_by_role("button", name="Approve the failover").click()
    expect(seen.page.get_by_role("alert").filter(has_text="Not done")).to_contain_text("cannot be a person's name")
    renewed(seen)
    expect(seen.page.locator("#old")).to_be_hidden()
    seen.page.get_by_label("Your name").fill("ana")
    seen.page.get_by_role("button", name="Refuse").click()
    expect(seen.page.locator("#head .badge")).to_have_text("canceled")


def test_everything_works_without_javascript(browser: Browser, daemon: WebDaemon) -> None:
    run_id = daemon.prepared()
    seen = open_page(browser, PHONE, script=False)
    seen.page.goto(daemon.url)
    seen.page.locator(f"#ask-{run_id} a.button").click()
    seen.page.get_by_label("Your name").fill("ana")
    seen.page.get_by_role("button", name="Approve the failover").click()
    daemon.wait_state(run_id, "SUCCEEDED")
    seen.page.goto(f"{daemon.url}/runs/{run_id}")
    expect(seen.page.locator("#head .badge")).to_have_text("succeeded")
    seen.page.get_by_role("link", name="Read the report").click()
    expect(seen.page.locator("h1")).to_contain_text("succeeded")


def test_hostile_output_does_not_run(browser: Browser, daemon: WebDaemon) -> None:
    hostile = "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script>"
    run_id = daemon.prepared(reason=hostile)
    daemon.watch.set("system/ncts", Health.DOWN, hostile)
    seen = open_page(browser)
    for path in ("/", f"/runs/{run_id}", f"/api/runs/{run_id}/report.html"):
        seen.page.goto(daemon.url + path)
        expect(seen.page.locator("body")).to_contain_text("onerror=")
        assert seen.page.evaluate("window.hacked") is None
    assert not seen.complaints


def test_the_page_is_shown_to_be_old_until_the_daemon_is_back(browser: Browser, daemon: WebDaemon) -> None:
    seen = open_page(browser)
    seen.page.goto(daemon.url)
    broken = {"now": True}
    seen.page.route("**/*", lambda route: route.abort() if broken["now"] else route.continue_())
    expect(seen.page.locator("#old")).to_contain_text("What you see is old")
    broken["now"] = False
    expect(seen.page.locator("#old")).to_be_hidden()
