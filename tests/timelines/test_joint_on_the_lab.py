"""Systems of one priority fail over side by side on the lab: shared power controllers and name servers bear it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from daemon_kit import running_daemon
from estate_kit import start_lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]
TOGETHER, AFTER_ITE = ("exim", "ite", "ncts"), "cdeps"


def test_systems_of_one_priority_move_side_by_side_and_each_once(tmp_path: Path) -> None:
    with start_lab(tmp_path) as lab:
        text, changed = re.subn(r"(?m)^(    priority:) \d", r"\1 1", lab.inventory.read_text(encoding="utf-8"))
        assert changed == len(TOGETHER) + 1
        lab.inventory.write_text(text, encoding="utf-8")
        with running_daemon(lab, tmp_path / "state") as daemon:
            daemon.wait("all systems", lambda: all(daemon.status(f"system/{one}") == "ok" for one in TOGETHER))
            daemon.karaula("failover", "all", "--reason", "a test", "--no-wait", user="ana")
            (joint,) = daemon.api("/api/joint-runs")
            daemon.karaula("run", "approve", joint["id"], "--yes", user="bojan")
            runs = {run["system"]: run for run in daemon.api("/api/runs")}
        assert {run["state"] for run in runs.values()} == {"SUCCEEDED"}
        # Each of the three had begun when the first of them ended; what depends on one of them began after it.
        assert max(runs[one]["started_at"] for one in TOGETHER) < min(runs[one]["ended_at"] for one in TOGETHER)
        assert runs[AFTER_ITE]["started_at"] >= runs["ite"]["ended_at"]
        for system in runs:
            truth = lab.truth(system)
            assert (truth["writable_sites"], truth["ever_double_writable"]) == (["dr"], False)
            assert len(lab.effects(system, "promote")) == 1
            assert len(lab.effects(system, "address")) == 2  # one at each name server
