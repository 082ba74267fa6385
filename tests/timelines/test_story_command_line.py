"""The newcomer's story by the command line: cut main, approve what is prepared, NCTS at dr, the report, home again.

Everything said by the daemon is held against the lab's own truth.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from daemon_kit import RunningDaemon, running_daemon
from estate_kit import start_lab

pytestmark = pytest.mark.lab


def asked(daemon: RunningDaemon, *words: str, user: str = "") -> Any:
    """Return what ``karaula WORDS --output json`` prints."""
    return json.loads(daemon.karaula(*words, "--output", "json", user=user))


def waiting(daemon: RunningDaemon) -> str:
    """Return the id of the prepared failover of NCTS, empty while there is none."""
    runs = asked(daemon, "runs", "--limit", "20")["runs"]
    found = (run["id"] for run in runs if run["system"] == "ncts" and run["state"] == "WAITING")
    return next(found, "")


def measures(daemon: RunningDaemon, run_id: str) -> dict[str, dict[str, Any]]:
    report = json.loads(daemon.karaula("run", "report", run_id, "--json"))["report"]
    assert report["schema"] == 1
    return {measure["name"]: measure for measure in report["measures"]}


def test_cut_main_fail_over_read_the_report_fail_back(tmp_path: Path) -> None:
    with start_lab(tmp_path) as lab, running_daemon(lab, tmp_path / "state") as daemon:
        daemon.wait("NCTS to be OK", lambda: daemon.status("system/ncts") == "ok")
        assert "ncts" in daemon.karaula("status")
        lab.wait_for("ncts", lambda truth: truth["acknowledged"] >= 5, within_s=30)

        # Cut: an alarm, a failover that is ready, and nothing done yet.
        daemon.karaula("lab", "cut", "main")
        daemon.wait("the alarm", lambda: ("system-down", "system/ncts") in daemon.alarms())
        daemon.wait("the one that explains it", lambda: ("site-down", "site/main") in daemon.alarms())
        said = daemon.karaula("status")  # one alarm, which names the systems that went with the site
        assert "site-down" in said
        assert "NCTS" in said
        run_id = daemon.wait("the prepared failover", lambda: waiting(daemon))
        assert "karaula run approve" in daemon.karaula("run", "show", run_id)
        assert lab.truth("ncts")["writable_sites"] == []
        assert lab.effects("ncts", "promote") == []

        # Approved: done within the exit of the command, which watches the run.
        daemon.karaula("run", "approve", run_id, "--yes", user="ana")
        run = asked(daemon, "run", "show", run_id)["run"]
        assert run["state"] == "SUCCEEDED", run["end_reason"]
        truth = lab.wait_for("ncts", lambda truth: truth["writable_sites"] == ["dr"])
        assert not truth["ever_double_writable"]
        daemon.wait("NCTS to be seen at dr", lambda: daemon.api("/api/status/system/ncts")["status"]["detail"] == "dr")

        # The report measures what the lab knows.
        measured = measures(daemon, run_id)
        assert (measured["rpa_count"]["value"], measured["rpa_count"]["bound"]) == (truth["lost"], "")
        assert measured["rta"]["met"]
        assert measured["rpa_time"]["met"]
        parts = [measured[name]["value"] for name in ("detection", "decision", "machine")]
        assert all(part > 0 for part in parts)
        assert measured["rta"]["value"] <= sum(parts) + 1
        page = tmp_path / "report.html"
        assert "report.html" in daemon.karaula("run", "report", run_id, "--html", str(page))
        assert all(word in page.read_text(encoding="utf-8") for word in (run_id, "ana", "RTA", "RPA"))

        fail_back(daemon, lab_lost=truth["lost"])


def fail_back(daemon: RunningDaemon, lab_lost: int) -> None:
    """Bring NCTS home: four eyes, and nothing more is lost than the failover lost."""
    lab = daemon.lab
    daemon.karaula("lab", "restore", "main")
    daemon.wait("main's vCenter to be back", lambda: daemon.status("vcenter/vc-main") == "ok")
    asked_for = asked(daemon, "failback", "ncts", "--no-wait", "--reason", "main is back", user="bojan")
    back = asked_for["run"]["id"]
    refused = daemon.karaula("run", "approve", back, "--yes", user="bojan", code=3)
    assert "somebody else must approve" in refused
    daemon.karaula("run", "approve", back, "--yes", user="ana", timeout_s=200)
    run = daemon.run(back)
    assert run["state"] == "SUCCEEDED", run
    after = lab.wait_for("ncts", lambda truth: truth["writable_sites"] == ["main"])
    assert after["lost"] == lab_lost, "the failback lost something"
    assert not after["ever_double_writable"]
    assert after["roles"] == {"main": "primary", "dr": "standby"}
    measured = measures(daemon, back)
    assert measured["rpa_count"]["value"] == 0
    assert measured["discarded"]["value"] >= lab_lost
    daemon.wait("NCTS to be OK", lambda: daemon.status("system/ncts") == "ok")
