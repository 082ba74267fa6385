"""The newcomer's story by the command line: cut main, approve what is prepared, see NCTS at dr, read the report, go home.

Everything said by the daemon is held against the lab's own truth.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from daemon_kit import running_daemon
from estate_kit import start_lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]


def prepared_run(text: str) -> str:
    runs = json.loads(text)["runs"]
    return next(run["id"] for run in runs if run["system"] == "ncts" and run["state"] == "WAITING")


def test_cut_main_fail_over_read_the_report_fail_back(tmp_path: Path) -> None:
    with start_lab(tmp_path) as lab, running_daemon(lab, tmp_path / "state") as daemon:
        daemon.wait("NCTS to be OK", lambda: daemon.status("system/ncts") == "ok")
        assert "NCTS" in daemon.karaula("status")

        lab.wait_for("ncts", lambda truth: truth["acknowledged"] >= 5, within_s=30)
        daemon.karaula("lab", "cut", "main")
        daemon.wait("the alarm", lambda: ("system-down", "system/ncts") in daemon.alarms())
        run_id = daemon.wait("the prepared failover", lambda: re.search(r"ncts-failover-\S+", daemon.karaula("runs")))[0]
        daemon.wait_run(run_id, "WAITING")
        assert lab.truth("ncts")["writable_sites"] == []

        daemon.karaula("run", "approve", run_id, "--yes", user="ana")
        daemon.karaula("run", "watch", run_id)
        run = daemon.run(run_id)
        assert run["state"] == "SUCCEEDED", run["end_reason"]
        truth = lab.wait_for("ncts", lambda truth: truth["writable_sites"] == ["dr"])
        assert not truth["ever_double_writable"]
        daemon.wait("NCTS to be seen at dr", lambda: daemon.api("/api/status/system/ncts")["status"]["detail"] == "dr")

        report = json.loads(daemon.karaula("run", "report", run_id, "--json"))
        measured = report["measured"]
        assert measured["loss"]["declarations"] == truth["lost"]
        assert measured["loss"]["known"] == "exact"
        assert 0 < measured["rta_s"] < report["objectives"]["rto_s"]
        for part in ("detection_s", "decision_s", "machine_s"):
            assert measured[part] > 0
        page = daemon.karaula("run", "report", run_id, "--html", str(tmp_path / "report.html"))
        assert "report.html" in page
        html = (tmp_path / "report.html").read_text()
        assert run_id in html
        assert "ana" in html

        before = lab.truth("ncts")
        daemon.karaula("lab", "restore", "main")
        daemon.wait("main's vCenter to be back", lambda: daemon.status("vcenter/vc-main") == "ok")
        text = daemon.karaula("--output", "json", "failback", "ncts", "--no-wait", "--reason", "main is back", user="bojan")
        back = json.loads(text)["run"]["id"]
        refused = daemon.karaula("run", "approve", back, "--yes", user="bojan", code=3)
        assert "somebody else must approve" in refused
        daemon.karaula("run", "approve", back, "--yes", user="ana")
        run = daemon.wait_run(back, within_s=120)
        assert run["state"] == "SUCCEEDED", run
        after = lab.wait_for("ncts", lambda truth: truth["writable_sites"] == ["main"])
        assert after["lost"] == before["lost"], "the failback lost something"
        assert not after["ever_double_writable"]
        follow = next(step for step in run["steps"] if step["id"] == "follow")
        assert follow["outputs"]["discarded"] == before["lost"]
