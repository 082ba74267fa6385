"""Findings on the pages: listed, followed to their closure by who may, with all that became of each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from web_kit import WebDaemon, web_daemon


@pytest.fixture
def daemon() -> Iterator[WebDaemon]:
    with web_daemon() as running:
        running.call(running.tracker.enter("vera", "ncts", "critical", "the <b>phone list</b> is old"))
        running.call(running.tracker.enter("vera", "ite", "warning", "nobody knew the password"))
        yield running


def page(daemon: WebDaemon, path: str) -> str:
    return daemon.ask("GET", path).text


def says(
    daemon: WebDaemon, decision: str, name: str, text: str = "", number: str = "1", **more: str
) -> tuple[int, str]:
    """Send a person's word; return the status and what is said against it."""
    form = urlencode({"decision": decision, "name": name, "text": text, **more})
    reply = daemon.ask("POST", f"/findings/{number}/decide", form=form)
    against = re.search(r'role="alert">(Not done: [^<]*)', reply.text)
    return reply.status, against.group(1) if against else ""


def test_from_its_entry_to_its_closure_by_somebody_else(daemon: WebDaemon) -> None:
    listed = page(daemon, "/findings")
    assert listed.index("finding 1") < listed.index("finding 2"), "the worst first"
    assert "<b>phone" not in listed
    assert 'href="/findings"' in page(daemon, "/"), "there is a way to it"
    assert 'value="done"' not in page(daemon, "/findings/1"), "nothing is agreed on yet"
    action = {"owner": "boris", "due": "2099-12-10"}
    assert says(daemon, "agree", "ana", "renew it", owner="boris", due="soon")[1].startswith("Not done: &#39;soon&#39;")
    assert says(daemon, "agree", "ana", "renew it", owner="boris", due="9999-12-31")[0] == 409
    assert says(daemon, "agree", "", "renew it", **action) == (
        400,
        "Not done: say who you are: a name is recorded with every decision",
    )
    assert says(daemon, "agree", "ana", "renew it", **action)[0] == 303
    assert "boris is to see to it until" in page(daemon, "/findings")
    assert says(daemon, "close", "ana")[0] == 409
    assert says(daemon, "done", "boris", " ") == (409, "Not done: this needs evidence: where it can be seen")
    assert says(daemon, "done", "boris", "binder 3")[0] == 303
    assert "another person than boris" in says(daemon, "close", "Boris", "looked")[1]
    assert says(daemon, "close", "ana", "looked")[0] == 303
    assert "finding 1" not in page(daemon, "/findings")
    assert "finding 1" in page(daemon, "/findings?everything=true")
    shown = page(daemon, "/findings/1")
    course = ["entered by vera", "agreed by ana: boris is to do it", "done by boris: binder 3", "closed by ana: looked"]
    places = [shown.index(each) for each in course]
    assert places == sorted(places)
    assert 'value="reopen"' in shown
    assert 'value="agree"' not in shown


def test_a_risk_is_taken_with_a_reason_and_what_cannot_be_meant_is_said(daemon: WebDaemon) -> None:
    assert says(daemon, "accept", "ana", number="2") == (409, "Not done: this needs a reason")
    assert says(daemon, "accept", "ana", "replaced in spring", number="2")[0] == 303
    assert says(daemon, "reopen", "ana", "spring is over", number="2")[0] == 303
    assert says(daemon, "burn", "ana", "x", number="2")[1].startswith("Not done: unknown decision &#39;burn&#39;")
    assert daemon.ask("GET", "/findings/9").status == 409
    assert daemon.ask("GET", "/findings/2/decide").status == 303
    for number in ("1", "2"):
        daemon.call(daemon.tracker.accept(number, "ana", "as it is"))
    assert "No finding waits for anybody" in page(daemon, "/findings")
