"""The daemon's own troubles: a full disk, a second daemon, a restart, an end by SIGTERM, files with mistakes.

Each is one clear message or alarm, nothing is lost, and nothing is done that could not be written down first.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
from daemon_kit import STOP_S, RunningDaemon, running_daemon
from estate_kit import REPOSITORY, start_lab

pytestmark = pytest.mark.lab
DISK_BYTES = 6 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, small enough to fill."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system to fill")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "karaula-test", folder], check=False, capture_output=True
    )
    if mounted.returncode:
        assert "CI" not in os.environ, f"CI cannot mount a tmpfs: {mounted.stderr.decode()}"
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def fill(disk: Path) -> Path:
    """Leave no byte free on the disk; return the file whose removal makes space again."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return ballast


def healthy(daemon: RunningDaemon) -> str:
    """Return what ``/-/healthy`` says."""
    return str(daemon.api("/-/healthy")).strip()


def test_on_a_full_disk_a_run_waits_and_says_so_and_goes_on_by_itself(tmp_path: Path, small_disk: Path) -> None:
    with start_lab(tmp_path) as lab, running_daemon(lab, small_disk / "state") as daemon:
        daemon.wait("the daemon to be well", lambda: healthy(daemon) == "healthy")
        run = daemon.api("/api/runs", {"playbook": "drill", "system": "ncts"}, user="ana")
        daemon.wait("the first clone", lambda: lab.effects("ncts", "clone"))
        lab.fault("hang-front", "ncts/dr")
        daemon.wait("the copy to be asked", lambda: "answers" in daemon.run(run["id"])["now_doing"])
        ballast = fill(small_disk)
        lab.clear()
        daemon.wait("the run to wait for its journal", lambda: "the journal" in healthy(daemon))
        assert "full" in healthy(daemon)
        daemon.wait("the alarm", lambda: ("journal-failing", "karaula/journal") in daemon.alarms())
        daemon.wait("people to be told", lambda: "journal-failing" in str(lab.lab_state()["mails"]))
        page = daemon.api("/")
        assert "the journal" in page
        assert "full" in page
        assert "karaula_journal_failing 1.0" in daemon.api("/metrics")

        # Nothing is begun that cannot be written down: not by a run under way, not by a new one.
        refused = daemon.api("/api/runs", {"playbook": "drill", "system": "ite"}, user="ana")
        assert "journal" in refused["error"]["message"]
        stood = daemon.run(run["id"])
        time.sleep(3)
        assert daemon.run(run["id"]) == stood
        assert lab.effects("ncts", "destroy") == []
        assert lab.effects("ite") == []

        ballast.unlink()
        assert daemon.wait_run(run["id"])["state"] == "SUCCEEDED"
        assert len(lab.effects("ncts", "destroy")) == 5
        daemon.wait("the daemon to be well again", lambda: healthy(daemon) == "healthy")
        daemon.wait("the alarm to clear", lambda: ("journal-failing", "karaula/journal") not in daemon.alarms())


def test_a_refused_write_does_not_outlive_the_full_disk(tmp_path: Path, small_disk: Path) -> None:
    with start_lab(tmp_path) as lab, running_daemon(lab, small_disk / "state") as daemon:
        ballast = fill(small_disk)
        refused = daemon.api("/api/runs", {"playbook": "drill", "system": "ite"}, user="ana")
        assert "journal" in refused["error"]["message"]
        daemon.wait("the daemon to say so", lambda: "the journal" in healthy(daemon))
        ballast.unlink()
        daemon.wait("the daemon to be well again", lambda: healthy(daemon) == "healthy")
        assert daemon.api("/api/runs") == []


def serve(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a daemon that is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "console.main", "serve", *words],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_second_daemon_on_the_same_state_names_the_first(tmp_path: Path) -> None:
    with start_lab(tmp_path) as lab, running_daemon(lab, tmp_path / "state") as daemon:
        second = serve(
            *("--inventory", str(lab.inventory), "--playbooks", str(REPOSITORY / "playbooks")),
            *("--state", str(daemon.state), "--credentials", str(lab.credentials), "--listen", "127.0.0.1:1"),
        )
        assert second.returncode == 3, second
        assert second.stdout == ""
        said = second.stderr.strip()
        assert "\n" not in said
        assert str(daemon.state) in said
        assert f"process {daemon.process.pid}" in said
        assert healthy(daemon) == "healthy"
        daemon.wait("the first to go on", lambda: daemon.status("system/ncts") == "ok")


def test_an_inventory_with_mistakes_starts_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    text = (REPOSITORY / "inventory.yaml").read_text(encoding="utf-8")
    inventory, state = tmp_path / "inventory.yaml", tmp_path / "state"
    inventory.write_text(
        text.replace("operator: operator-b", "operator: operator-bb", 1).replace("interval_s: 2", "interval_s: no"),
        encoding="utf-8",
    )
    ended = serve("--inventory", str(inventory), "--playbooks", str(REPOSITORY / "playbooks"), "--state", str(state))
    assert ended.returncode == 1, ended
    assert "unknown operator 'operator-bb'" in ended.stderr
    assert "did you mean 'operator-b'?" in ended.stderr
    assert "polling.interval_s" in ended.stderr
    assert ended.stderr.count(f"{inventory.name}:") >= 2
    assert not state.exists()


def test_sigterm_ends_it_whoever_listens_and_the_next_start_goes_on(tmp_path: Path) -> None:
    with start_lab(tmp_path) as lab:
        with running_daemon(lab, tmp_path / "state") as daemon:
            lab.fault("hang-front", "ncts/dr")
            run = daemon.api("/api/runs", {"playbook": "drill", "system": "ncts"}, user="ana")
            daemon.wait("the copy to be asked", lambda: "answers" in daemon.run(run["id"])["now_doing"])
            with daemon.client() as client, client.stream("GET", f"/api/runs/{run['id']}/stream"):
                daemon.process.send_signal(signal.SIGTERM)
                assert daemon.process.wait(STOP_S) == 0, daemon.log.read_text()
        lab.clear()
        with running_daemon(lab, tmp_path / "state", ready=False) as daemon:
            ended = daemon.wait_run(run["id"])
            assert ended["state"] == "SUCCEEDED", ended["end_reason"]
            assert ended["interruptions"] == 1
        assert len(lab.effects("ncts", "clone")) == len(lab.effects("ncts", "destroy")) == 5
        assert "Traceback" not in daemon.log.read_text()


# httpx2 leaves its own socket open when it is refused, which here is a matter of chance
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.filterwarnings("ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning")
def test_who_asks_while_the_daemon_stops_is_answered_well_or_not_at_all(tmp_path: Path) -> None:
    def ask_until_it_is_gone(path: str) -> None:
        with contextlib.suppress(httpx2.TransportError):
            while True:
                with daemon.client() as client:
                    found[path].add(client.get(path).status_code)

    with start_lab(tmp_path) as lab, running_daemon(lab, tmp_path / "state") as daemon:
        run = daemon.api("/api/runs", {"playbook": "drill", "system": "ncts"}, user="ana")
        paths = ("/api/calendar", f"/api/runs/{run['id']}/outputs", "/api/alarms?history=true", "/metrics")
        found: dict[str, set[int]] = {path: set() for path in paths}
        with ThreadPoolExecutor(len(paths)) as pool:
            asked = [pool.submit(ask_until_it_is_gone, path) for path in paths]
            daemon.wait("everybody to be answered once", lambda: all(found.values()))
            daemon.process.send_signal(signal.SIGTERM)
            assert daemon.process.wait(STOP_S) == 0
            for one in asked:
                one.result()
        assert found == {path: {200} for path in paths}
        assert "Traceback" not in daemon.log.read_text()
