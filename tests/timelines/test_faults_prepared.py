"""Prepared failovers over a restart of the daemon, denied ones, and alarms that clear before anybody approves."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from daemon_kit import RunningDaemon, running_daemon
from estate_kit import RunningLab, start_lab
from prometheus_client.parser import text_string_to_metric_families

pytestmark = pytest.mark.lab
SYSTEMS = {"cdeps", "ncts", "ite", "exim"}


def prepared(daemon: RunningDaemon) -> dict[str, str]:
    """Return the id of the prepared run of each system that has one."""
    return {run["system"]: run["id"] for run in daemon.api("/api/runs") if run["state"] == "WAITING"}


def system_alarms(daemon: RunningDaemon) -> dict[str, str]:
    """Return the ids of the systems' alarms, standing or cleared; each raising has its own."""
    found = daemon.api("/api/alarms?history=true")
    return {one["id"]: one["subject"] for one in found if one["name"] == "system-down"}


def told(lab: RunningLab) -> list[str]:
    """Return the mails about the site that is down, which speaks for its systems."""
    return [str(mail) for mail in lab.lab_state()["mails"] if "site-down" in str(mail)]


def all_written_down(daemon: RunningDaemon) -> bool:
    """Tell whether every message was sent and the history knows it."""
    samples = [one for family in text_string_to_metric_families(daemon.api("/metrics")) for one in family.samples]
    open_ends = ("karaula_notices_pending", "karaula_history_pending")
    return not any(one.value for one in samples if one.name in open_ends)


def test_a_restart_while_approvals_wait_doubles_and_withdraws_nothing(tmp_path: Path) -> None:
    with start_lab(tmp_path) as lab:
        with running_daemon(lab, tmp_path / "state") as daemon:
            daemon.wait("NCTS to be OK", lambda: daemon.status("system/ncts") == "ok")
            lab.fault("cut-site", "main")
            runs = daemon.wait(
                "four prepared failovers", lambda: found if (found := prepared(daemon)).keys() == SYSTEMS else None
            )
            alarms = system_alarms(daemon)
            assert sorted(alarms.values()) == sorted(f"system/{key}" for key in SYSTEMS)
            daemon.wait("people to be told", lambda: told(lab) and all_written_down(daemon))
            mails = told(lab)
            daemon.kill()
        with running_daemon(lab, tmp_path / "state") as daemon:
            assert prepared(daemon) == runs
            time.sleep(5)  # a few ticks in which nothing is to happen
            assert prepared(daemon) == runs
            assert len(daemon.api("/api/runs")) == len(SYSTEMS)
            assert system_alarms(daemon) == alarms
            assert told(lab) == mails

            # A person says no: that stands for as long as the alarm does.
            daemon.karaula("run", "deny", runs["exim"], "--reason", "licences can wait", user="ana")
            time.sleep(3)
            assert prepared(daemon).keys() == SYSTEMS - {"exim"}
            # Another says yes: the rest of the estate does not mind.
            daemon.karaula("run", "approve", runs["ncts"], "--yes", user="ana")
            assert daemon.run(runs["ncts"])["state"] == "SUCCEEDED"

            # Main comes back before anybody decided about the others.
            lab.clear()
            for key in ("cdeps", "ite"):
                withdrawn = daemon.wait_run(runs[key])
                assert withdrawn["state"] == "CANCELED"
                assert "the alarm cleared before anybody approved" in withdrawn["end_reason"]
                daemon.wait(f"{key} to be well", lambda key=key: daemon.status(f"system/{key}") == "ok")
                assert lab.truth(key)["writable_sites"] == ["main"]
                assert [one for one in lab.effects(key) if one["by"] in {"ssh", "redfish", "vcenter", "dns"}] == []
            assert (lab.truth("ncts")["writable_sites"], lab.truth("ncts")["ever_double_writable"]) == (["dr"], False)
            assert len(daemon.api("/api/runs")) == len(SYSTEMS)
