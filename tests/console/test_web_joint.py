"""The page of a joint run: seen first where it waits, decided as a whole, let go on, and its times in the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from web_kit import WebDaemon, web_daemon

from dr.journal.joint import Joint


@pytest.fixture
def daemon() -> Iterator[WebDaemon]:
    with web_daemon() as running:
        yield running


def ask(daemon: WebDaemon, *systems: str) -> Joint:
    joint: Joint = daemon.call(daemon.joints.submit("failover", systems, "ana", "main is <b>dark</b>"))
    return joint


def decide(daemon: WebDaemon, joint: Joint, decision: str, name: str = "bojan", reason: str = "") -> int:
    form = f"decision={decision}&name={name}&reason={reason}&plan_hash={joint.plan_hash}"
    return daemon.ask("POST", f"/joint/{joint.id}/decide", form=form).status


def test_it_is_decided_as_a_whole_and_shows_each_systems_time(daemon: WebDaemon) -> None:
    joint = ask(daemon, "all")
    front = daemon.ask("GET", "/").text
    assert f'href="/joint/{joint.id}"' in front
    assert "One decision waits for you" in front
    page = daemon.ask("GET", f"/joint/{joint.id}").text
    assert f'name="plan_hash" value="{joint.plan_hash}"' in page
    assert "main is &lt;b&gt;dark" in page
    assert page.index('id="member-ncts"') < page.index('id="member-ite"') < page.index('id="member-cdeps"')
    assert decide(daemon, joint, "approve", "ana") == 409
    assert decide(daemon, joint, "approve", "") == 400
    assert decide(daemon, joint, "approve") == 303
    daemon.wait_joint(joint.id, "SUCCEEDED")
    page = daemon.ask("GET", f"/joint/{joint.id}").text
    assert "Recovery time of all of them: <strong>" in page
    assert page.count(">RTA ") == 4
    assert "<form" not in page
    assert f'href="/api/joint-runs/{joint.id}/report.html"' in page
    assert "report of a joint run" in daemon.ask("GET", f"/api/joint-runs/{joint.id}/report.html").text
    run = daemon.orchestrator.run("ncts-failover")
    assert f'href="/joint/{joint.id}"' in daemon.ask("GET", f"/runs/{run.id}").text
    assert joint.id in daemon.ask("GET", "/runs").text
    assert f'href="/joint/{joint.id}"' in daemon.ask("GET", "/").text, "among the latest"


def test_what_is_held_is_said_and_can_be_let_go_on(daemon: WebDaemon) -> None:
    daemon.script.words["promote"] = ["fail"]
    joint = ask(daemon, "ite", "cdeps")
    assert decide(daemon, joint, "approve") == 303
    daemon.wait_joint(joint.id, "IN_PROGRESS", "ite-failover")
    page = daemon.ask("GET", f"/joint/{joint.id}").text
    assert "It stands still: run ite-failover" in page
    assert 'value="go-on:ite"' in page
    assert "Held: ite has not succeeded" in page
    assert "stands still" in daemon.ask("GET", "/").text
    assert decide(daemon, joint, "go-on:ite") == 409, "without a reason"
    assert decide(daemon, joint, "go-on:ite", reason="on+paper") == 303
    daemon.wait_joint(joint.id, "IN_PROGRESS", "ite-failover")
    assert decide(daemon, joint, "cancel", reason="enough") == 303
    daemon.wait_joint(joint.id, "CANCELED")
    assert "bojan let begin what waited for it" in daemon.ask("GET", f"/joint/{joint.id}").text
