"""A daemon of its own for a test, as a process, on a lab that runs; and its command line.

``with running_daemon(lab, folder) as daemon: daemon.karaula("status")``. Processes are ended by their id.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from estate_kit import REPOSITORY, RunningLab
from real_kit import free_port

PATIENCE_S = 60.0  # a busy machine starts several daemons at once
STOP_S = 60.0
POLLED = ("front/", "database/", "host/", "link/", "sensor/", "dns/", "power/", "vcenter/", "vm/")


def unwrapped(said: str) -> str:
    """Return what a command printed as one line: where a terminal's lines and cells end depends on its width."""
    return " ".join(said.split())


@dataclass
class RunningDaemon:
    """A daemon process and the ways to talk to it."""

    lab: RunningLab
    state: Path
    port: int
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def socket_path(self) -> Path:
        return self.state / "karaula.sock"

    def karaula(self, *words: str, user: str = "", code: int | None = 0, timeout_s: float = 120) -> str:
        """Run the command line; return what it printed. ``code`` is the exit code that is demanded (None: any)."""
        environment = {
            **os.environ,
            "KARAULA_SOCKET": str(self.socket_path),
            "KARAULA_LAB": self.lab.url,
            "NO_COLOR": "1",
        }
        done = subprocess.run(
            [sys.executable, "-m", "console.main", *words, *(("--as", user) if user else ())],
            cwd=REPOSITORY,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert code is None or done.returncode == code, f"{words}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def client(self) -> httpx2.Client:
        """Return an HTTP client over the Unix socket. Raises ConnectError when nobody listens there."""
        with socket.socket(socket.AF_UNIX) as knock:  # httpx2 leaves its own socket open when it is refused
            try:
                knock.connect(os.fspath(self.socket_path))
            except OSError as error:
                raise httpx2.ConnectError(str(error)) from error
        plain = httpx2.HTTPTransport(uds=os.fspath(self.socket_path), verify=False)  # no TLS, so no CAs to read either
        return httpx2.Client(transport=plain, base_url="http://karaula", timeout=PATIENCE_S)

    def api(self, path: str, body: dict[str, Any] | None = None, user: str = "") -> Any:
        """Ask the HTTP API over the Unix socket; a body makes it a POST. Errors are returned as they come."""
        headers = {"X-Karaula-As": user} if user else {}
        with self.client() as client:
            reply = client.get(path) if body is None else client.post(path, json=body, headers=headers)
        return reply.json() if "json" in reply.headers.get("content-type", "") else reply.text

    def status(self, subject: str) -> str:
        """Return the health of a subject, ``unknown`` while the daemon cannot say."""
        reply = self.api(f"/api/status/{subject}")
        return str(reply["status"]["health"]) if "status" in reply else "unknown"

    def alarms(self) -> set[tuple[str, str]]:
        return {(alarm["name"], alarm["subject"]) for alarm in self.api("/api/status")["alarms"]}

    def wait(self, what: str, holds: Callable[[], Any], within_s: float = PATIENCE_S) -> Any:
        """Wait until ``holds`` returns something true, and return it."""
        end = time.monotonic() + within_s
        while time.monotonic() < end:
            assert self.process.poll() is None, f"the daemon died:\n{self.log.read_text()[-3000:]}"
            if found := holds():
                return found
            time.sleep(0.1)
        raise AssertionError(f"not within {within_s:g} s: {what}\n{self.log.read_text()[-3000:]}")

    def unseen_since(self, moment: float) -> set[str]:
        """Return the polled subjects that were not seen since ``moment``."""
        polled = [one for one in self.api("/api/status")["subjects"] if one["subject"].startswith(POLLED)]
        assert len(polled) > 100
        return {one["subject"] for one in polled if one["seen_at"] is None or one["seen_at"] < moment}

    def wait_rounds(self, number: int = 1) -> None:
        """Wait until every polled subject has been seen that often again."""
        for _ in range(number):
            now = self.api("/api/status")["at"]
            self.wait("everybody to be seen again", lambda now=now: not self.unseen_since(now))

    def agreed(self, system: str) -> dict[str, str]:
        """Wait until all that runs have set of ``system`` is seen to be so, nothing unknown; return it by its name."""
        told: list[dict[str, Any]] = []

        def there() -> bool:
            told[:] = [one for one in self.api("/api/drift") if one["system"] == system]
            return all(one["agreement"] == "agrees" for one in told)

        try:
            self.wait("what runs have set to be seen so", there)
        except AssertionError as error:
            raise AssertionError("\n".join(str(one) for one in told)) from error
        assert "drift" not in {name for name, _ in self.alarms()}
        sided = {"role", "fence", "power"}
        return {
            f"{one['field']} {one['site'] if one['field'] in sided else ''}".strip(): one["declared"] for one in told
        }

    def run(self, run_id: str) -> dict[str, Any]:
        reply: dict[str, Any] = self.api(f"/api/runs/{run_id}")
        return reply

    def wait_run(self, run_id: str, *states: str, within_s: float = 90.0) -> dict[str, Any]:
        """Wait until the run is in one of ``states`` (default: final)."""

        def there() -> dict[str, Any] | None:
            run = self.run(run_id)
            return run if (run["state"] in states if states else run["final"]) else None

        found: dict[str, Any] = self.wait(f"{run_id} to be {states or 'final'}", there, within_s)
        return found

    def kill(self) -> None:
        """End the daemon as a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@contextmanager
def running_daemon(
    lab: RunningLab,
    state: Path,
    *,
    program: tuple[str, ...] = ("-m", "console.main"),
    environment: dict[str, str] | None = None,
    ready: bool = True,
    inventory: Path | None = None,
    playbooks: Path = REPOSITORY / "playbooks",
) -> Iterator[RunningDaemon]:
    """Start ``karaula serve`` on the lab's estate and wait until every target was asked (with ``ready``)."""
    state.mkdir(parents=True, exist_ok=True)
    port = free_port()
    log = state.with_suffix(".log")  # not in the state: a test may fill that disk
    with log.open("ab") as output:
        process = subprocess.Popen(
            [
                sys.executable,
                *program,
                "serve",
                *("--inventory", str(inventory or lab.inventory), "--playbooks", str(playbooks)),
                *("--state", str(state), "--credentials", str(lab.credentials), "--listen", f"127.0.0.1:{port}"),
            ],
            cwd=REPOSITORY,
            env={**os.environ, **(environment or {})},
            stdout=output,
            stderr=output,
        )
    daemon = RunningDaemon(lab, state, port, process, log)
    try:
        daemon.wait("the daemon to serve", lambda: _answers(daemon, "/-/ready" if ready else "/-/healthy"))
        yield daemon
    finally:
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_S)
        if process.poll() is None:
            process.kill()
            process.wait()


def _answers(daemon: RunningDaemon, path: str) -> bool:
    try:
        with daemon.client() as client:
            reply = client.get(path)
    except httpx2.TransportError:
        return False
    return path == "/-/healthy" or reply.status_code == 200
