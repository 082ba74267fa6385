"""/-/healthy and /-/ready beside a whole estate that stands still, a blocked event loop and a dead evaluation."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from daemon_kit import RunningDaemon, running_daemon
from estate_kit import REPOSITORY, RunningLab, start_lab
from prometheus_client.openmetrics.parser import text_string_to_metric_families

pytestmark = pytest.mark.lab
ILL = (str(REPOSITORY / "tests" / "timelines" / "ill_daemon.py"),)
OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}


def asked(daemon: RunningDaemon, path: str, timeout_s: float = 10) -> tuple[int, str]:
    with daemon.client() as client:
        reply = client.get(path, timeout=timeout_s)
    return reply.status_code, reply.text.strip()


def samples(daemon: RunningDaemon) -> dict[tuple[str, tuple[str, ...]], float]:
    with daemon.client() as client:
        reply = client.get("/metrics", headers=OPENMETRICS)
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(reply.text)
        for sample in family.samples
    }


@contextmanager
def standing_still(lab: RunningLab) -> Iterator[None]:
    """Every server of the estate takes connections and answers nothing, as a machine does that hangs."""
    os.kill(lab.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(lab.pid, signal.SIGCONT)


def test_an_estate_that_stands_still_is_no_illness_of_the_daemon(tmp_path: Path) -> None:
    with start_lab(tmp_path) as lab, running_daemon(lab, tmp_path / "state") as daemon:
        daemon.wait("NCTS to be OK", lambda: daemon.status("system/ncts") == "ok")
        before = samples(daemon)
        front = ("karaula_system_response_seconds", ("main", "ncts"))
        seen = ("karaula_subject_seen_timestamp_seconds", ("sensor/main-rack-1-temperature",))
        good = ("karaula_subject_last_success_timestamp_seconds", ("sensor/main-rack-1-temperature",))
        value = ("karaula_sensor_temperature_celsius", ("main-rack-1-temperature", "main"))
        assert {front, seen, good, value} <= before.keys()
        with standing_still(lab):
            daemon.wait("the sensor to be unknown", lambda: value not in samples(daemon))
            daemon.wait("the front to be down", lambda: front not in samples(daemon))
            now = samples(daemon)
            # The values have gone; when they were last there stays, and is old.
            assert now[seen] < time.time() - 5
            assert now[good] <= now[seen]
            assert asked(daemon, "/-/healthy") == (200, "healthy")
            assert asked(daemon, "/-/ready") == (200, "ready")
            assert max(each for (name, _), each in now.items() if name == "karaula_part_silent_seconds") == 0
            worked_out = ("karaula_evaluation_timestamp_seconds", ())
            daemon.wait("states to be worked out", lambda: samples(daemon)[worked_out] > now[worked_out])
            assert min(_scrape_s(daemon) for _ in range(10)) < 1.5, "each scrape waited for the estate"
        daemon.wait("the sensor to be back", lambda: value in samples(daemon))


def _scrape_s(daemon: RunningDaemon) -> float:
    began = time.monotonic()
    asked(daemon, "/metrics")
    return time.monotonic() - began


@contextmanager
def supervised(folder: Path) -> Iterator[tuple[socket.socket, dict[str, str]]]:
    """A supervisor's socket and the environment that tells of it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(str(folder / "notify"))
        line.setblocking(False)
        environment = {"NOTIFY_SOCKET": str(folder / "notify"), "KARAULA_TEST_BLOCK": str(folder / "block")}
        yield line, environment | {"WATCHDOG_USEC": "2000000"}


def told(line: socket.socket) -> list[str]:
    """Return what has been said since the last time."""
    found = []
    with contextlib.suppress(BlockingIOError):
        while True:
            found.append(line.recv(4096).decode())
    return found


def test_a_blocked_loop_and_a_dead_evaluation_are_told(tmp_path: Path) -> None:
    with (
        supervised(tmp_path) as (line, environment),
        start_lab(tmp_path) as lab,
        running_daemon(lab, tmp_path / "state", program=ILL, environment=environment) as daemon,
    ):
        said: list[str] = []
        daemon.wait("life", lambda: said.extend(told(line)) or any("WATCHDOG=1" in each for each in said))
        assert said[0] == "READY=1"

        # Blocked: nobody is answered, systemd hears nothing, and afterwards it can be seen that it was so.
        block = tmp_path / "block"
        daemon.process.send_signal(signal.SIGUSR1)
        daemon.wait("it to be blocked", block.exists)
        told(line)
        for _ in range(2):
            with pytest.raises(httpx2.TimeoutException):
                asked(daemon, "/-/healthy", timeout_s=2)
        assert told(line) == []
        block.unlink()
        daemon.wait("the loop to go on", lambda: asked(daemon, "/-/healthy") == (200, "healthy"))
        daemon.wait("its lag to be known", lambda: samples(daemon)["karaula_loop_lag_seconds", ()] > 3)
        daemon.wait("life", lambda: any("WATCHDOG=1" in each for each in told(line)))

        # Dead: it is answered, with the truth.
        daemon.process.send_signal(signal.SIGUSR2)
        daemon.wait("the illness", lambda: told(line) is not None and asked(daemon, "/-/healthy")[0] == 503)
        assert asked(daemon, "/-/healthy")[1].startswith("states and alarms have not been worked out for ")
        assert asked(daemon, "/-/ready")[0] == 503
        assert samples(daemon)["karaula_part_silent_seconds", ("evaluation",)] > 5
        assert any("not been worked out" in each for each in daemon.api("/api/status")["problems"])
        said = []
        told(line)
        daemon.wait("the reason", lambda: said.extend(told(line)) or len(said) > 2)
        assert all(each.startswith("STATUS=states and alarms have not") for each in said), "it would be thought alive"
