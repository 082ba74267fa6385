"""The page of what a waiting run would meet now: it looks once, changes nothing, and leads back to the decision."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from web_kit import WebDaemon, web_daemon

from console.web.ahead import BADGES, headline
from dr.engine.ahead import Met


@pytest.fixture
def daemon() -> Iterator[WebDaemon]:
    with web_daemon() as running:
        yield running


def test_who_decides_can_look_first(daemon: WebDaemon) -> None:
    run_id = daemon.prepared()
    assert f'href="/runs/{run_id}/now"' in daemon.ask("GET", f"/runs/{run_id}").text
    daemon.script.blind.add("fence")
    page = daemon.ask("GET", f"/runs/{run_id}/now").text
    said = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    assert "2 of 3 steps could be asked: 1 not known. Nothing was changed." in said
    assert "fence fence at main not known Cut the power of the old side nobody answers" in said
    assert "promote promote at dr to be done" in said
    assert "service http_check at dr not asked" in said
    assert not daemon.script.done
    assert daemon.orchestrator.run(run_id).state.value == "WAITING"
    assert re.findall(r'data-self="([^"]*)"', page) == [f"/runs/{run_id}"], "renewing it would ask the world each time"
    assert "refresh" not in re.findall(r"<noscript>.*?</noscript>", page)


def test_a_page_of_another_origin_has_nobody_asked(daemon: WebDaemon) -> None:
    run_id = daemon.prepared()
    reply = daemon.ask("GET", f"/runs/{run_id}/now", Sec_Fetch_Site="cross-site")
    assert (reply.status, reply.headers["location"]) == (303, f"/runs/{run_id}")
    assert daemon.ask("GET", f"/runs/{run_id}/now", Sec_Fetch_Site="same-origin").status == 200


def test_of_a_run_that_has_begun_its_own_page_tells(daemon: WebDaemon) -> None:
    run_id = daemon.prepared("drill")
    daemon.wait_state(run_id, "SUCCEEDED")
    reply = daemon.ask("GET", f"/runs/{run_id}/now")
    assert (reply.status, reply.headers["location"]) == (303, f"/runs/{run_id}")
    assert daemon.ask("GET", "/runs/ncts-nope/now").status == 404


def test_every_word_has_a_badge_and_the_headline_counts() -> None:
    assert BADGES.keys() == set(Met)
    assert headline([Met.HOLDS, Met.TO_DO]) == "2 of 2 steps could be asked, and nothing is in the way"
    assert headline([Met.IN_THE_WAY, Met.NOT_ASKED]) == "1 of 2 steps could be asked: 1 in the way"
