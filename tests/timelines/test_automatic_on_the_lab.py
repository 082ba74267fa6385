"""`response: automatic` on the lab: what begins without a person, what does not, and that each says why.

A site is lost. First one vantage point cannot tell, then it contradicts, then all agree: three systems, three
responses. That a monitor which is cut off itself begins nothing is in ``test_cut_off_on_the_lab``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from automatic_kit import automatic, verified
from daemon_kit import RunningDaemon, running_daemon
from estate_kit import RunningLab, start_lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]
POINTS = ("front/ncts/main", "vantage/witness", "vantage/tabanovce", "vantage/bogorodica")


def of(daemon: RunningDaemon, system: str, state: str = "") -> dict[str, Any]:
    """Return the system's only run, once there is one (in ``state``)."""

    def found() -> list[dict[str, Any]]:
        runs = [run for run in daemon.api("/api/runs") if run["system"] == system]
        return runs if runs and (not state or runs[0]["state"] == state) else []

    (run,) = daemon.wait(f"a run of {system} {state}", found)
    return daemon.run(run["id"])


def paged(daemon: RunningDaemon, run: dict[str, Any], *, ever: bool = False) -> str:
    """Return what people are (or were ever) paged with about a run that was to begin by itself; empty: nothing."""
    alarms = daemon.api("/api/alarms?history=true" if ever else "/api/alarms")
    place = ("automatic-failover", f"karaula/{run['id']}")
    return "".join(one["reason"] for one in alarms if (one["name"], one["subject"]) == place)


def said(run: dict[str, Any], guard: str) -> tuple[str, str]:
    """Return the reason that the guard gave last, and its sentence."""
    newest = [note for note in run["guards"] if note["guard"] == guard][-1]
    return newest["reason"], newest["sentence"]


def words(run: dict[str, Any]) -> dict[str, str]:
    return {vote["point"]: vote["word"] for vote in run["votes"]}


def witness_says(lab: RunningLab, daemon: RunningDaemon, word: str) -> None:
    lab.fault("lie-observer", "witness", word=word)
    daemon.wait("its word", lambda: daemon.api("/api/status/vantage/witness").get("facts", {}).get("ncts/main") == word)


def test_an_automatic_failover_begins_when_all_agree_and_else_waits_and_says_what_is_missing(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with start_lab(tmp_path) as lab:
        automatic(lab, "ncts", quorum=4)
        verified(lab, state)
        with running_daemon(lab, state) as daemon:
            daemon.wait("all vantage points", lambda: all(daemon.status(point) == "ok" for point in POINTS))
            incomplete(lab, daemon)
            contradicted(lab, daemon)
            agreed(lab, daemon)


def incomplete(lab: RunningLab, daemon: RunningDaemon) -> None:
    """One of those who must say that the site is lost cannot tell."""
    witness_says(lab, daemon, "unknown")
    lab.fault("cut-site", "main")
    run = of(daemon, "ncts", "WAITING")
    assert words(run) == {"this-daemon": "down", "witness": "unknown", "tabanovce": "down", "bogorodica": "down"}
    assert said(run, "quorum")[0] == "no-quorum"
    assert said(run, "approval")[0] == "not-by-itself"
    page = daemon.wait("people to be paged", lambda: paged(daemon, run))
    assert f"{run['id']} waits for a person" in page
    assert "witness cannot tell" in page
    shown = daemon.karaula("run", "show", run["id"])
    assert "it was to begin by itself and has not" in shown
    assert re.search(r"^tabanovce +down +site/main ", shown, re.MULTILINE)
    assert lab.effects("ncts", "promote") == []


def contradicted(lab: RunningLab, daemon: RunningDaemon) -> None:
    """One says that the site answers; a person who knows more may approve, and that is told no longer."""
    witness_says(lab, daemon, "up")
    automatic(lab, "ite")
    daemon.karaula("reload", user="vera")
    run = of(daemon, "ite", "WAITING")
    assert words(run)["witness"] == "up"
    assert said(run, "quorum")[0] == "contradicted"
    assert "it answers, says witness" in daemon.wait("people to be paged", lambda: paged(daemon, run))
    assert "it answers, says witness" in daemon.api(f"/api/runs/{run['id']}/report.html")
    assert lab.effects("ite", "promote") == []


def agreed(lab: RunningLab, daemon: RunningDaemon) -> None:
    """All say so: what the response asks for begins, ends, and nobody was asked."""
    lab.clear("lie-observer", "witness")
    daemon.wait("its word", lambda: daemon.api("/api/status/vantage/witness")["facts"].get("exim/main") == "down")
    automatic(lab, "exim", quorum=3)
    daemon.karaula("reload", user="vera")
    run = daemon.wait_run(of(daemon, "exim")["id"])
    assert run["state"] == "SUCCEEDED", run["end_reason"]
    assert (run["approved_by"], run["requester"]) == ("", "karaula")
    assert [said(run, guard)[0] for guard in ("quorum", "approval")] == ["quorum", "automatic"]
    truth = lab.wait_for("exim", lambda truth: truth["writable_sites"] == ["dr"])
    assert not truth["ever_double_writable"]
    assert "it began by itself, with a quorum; nobody was asked" in daemon.karaula("run", "report", run["id"])
    assert f"{run['id']} runs without an approval" in paged(daemon, run, ever=True), (
        "and is told beside those that wait"
    )
    # What became true too late starts nothing: people were asked about the others, and decide.
    for system in ("ncts", "ite"):
        assert of(daemon, system)["state"] == "WAITING"
        assert lab.effects(system, "promote") == []
    waiting = of(daemon, "ncts")
    daemon.karaula("run", "deny", waiting["id"], "--reason", "main is coming back", user="ana")
    daemon.wait("nobody to be paged any more", lambda: not paged(daemon, waiting))
