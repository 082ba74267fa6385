"""`response: automatic` on the lab: what begins without a person, what does not, and that each says why.

The votes contradict one another (a front that hangs at a site that is well); the monitor is cut off itself while a
site is lost; too few vantage points tell; then all that is asked for is there.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
from daemon_kit import RunningDaemon, running_daemon
from estate_kit import REPOSITORY, RunningLab, start_lab

from console.proofs import record
from console.version import VERSION
from dr.actions import ACTIONS
from dr.playbook.read import plans_of, read_playbooks
from dr.proof import Proof, fingerprint
from monitor.inventory.read import read

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]
POINTS = ("front/ncts/main", "vantage/witness", "vantage/tabanovce", "vantage/bogorodica")


def verified(lab: RunningLab, state: Path) -> None:
    """Put on record that the failovers are proven, as `karaula prove` does once it has explored them."""
    estate = read(lab.inventory)
    plans = plans_of(read_playbooks(REPOSITORY / "playbooks")["failover"], estate, ACTIONS)
    state.mkdir()
    now = time.time()
    record(state, [Proof(fingerprint(plan), plan.playbook, plan.system, 2, now, VERSION, 1) for plan in plans], [])


def automatic(lab: RunningLab, *systems: str, quorum: int) -> None:
    """Let alarms of ``systems`` begin a failover by themselves, and those of the others nothing."""
    text = lab.inventory.read_text(encoding="utf-8")
    assert "mode: prepare" in text
    text = re.sub(r"mode: prepare, grace_s: 5", "mode: notify, grace_s: 2", text)
    for system in systems:
        text = re.sub(rf"(system: {system}, playbook: failover, mode: )notify", r"\1automatic", text)
    text = re.sub(r"vote_max_age_s: \d+", "vote_max_age_s: 6", text)
    lab.inventory.write_text(re.sub(r"quorum: \d", f"quorum: {quorum}", text), encoding="utf-8")


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


def test_an_automatic_failover_begins_when_all_agree_and_else_waits_and_says_what_is_missing(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with start_lab(tmp_path) as lab:
        automatic(lab, "ite", "ncts", quorum=4)
        verified(lab, state)
        with running_daemon(lab, state) as daemon:
            daemon.wait("all vantage points", lambda: all(daemon.status(point) == "ok" for point in POINTS))
            contradicted(lab, daemon)
            isolated(lab, daemon)
            incomplete(lab, daemon)
            agreed(lab, daemon)


def contradicted(lab: RunningLab, daemon: RunningDaemon) -> None:
    """The front of ITE hangs, the site is well, and its posts reach it."""
    lab.fault("hang-front", "ite/main")
    run = of(daemon, "ite", "WAITING")
    assert words(run) == {"this-daemon": "down", "witness": "down", "tabanovce": "up", "bogorodica": "up"}
    assert said(run, "quorum")[0] == "contradicted"
    assert "it answers, says tabanovce" in said(run, "quorum")[1]
    assert said(run, "approval")[0] == "not-by-itself"
    page = daemon.wait("people to be paged", lambda: paged(daemon, run))
    assert f"{run['id']} waits for a person" in page
    assert "it answers, says tabanovce" in page
    shown = daemon.karaula("run", "show", run["id"])
    assert re.search(r"^tabanovce +up +site/main ", shown, re.MULTILINE)
    assert "was to begin by itself and does not" in shown
    daemon.karaula("run", "deny", run["id"], "--reason", "its front alone hangs", user="ana")
    assert "its router reaches main by session 1" in daemon.api(f"/api/runs/{run['id']}/report.html")
    daemon.wait("nobody to be paged any more", lambda: not paged(daemon, run))


def isolated(lab: RunningLab, daemon: RunningDaemon) -> None:
    """The site is lost while the monitor sees nothing at all: nothing is asked for, and it says why."""
    lab.fault("lie-observer", "witness", word="unknown")
    daemon.wait("its word", lambda: daemon.api("/api/status/vantage/witness")["facts"]["ncts/main"] == "unknown")
    lab.fault("cut-monitor", "monitor")
    lab.fault("cut-site", "main")
    daemon.wait("it to call itself isolated", lambda: ("isolated", "karaula/uplink") in daemon.alarms())
    daemon.wait("NCTS to be unknown", lambda: daemon.status("system/ncts") == "unknown")
    assert [run["system"] for run in daemon.api("/api/runs")] == ["ite"]
    plan = daemon.api("/api/plans", {"playbook": "failover", "system": "ncts"})
    assert any("cut off" in verdict["sentence"] for verdict in plan["guards"] if verdict["guard"] == "isolated")
    lab.clear("cut-monitor", "monitor")


def incomplete(lab: RunningLab, daemon: RunningDaemon) -> None:
    """The monitor sees again that the site is lost, and one of those who must say so cannot tell."""
    run = of(daemon, "ncts", "WAITING")
    assert words(run) == {"this-daemon": "down", "witness": "unknown", "tabanovce": "down", "bogorodica": "down"}
    assert said(run, "quorum")[0] == "no-quorum"
    assert "witness cannot tell" in said(run, "quorum")[1]
    assert "witness cannot tell" in daemon.wait("people to be paged", lambda: paged(daemon, run))
    assert lab.effects("ncts", "promote") == []
    lab.clear("lie-observer", "witness")


def agreed(lab: RunningLab, daemon: RunningDaemon) -> None:
    """The same site, the same alarm: what another system's response asks for begins, ends, and nobody was asked."""
    automatic_now = lab.inventory.read_text(encoding="utf-8").replace("quorum: 4", "quorum: 3")
    lab.inventory.write_text(
        re.sub(r"(system: exim, playbook: failover, mode: )notify", r"\1automatic", automatic_now), encoding="utf-8"
    )
    daemon.karaula("reload", user="vera")
    run = daemon.wait_run(of(daemon, "exim")["id"])
    assert run["state"] == "SUCCEEDED", run["end_reason"]
    assert (run["approved_by"], run["requester"]) == ("", "karaula")
    assert "it began by itself" in daemon.karaula("run", "show", run["id"])
    assert [said(run, guard)[0] for guard in ("quorum", "approval")] == ["quorum", "automatic"]
    truth = lab.wait_for("exim", lambda truth: truth["writable_sites"] == ["dr"])
    assert not truth["ever_double_writable"]
    report = daemon.karaula("run", "report", run["id"])
    assert "it began by itself, with a quorum; nobody was asked" in report
    assert any(
        f"{run['id']} runs without an approval" in one["reason"] for one in daemon.api("/api/alarms?history=true")
    )
    # What became true too late starts nothing: a person was asked about NCTS, and decides.
    assert of(daemon, "ncts")["state"] == "WAITING"
    assert lab.effects("ncts", "promote") == []
