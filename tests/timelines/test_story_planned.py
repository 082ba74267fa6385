"""A planned day on the lab: switchover and failback; then failover, reprotect, and home. Held against the truth."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from daemon_kit import RunningDaemon, running_daemon, unwrapped
from estate_kit import RunningLab, start_lab

from monitor.clients.http import HttpClient
from monitor.clients.redfish import RedfishClient
from monitor.clients.vsphere import VcenterSession
from monitor.clock import RealClock
from monitor.credential import Credentials
from monitor.inventory.equipment import PowerController

pytestmark = pytest.mark.lab
LONG_S = 60.0
AT_HOME = {  # what runs have set once a failback is over
    "active": "main",
    "traffic": "main",
    "role main": "primary",
    "role dr": "standby",
    "fence main": "off",
    "fence dr": "off",
    "power main": "on",
    "power dr": "on",
}


def done(daemon: RunningDaemon, playbook: str) -> dict[str, dict[str, Any]]:
    """Let bojan ask for it and ana approve; return what its report measured."""
    words = (playbook, "ncts", "--no-wait", "--reason", "planned", "--output", "json")
    run_id = json.loads(daemon.karaula(*words, user="bojan"))["run"]["id"]
    daemon.karaula("run", "approve", run_id, "--yes", user="ana", timeout_s=240)
    run = daemon.run(run_id)
    assert run["state"] == "SUCCEEDED", run["end_reason"]
    report = json.loads(daemon.karaula("run", "report", run_id, "--json"))["report"]
    return {measure["name"]: measure for measure in report["measures"]}


async def by_hand(lab: RunningLab, *, on: bool) -> None:
    """Power one machine at main, and everything of NCTS at dr, as somebody would who asks nobody."""
    secrets, clock = Credentials(lab.credentials), RealClock()
    ca = secrets.path("lab-ca.pem")
    place = (lab.address("1.5"), 8989, "karaula@vsphere.local", secrets.secret("vcenter-main"), ca)
    session, http = VcenterSession(*place, deadline_s=LONG_S, clock=clock), HttpClient(ca)
    controller = PowerController(
        address=lab.address("2.6"), port=8444, site="dr", pdu="pdu-dr", user="karaula", credential="pdu-dr"
    )
    try:
        await session.power("ncts-web-2", on, LONG_S)
        await RedfishClient(http).set_power(controller, secrets.secret("pdu-dr"), "ncts", LONG_S, on=on)
    finally:
        await session.close()
        await http.close()


def test_a_switchover_and_the_way_home_lose_nothing(tmp_path: Path) -> None:
    with start_lab(tmp_path) as lab, running_daemon(lab, tmp_path / "state") as daemon:
        daemon.wait("NCTS to be OK", lambda: daemon.status("system/ncts") == "ok")
        lab.wait_for("ncts", lambda truth: truth["acknowledged"] >= 3, within_s=30)
        moved = done(daemon, "switchover")
        truth = lab.wait_for("ncts", lambda truth: truth["writable_sites"] == ["dr"])
        assert (moved["rpa_count"]["value"], truth["lost"]) == (0, 0)
        assert moved["rta"]["met"]
        assert truth["roles"] == {"main": "standby", "dr": "primary"}
        daemon.wait("NCTS to be OK at dr", lambda: daemon.status("system/ncts") == "ok")
        assert daemon.agreed("ncts") == {
            "active": "dr",
            "traffic": "dr",
            "role main": "standby",
            "role dr": "primary",
            "fence main": "off",
            "power main": "on",
        }
        refused = daemon.karaula("switchover", "ncts", "--no-wait", user="bojan", code=3)
        assert "already active at dr" in refused
        done(daemon, "failback")
        home = daemon.api("/api/runs")[0]["id"]
        truth = lab.wait_for("ncts", lambda truth: truth["writable_sites"] == ["main"])
        assert truth["lost"] == 0
        assert not truth["ever_double_writable"]
        assert daemon.agreed("ncts") == AT_HOME
        daemon.karaula("drill", "ncts", "--reason", "planned", user="bojan")
        assert daemon.agreed("ncts") == AT_HOME, "a drill sets nothing of production"
        asyncio.run(by_hand(lab, on=False))
        by_hands = {
            "power": "vm/vc-main/ncts-web-2 is off",
            "fence": "outlet group ncts of pdu-dr reads PowerState Off, 0 W",
        }

        def drifts() -> dict[str, str]:
            return {one["field"]: one["why"] for one in daemon.api("/api/drift") if one["agreement"] == "drift"}

        daemon.wait("both to be seen", lambda: drifts() == by_hands)
        shown = unwrapped(daemon.karaula("run", "show", home))
        assert "DRIFT: on" in shown
        assert "power at main on DRIFT: off" in shown
        asyncio.run(by_hand(lab, on=True))
        daemon.wait("both to be as they were", lambda: not drifts())


def test_after_a_failover_the_old_side_becomes_the_standby_and_the_service_stays(tmp_path: Path) -> None:
    with start_lab(tmp_path) as lab, running_daemon(lab, tmp_path / "state") as daemon:
        daemon.wait("NCTS to be OK", lambda: daemon.status("system/ncts") == "ok")
        lab.wait_for("ncts", lambda truth: truth["acknowledged"] >= 3, within_s=30)
        lab.fault("cut-site", "main")
        daemon.wait("main to be seen down", lambda: daemon.status("site/main") == "down")

        def prepared() -> str:
            runs = json.loads(daemon.karaula("runs", "--output", "json"))["runs"]
            return next((run["id"] for run in runs if run["system"] == "ncts" and run["state"] == "WAITING"), "")

        run_id = daemon.wait("the prepared failover", prepared)
        daemon.karaula("run", "approve", run_id, "--yes", user="ana", timeout_s=200)
        lost = lab.wait_for("ncts", lambda truth: truth["writable_sites"] == ["dr"])["lost"]
        failed_over = {"active": "dr", "traffic": "dr", "role dr": "primary", "fence main": "on", "power dr": "on"}
        assert daemon.agreed("ncts") == failed_over
        lab.clear("cut-site", "main")
        daemon.wait("main's vCenter to be back", lambda: daemon.status("vcenter/vc-main") == "ok")
        assert daemon.agreed("ncts") == failed_over, "its power is back, and the old side stays fenced off"
        measured = done(daemon, "reprotect")
        assert "rta" not in measured
        assert measured["discarded"]["value"] >= lost
        truth = lab.wait_for("ncts", lambda truth: truth["roles"] == {"main": "standby", "dr": "primary"})
        assert truth["writable_sites"] == ["dr"]
        daemon.wait("NCTS to be OK at dr", lambda: daemon.status("system/ncts") == "ok")
        covered = {"role main": "standby", "fence main": "off", "power main": "on"}
        assert daemon.agreed("ncts") == {**failed_over, **covered}
        assert done(daemon, "failback")["rpa_count"]["value"] == 0
        truth = lab.wait_for("ncts", lambda truth: truth["writable_sites"] == ["main"])
        assert truth["lost"] == lost
        assert not truth["ever_double_writable"]
        assert daemon.agreed("ncts") == AT_HOME
