"""Overrides on the pages: seen on the runs that they concern, given, agreed to and taken back, by who may."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from web_kit import WebDaemon, web_daemon

from console.terminal.next_steps import choices
from dr.engine.orchestrator import Request
from dr.journal.override import FENCING


@pytest.fixture
def daemon() -> Iterator[WebDaemon]:
    with web_daemon() as running:
        yield running


def decide(daemon: WebDaemon, decision: str, **fields: str) -> int:
    return daemon.ask("POST", "/overrides/decide", form=urlencode({"decision": decision, **fields})).status


def page(daemon: WebDaemon, path: str) -> str:
    return daemon.ask("GET", path).text


def test_a_fence_is_overridden_from_the_page_of_its_run_by_two_people(daemon: WebDaemon) -> None:
    run_id = daemon.prepared()
    form = f"/overrides?run={run_id}"
    assert f'href="{form}"' in page(daemon, f"/runs/{run_id}")
    before = page(daemon, form)
    assert f'<option value="ncts {FENCING}">' in before
    assert "for ITE" not in before
    assert "confirm:" not in before
    given = {"run": run_id, "rule": f"ncts {FENCING}", "minutes": "30"}
    assert decide(daemon, "give", **given, reason="I stand beside the cold rack") == 400  # without a name
    assert decide(daemon, "give", **given, name="vera") == 409  # without a reason
    assert decide(daemon, "give", **given, name="vera", reason="I stand <b>beside</b> the rack") == 303
    assert not daemon.orchestrator.standing.in_force()
    shown = page(daemon, f"/runs/{run_id}")
    assert "I stand &lt;b&gt;beside" in shown
    assert "waits for a second person" in shown
    assert 'value="confirm:override/1"' in page(daemon, form)
    refused = daemon.ask(
        "POST", "/overrides/decide", form=urlencode({"decision": "confirm:override/1", "run": run_id, "name": "Vera"})
    )
    assert (refused.status, "somebody else must confirm it" in refused.text) == (409, True)
    assert decide(daemon, "confirm:override/1", run=run_id, name="boris") == 303
    (made,) = daemon.orchestrator.standing.in_force()
    assert (made.by, made.confirmed_by, made.rule, made.system) == ("vera", "boris", FENCING, "ncts")
    shown = page(daemon, f"/runs/{run_id}")
    assert "second person boris" in shown
    assert "in force</span>" in shown
    assert "confirm:" not in page(daemon, form)
    assert 'href="/overrides"' in page(daemon, "/")
    assert decide(daemon, "end:override/1", run=run_id, name="vera") == 303
    assert not daemon.orchestrator.standing.in_force()
    assert "ended by vera" in page(daemon, f"/runs/{run_id}"), "it concerned this run"
    assert "<b>beside" not in page(daemon, f"/api/runs/{run_id}/report.html")
    assert "ended by vera" in page(daemon, f"/api/runs/{run_id}/report.html")


def test_who_asked_for_the_run_cannot_agree_to_what_would_not_count_for_it(daemon: WebDaemon) -> None:
    run = daemon.call(daemon.orchestrator.submit(Request("failover", "ncts", "ana", "main is dark", "person", "")))
    assert decide(daemon, "give", rule=f"ncts {FENCING}", name="vera", reason="seen with my eyes") == 303
    form = urlencode({"decision": "confirm:override/1", "name": "Ana"})
    refused = daemon.ask("POST", "/overrides/decide", form=form)
    assert (refused.status, f"Ana asked for {run.id}, and cannot be the second" in refused.text) == (409, True)
    assert decide(daemon, "confirm:override/1", name="boris") == 303


def test_each_step_past_a_fence_without_proof_is_said_when_its_turn_has_come() -> None:
    step = {"id": "fence-old", "state": "FAILED", "effects": [["system/ncts/main", "fence", "on"]]}
    run: Any = {"id": "r", "system": "ncts", "requester": "ana", "state": "PAUSED", "questions": [], "guards": []}
    run |= {"steps": [step], "decisions": [("fence-old", "retry"), ("fence-old", "ignore")], "undo_refused": "x"}
    asked: Any = {"id": "7", "rule": FENCING, "by": "vera", "confirmed_by": "", "in_force": False}
    agreed = {**asked, "confirmed_by": "boris", "in_force": True}
    useless = {**agreed, "id": "6", "confirmed_by": "Ana"}

    def second(*overrides: Any) -> str:
        return choices(run, overrides)[1].command

    assert second() == "karaula override fencing ncts --for 30m --reason …"
    assert second(asked) == "karaula override --confirm 7 --as NAME"
    assert "another person than vera and ana" in choices(run, [asked])[1].effect
    assert second(useless) == "karaula override fencing ncts --for 30m --reason …", "it does not count"
    assert second(useless, agreed) == "karaula run ignore r fence-old --reason …"


def test_what_stands_is_on_a_page_of_its_own_and_of_other_systems_on_no_run(daemon: WebDaemon) -> None:
    run_id = daemon.prepared()
    assert "Every rule is in force" in page(daemon, "/overrides")
    assert decide(daemon, "give", rule="ite blackout", minutes="60", name="vera", reason="the vendor is here") == 303
    shown = page(daemon, "/overrides")
    assert "the vendor is here" in shown
    assert "one person may" in shown
    assert "the vendor is here" not in page(daemon, f"/runs/{run_id}")
    refused = daemon.ask("POST", "/overrides/decide", form=urlencode({"decision": "end:override/9", "name": "vera"}))
    assert (refused.status, "Not done: no override" in refused.text) == (409, True)
    assert decide(daemon, "burn", name="vera") == 409
    assert decide(daemon, "give", rule="ite nothing", name="vera", reason="x") == 409
    assert decide(daemon, "end:override/1", name="vera") == 303
    assert "Every rule is in force" in page(daemon, "/overrides")


def test_a_joint_run_shows_what_is_overridden_for_its_systems(daemon: WebDaemon) -> None:
    joint = daemon.call(daemon.joints.submit("failover", ["ite", "cdeps"], "ana", "main is dark"))
    assert decide(daemon, "give", rule=f"ite {FENCING}", name="vera", reason="seen with my eyes") == 303
    assert decide(daemon, "give", rule=f"exim {FENCING}", name="vera", reason="another system") == 303
    shown = page(daemon, f"/joint/{joint.id}")
    assert "seen with my eyes" in shown
    assert "another system" not in shown
