"""Pause, answer and undo by the command line, and the question on the run's page."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from cli_kit import PATIENCE_S, DeskDaemon, desk_daemon, without_times
from web_kit import WebDaemon, web_daemon

from dr.engine.orchestrator import Orchestrator, Request
from dr.engine.telling import questions
from dr.journal.run import Run


@pytest.fixture
def daemon() -> Iterator[DeskDaemon]:
    with desk_daemon() as running:
        yield running


@pytest.fixture
def pages() -> Iterator[WebDaemon]:
    with web_daemon() as running:
        yield running


def asked(daemon: DeskDaemon) -> Run:
    run: Run = daemon.call(daemon.orchestrator.submit(Request("asking", "ncts", "ana")))
    daemon.call(until_asked(daemon.orchestrator, run.id))
    return run


async def until_asked(orchestrator: Orchestrator, run_id: str) -> None:
    changed = asyncio.Event()
    leave = orchestrator.subscribe(lambda _run, _events: changed.set())
    while not questions(orchestrator.run(run_id)):
        await asyncio.wait_for(changed.wait(), PATIENCE_S)
        changed.clear()
    leave()


def test_a_question_is_shown_with_the_commands_that_answer_it(daemon: DeskDaemon) -> None:
    run = asked(daemon)
    text = without_times(daemon.karaula("run", "show", run.id).stdout)
    assert "asks: Is ncts quiet? (yes or no; SPAN left, then it is refused)" in text
    assert "karaula run answer ncts-asking-ID yes --step ready" in text
    wrong = daemon.karaula("run", "answer", run.id, "maybe")
    assert (wrong.exit_code, wrong.stderr) == (2, "'maybe' is no answer to 'ready'; answer one of: yes, no\n")
    result = daemon.karaula("run", "answer", run.id, "yes", "--reason", "I looked", name="vera")
    assert result.exit_code == 0, result.output
    report = daemon.json("run", "report", run.id)["report"]
    assert [(one["by"], one["what"]) for one in report["people"]] == [
        ("vera", "answered 'yes' to the question of step 'ready'")
    ]


def test_a_run_is_paused_and_a_hand_over_taken_back(daemon: DeskDaemon) -> None:
    daemon.script.words["fence"] = ["hold"]
    run = daemon.json("failover", "ncts", "--no-wait")["run"]["id"]
    daemon.json("run", "approve", run, "--yes", "--no-wait", name="bojan")
    assert "run PAUSED: wait [socket" in daemon.karaula("run", "pause", run, "--reason", "wait").stdout
    daemon.script.released.set()
    refused = daemon.karaula("run", "undo", run, name="bojan")
    assert refused.exit_code == 3
    assert "step 'fence' has begun to hand over" in refused.stderr
    assert daemon.karaula("run", "resume", run, name="bojan").exit_code == 0


def test_the_page_asks_and_takes_the_answer(pages: WebDaemon) -> None:
    run = asked(pages)
    page = pages.ask("GET", f"/runs/{run.id}").text
    assert "Is ncts quiet?" in page
    assert 'value="answer:ready:yes"' in page
    assert "Verify of NCTS asks" in pages.ask("GET", "/").text
    form = "decision=answer:ready:yes&name=vera&reason="
    assert pages.ask("POST", f"/runs/{run.id}/decide", form=form).status == 303
    pages.wait_state(run.id, "SUCCEEDED")
    assert "<form" not in pages.ask("GET", f"/runs/{run.id}").text


def test_what_a_person_wishes_is_in_the_plan_and_what_cannot_be_is_said(daemon: DeskDaemon) -> None:
    text = daemon.karaula("plan", "failover", "ncts", "--forced").stdout
    assert "forced: main is taken for lost; left out there: nothing had to be" in text
    run = daemon.json("failover", "ncts", "--forced", "--no-wait")["run"]
    assert run["wish"].startswith("forced: main is taken for lost")
    for words, says in (
        (("failover", "ncts", "--set", "x=1"), "unknown parameter 'x'; there are: none\n"),
        (("plan", "drill", "ncts", "--forced"), "only a failover can be forced; 'drill' is a verify\n"),
    ):
        wrong = daemon.karaula(*words)
        assert (wrong.exit_code, wrong.stderr) == (2, says)


def test_tokens_are_shown_and_none_is_drawn(daemon: DeskDaemon) -> None:
    daemon.karaula("drill", "ncts")
    daemon.karaula("drill", "ncts")
    before = daemon.json("tokens")["tokens"]
    (mine,) = [one for one in before if one["system"] == "ncts"]
    assert mine == {"system": "ncts", "handed_out": 2, "seen": 0, "next": 3}
    assert daemon.json("tokens")["tokens"] == before
    told = daemon.karaula("tokens").stdout.splitlines()
    assert ["ncts", "2", "none", "3"] in [line.split() for line in told]
    assert ["ite", "none", "none", "3"] in [line.split() for line in told]
