"""A simulated estate of its own for a test: ``with start_lab(tmp_path) as lab:``.

Each xdist worker takes the octets 81-119 of 127.N.0.0/16 by its number, so that tests run side by side; a file lock in
the system's temporary directory keeps other test runs on the same machine apart.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
FIRST_OCTET, LAST_OCTET = 81, 119
READY_S = 60.0  # a busy machine starts several labs at once
STOP_S = 60.0
PATIENCE_S = 60.0
CONTROL_PORT = 8900


class ControlError(Exception):
    """The lab refused; the text is its own."""


@dataclass(frozen=True)
class RunningLab:
    """A lab that runs: its inventory, where its credentials are, and its control port."""

    octet: int
    pid: int
    inventory: Path
    state: Path

    @property
    def credentials(self) -> Path:
        return self.state / "credentials"

    @property
    def url(self) -> str:
        return f"http://127.{self.octet}.0.1:{CONTROL_PORT}"

    def address(self, rest: str) -> str:
        """Return ``1.5`` as the address 127.<octet>.1.5."""
        return f"127.{self.octet}.{rest}"

    def control(self, path: str, body: dict[str, Any] | None = None, method: str | None = None) -> Any:
        """Ask the control port; a body makes it a POST. Raises ControlError with the lab's own words."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 - always our own http URL
            self.url + path, data, {"Content-Type": "application/json"}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:  # noqa: S310 - likewise
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise ControlError(json.load(error)["error"]) from error

    def fault(self, name: str, target: str, **parameters: str | float) -> Any:
        return self.control("/faults", {"fault": name, "target": target, **parameters})

    def clear(self, name: str | None = None, target: str | None = None) -> int:
        """End one fault, or all."""
        body = {"all": True} if name is None else {"fault": name, "target": target}
        return int(self.control("/clear", body)["cleared"])

    def truth(self, system: str) -> dict[str, Any]:
        document: dict[str, Any] = self.control(f"/truth/{system}")
        return document

    def lab_state(self) -> dict[str, Any]:
        document: dict[str, Any] = self.control("/state")
        return document

    def effects(self, system: str, what: str | None = None) -> list[dict[str, Any]]:
        """Return the effects on a system that changed something."""
        found = self.truth(system)["effects"]
        return [one for one in found if one["changed"] and what in (None, one["what"])]

    def wait_for(
        self, system: str, holds: Callable[[dict[str, Any]], bool], within_s: float = PATIENCE_S
    ) -> dict[str, Any]:
        """Wait until the truth of ``system`` is as wanted, and return it."""
        until = time.monotonic() + within_s
        while True:
            truth = self.truth(system)
            if holds(truth):
                return truth
            shown = {key: value for key, value in truth.items() if key != "effects"}
            assert time.monotonic() < until, f"not within {within_s} s; it is {shown}"
            time.sleep(0.05)


@contextmanager
def free_octet(octet: int | None = None) -> Iterator[int]:
    """Hold an octet that no other test on this machine has."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    count = LAST_OCTET - FIRST_OCTET + 1
    candidates = [octet] if octet is not None else [FIRST_OCTET + (worker * 5 + one) % count for one in range(count)]
    for candidate in candidates:
        with (Path(tempfile.gettempdir()) / f"karaula-lab-127.{candidate}.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield candidate
            return
    raise AssertionError(f"every estate of {candidates} is in use")


def own_inventory(tmp_path: Path, octet: int) -> Path:
    """Copy the shipped inventory with its addresses moved to 127.<octet>.0.0/16.

    Its operators are held to nothing that a busy machine takes away: only what a test does makes a link degraded.
    """
    path = tmp_path / f"inventory-{octet}.yaml"
    text = (REPOSITORY / "inventory.yaml").read_text(encoding="utf-8").replace("127.80.", f"127.{octet}.")
    text = re.sub(r"\brtt_ms: \d+, loss_percent: [\d.]+", "rtt_ms: 1400, loss_percent: 90", text)
    path.write_text(text, encoding="utf-8")
    return path


@contextmanager
def start_lab(
    tmp_path: Path,
    octet: int | None = None,
    *,
    seed: int = 1,
    rate: float = 4.0,
    replication_delay_s: float = 1.5,
    inventory: Path | None = None,
) -> Iterator[RunningLab]:
    """Run ``python -m lab`` on an inventory of its own until the block ends; fails when it does not stop cleanly."""
    with free_octet(octet) as taken:
        path = inventory or own_inventory(tmp_path, taken)
        state = tmp_path / f"lab-{taken}"
        errors = tmp_path / f"lab-{taken}.stderr"
        with errors.open("ab") as stderr:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "lab", "--inventory", str(path), "--state", str(state)),
                    *("--control", f"127.{taken}.0.1:{CONTROL_PORT}", "--seed", str(seed), "--rate", str(rate)),
                    *("--replication-delay", str(replication_delay_s)),
                ],
                cwd=REPOSITORY,
                stdout=subprocess.PIPE,
                stderr=stderr,
            )
            try:
                _wait_ready(process, errors)
                yield RunningLab(taken, process.pid, path, state)
                assert process.poll() is None, f"the lab died: {errors.read_text()}"
            finally:
                _stop(process)
        assert process.returncode == 0, f"the lab ended with {process.returncode}: {errors.read_text()}"
        assert not (said := errors.read_text()), f"the lab complained: {said}"


def _wait_ready(process: subprocess.Popen[bytes], errors: Path) -> None:
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    until = time.monotonic() + READY_S
    seen = b""
    while b"lab ready" not in seen:
        assert process.poll() is None, f"the lab did not start: {errors.read_text()}"
        assert time.monotonic() < until, f"the lab is not ready after {READY_S} s: {errors.read_text()}"
        seen += process.stdout.read() or b""
        time.sleep(0.01)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the lab by its PID."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
