"""The calendar of a running daemon: schedules of every minute start their runs, each slot once, over a kill too."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from daemon_kit import RunningDaemon, running_daemon
from estate_kit import start_lab

pytestmark = pytest.mark.lab


def slots(daemon: RunningDaemon, job: str) -> list[dict[str, Any]]:
    return [slot for slot in daemon.api("/api/calendar")["slots"] if slot["job"] == job]


def started(found: list[dict[str, Any]]) -> list[str]:
    return [slot["run_id"] for slot in found if slot["state"] == "started"]


def runs_of(daemon: RunningDaemon, playbook: str) -> list[dict[str, Any]]:
    return [run for run in daemon.api("/api/runs") if run["playbook"] == playbook and run["origin"] == "schedule"]


def test_every_minute_backs_up_and_verifies_once_a_slot(tmp_path: Path) -> None:
    with start_lab(tmp_path) as lab:
        lab.wait_for("ncts", lambda truth: truth["acknowledged"] >= 1)
        inventory = tmp_path / "every-minute.yaml"
        text = lab.inventory.read_text(encoding="utf-8")
        for job in ("backup-ncts", "verify-cdeps"):
            text, found = re.subn(rf'({job}: .*cron: )"[^"]*"', r'\1"* * * * *"', text)
            assert found == 1
        inventory.write_text(text, encoding="utf-8")
        with running_daemon(lab, tmp_path / "state", inventory=inventory) as daemon:
            taken = daemon.api("/api/runs", {"playbook": "backup", "system": "cdeps"}, user="ana")
            assert daemon.wait_run(taken["id"])["state"] == "SUCCEEDED"
            for job in ("backup-ncts", "verify-cdeps"):
                daemon.wait(f"{job} to start", lambda job=job: slots(daemon, job), within_s=130)
            for playbook in ("backup", "verify"):
                run = daemon.wait(f"a {playbook} by the calendar", lambda name=playbook: runs_of(daemon, name))[-1]
                assert daemon.wait_run(run["id"])["state"] == "SUCCEEDED"
                assert run["requester"] == "karaula"
            assert "backup-ncts" in daemon.karaula("calendar")
            seen = slots(daemon, "backup-ncts")
            daemon.kill()
        with running_daemon(lab, tmp_path / "state", inventory=inventory) as daemon:
            after = slots(daemon, "backup-ncts")
            assert [slot for slot in after if slot["due"] <= seen[0]["due"]] == seen
            runs = {run["id"] for run in runs_of(daemon, "backup")}
            later = slots(daemon, "backup-ncts")  # the next minute may have begun between
            for found in (after, later):
                assert len(started(found)) == len(set(started(found)))
            assert {*started(after)} <= runs <= {*started(later)}
            proofs = daemon.api("/api/backups")["proofs"]
            assert next(proof for proof in proofs if proof["system"] == "cdeps")["proven"] is not None
