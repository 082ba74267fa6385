"""Service levels from a real daemon: an outage is there once, and what a crash costs is unknown and nothing else."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from daemon_kit import RunningDaemon, running_daemon
from estate_kit import RunningLab, start_lab

from monitor.sla.period import SECOND_US

pytestmark = pytest.mark.lab
CUT = "link/blace/primary"


def month(daemon: RunningDaemon) -> Any:
    reply = daemon.api("/api/sla")
    return reply.get("data")


def link(daemon: RunningDaemon) -> Any:
    data = month(daemon)
    return None if data is None else next(each for each in data["links"] if each["link"] == CUT)


def scrape(daemon: RunningDaemon) -> str:
    with daemon.client() as client:
        return client.get("/metrics").text


def at_noon(lab: RunningLab) -> Path:
    """Return the estate's inventory, moved to where it is about noon: no month ends there meanwhile."""
    east = 12 - datetime.now(UTC).hour  # -11 … 12; in the names of zones east is negative
    text = lab.inventory.read_text(encoding="utf-8")
    moved, count = re.subn(r"timezone: \S+", f"timezone: Etc/GMT{-east:+d}", text)
    assert count == 1
    path = lab.inventory.with_name("at-noon.yaml")
    path.write_text(moved, encoding="utf-8")
    return path


def test_an_outage_a_crash_and_an_excuse(tmp_path: Path) -> None:
    with start_lab(tmp_path) as lab:
        inventory = at_noon(lab)
        with running_daemon(lab, tmp_path / "state", inventory=inventory) as daemon:
            lab.fault("cut-link", "blace/primary")
            daemon.wait("the link to be down", lambda: daemon.status(CUT) == "down")
            lab.clear()
            daemon.wait("the link to be well", lambda: daemon.status(CUT) == "ok")
            daemon.wait("the outage to be reckoned", lambda: (link(daemon) or {"outages": []})["outages"])
            first = link(daemon)
            daemon.kill()
            died_us = time.time_ns() // 1000
        time.sleep(3)
        with running_daemon(lab, tmp_path / "state", inventory=inventory) as daemon:
            began_us = time.time_ns() // 1000
            daemon.wait("records after the crash", lambda: month(daemon)["until_us"] > died_us)
            data = month(daemon)
            again = next(each for each in data["links"] if each["link"] == CUT)
            assert [each["start_us"] for each in again["outages"]] == [each["start_us"] for each in first["outages"]]
            assert again["times"]["down_us"] == first["times"]["down_us"] > 0
            for each in data["links"]:
                kinds = ("up", "degraded", "down", "unknown", "planned", "excused")
                parts = sum(each["times"][f"{kind}_us"] for kind in kinds)
                assert parts == each["times"]["total_us"] == data["until_us"] - data["start_us"]
            gap = data["not_watched"][-1]
            assert gap["reason"] == "the watch was not running"
            assert gap["start_us"] < died_us + SECOND_US
            assert died_us + 2 * SECOND_US < gap["end_us"] <= began_us
            assert died_us - gap["start_us"] < 62 * SECOND_US
            outage = again["outages"][0]
            ask = {"kind": "excused", "link": "blace/primary", "reason": "a cable was cut"}
            ask |= {"start": outage["start"], "end": outage["end"]}
            assert daemon.api("/api/sla/entries", ask, user="ana")["number"] == 1
            assert link(daemon)["times"]["excused_us"] == again["times"]["down_us"]
            assert "a cable was cut" in daemon.api(f"/api/sla/report.html?operator={again['operator']}")
            assert "blace/primary" in daemon.karaula("sla")
            daemon.wait("the metrics", lambda: 'karaula_link_sla_budget_seconds{crossing="blace"' in scrape(daemon))
            assert "karaula_sla_reckoned_timestamp_seconds" in scrape(daemon)
