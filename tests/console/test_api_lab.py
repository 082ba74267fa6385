"""What the daemon says of itself while things around it break, and how fast it lets go, as a process on the lab."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest
from daemon_kit import PATIENCE_S, STOP_S, RunningDaemon, running_daemon
from estate_kit import RunningLab, start_lab

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    with start_lab(tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture
def daemon(lab: RunningLab, tmp_path: Path) -> Iterator[RunningDaemon]:
    lab.clear()
    with running_daemon(lab, tmp_path / "state") as running:
        yield running


def asked(daemon: RunningDaemon, path: str) -> tuple[int, str]:
    with httpx2.Client(base_url=daemon.url, timeout=PATIENCE_S) as client:
        reply = client.get(path)
    return reply.status_code, reply.text


def asking(daemon: RunningDaemon, path: str, body: dict[str, Any]) -> Any:
    """Ask over loopback, patient enough for a journal that waits for its lock."""
    with httpx2.Client(base_url=daemon.url, timeout=PATIENCE_S) as client:
        return client.post(path, json=body, headers={"X-Karaula-As": "ana"}).json()


def test_a_vcenter_that_hangs_is_an_alarm_and_not_an_illness(lab: RunningLab, daemon: RunningDaemon) -> None:
    lab.fault("hang-vcenter", "vc-main")
    daemon.wait("the alarm", lambda: ("vcenter-down", "vcenter/vc-main") in daemon.alarms())
    assert asked(daemon, "/-/healthy") == (200, "healthy\n")
    assert asked(daemon, "/-/ready") == (200, "ready\n")
    assert daemon.status("system/ite") in {"ok", "degraded"}
    status, page = asked(daemon, "/")
    assert status == 200
    assert "vcenter-down" in page
    lab.clear()


def test_a_daemon_that_starts_while_a_vcenter_hangs_becomes_ready(lab: RunningLab, tmp_path: Path) -> None:
    lab.fault("hang-vcenter", "vc-dr")
    with running_daemon(lab, tmp_path / "state", ready=False) as daemon:
        assert asked(daemon, "/-/healthy") == (200, "healthy\n")
        daemon.wait("the daemon to be ready", lambda: asked(daemon, "/-/ready") == (200, "ready\n"))
        daemon.wait("the alarm", lambda: ("vcenter-down", "vcenter/vc-dr") in daemon.alarms())
    lab.clear()


def test_a_journal_that_cannot_be_written_is_said_everywhere(daemon: RunningDaemon) -> None:
    with closing(sqlite3.connect(daemon.state / "journal.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        refused = asking(daemon, "/api/runs", {"playbook": "verify", "system": "ncts"})
        assert refused["error"]["code"] == "state"
        assert "database is locked" in refused["error"]["message"]
        daemon.wait("its own illness", lambda: asked(daemon, "/-/healthy")[0] == 503)
        status, said = asked(daemon, "/-/healthy")
        assert "the journal" in said
        assert "cannot be used: database is locked" in said
        assert asked(daemon, "/-/ready") == (200, "ready\n")
        status, page = asked(daemon, "/")
        assert status == 200
        assert "Karaula itself: " in page
        assert daemon.api("/api/status")["problems"]
        other.execute("ROLLBACK")
    pause = {"system": "ncts", "reason": "once more", "for_s": 60}
    daemon.wait("the journal to be written again", lambda: "error" not in asking(daemon, "/api/pauses", pause))


def test_it_stops_while_streams_are_read_and_requests_hang(lab: RunningLab, daemon: RunningDaemon) -> None:
    run = daemon.api("/api/runs", {"playbook": "failover", "system": "ite"}, user="ana")
    assert run["state"] == "WAITING", run
    with (
        httpx2.Client(base_url=daemon.url, timeout=PATIENCE_S) as reader,
        httpx2.Client(base_url=daemon.url, timeout=PATIENCE_S) as idle,
        reader.stream("GET", f"/api/runs/{run['id']}/stream") as told,
    ):
        parts = told.iter_text()
        assert "event: run" in next(parts)
        assert idle.get("/").status_code == 200
        daemon.process.terminate()
        assert daemon.process.wait(STOP_S) == 0
        assert "".join(parts) in {"", ": still here\n\n"}, "the stream ended in the middle"
    assert not daemon.socket_path.exists()
    assert "Traceback" not in daemon.log.read_text()


def test_a_killed_daemons_socket_is_in_nobodys_way(lab: RunningLab, tmp_path: Path) -> None:
    with running_daemon(lab, tmp_path / "state", ready=False) as daemon:
        daemon.kill()
        assert daemon.socket_path.exists()
    with running_daemon(lab, tmp_path / "state", ready=False) as daemon:
        assert asked(daemon, "/-/healthy")[0] == 200
        assert daemon.socket_path.stat().st_mode & 0o777 == 0o660
