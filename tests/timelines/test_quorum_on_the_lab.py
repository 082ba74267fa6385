"""Who sees a site down: a real observer is heard, and one that is gone has no vote.

Votes that agree and contradict one another are in ``test_automatic_on_the_lab``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from daemon_kit import RunningDaemon, free_port, running_daemon
from estate_kit import REPOSITORY, RunningLab, start_lab
from tls_kit import ThrowawayCa

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]
PATIENCE_S = 60


def prepared(daemon: RunningDaemon, system: str = "ncts") -> dict[str, Any]:
    """Return the prepared failover of the system, once there is one."""

    def found() -> str:
        runs = daemon.api("/api/runs")
        return next((run["id"] for run in runs if run["system"] == system and run["state"] == "WAITING"), "")

    return daemon.run(daemon.wait(f"a prepared failover of {system}", found, PATIENCE_S))


def words(run: dict[str, Any]) -> dict[str, str]:
    return {vote["point"]: vote["word"] for vote in run["votes"]}


@contextmanager
def observing(lab: RunningLab, folder: Path, name: str, port: int) -> Iterator[subprocess.Popen[str]]:
    """Run a real ``karaula vantage`` on the lab's estate."""
    address = lab.address("3.41")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "console.main", "vantage", name, "--inventory", str(lab.inventory)),
            *("--credentials", str(folder), "--certificate", str(folder / "observer.pem")),
            *("--listen", f"{address}:{port}"),
        ],
        cwd=REPOSITORY,
        env=dict(os.environ),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == (
            f"karaula observes; its opinion is at https://{address}:{port}/api/opinion"
        )
        yield process
    finally:
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
        process.stdout.close()


def test_a_real_observer_is_heard_and_one_that_is_gone_has_no_vote(tmp_path: Path) -> None:
    with start_lab(tmp_path) as lab:
        address, port = lab.address("3.41"), free_port(lab.address("3.41"))
        ca = ThrowawayCa(tmp_path / "observer")
        certificate, key = ca.server(address)
        bundle = lab.credentials / "lab-ca.pem"  # whoever trusts the lab trusts the observer's CA too
        bundle.write_bytes(bundle.read_bytes() + ca.bundle.read_bytes())
        (lab.credentials / "observer.pem").write_bytes(certificate.read_bytes() + key.read_bytes())
        token = "correct horse battery staple"
        (lab.credentials / "observer-token").write_text(f"{token}\n")
        text = lab.inventory.read_text()
        point = f'    outpost: {{ kind: observer, url: "https://{address}:{port}", credential: observer-token }}\n'
        lab.inventory.write_text(text.replace("    witness:", f"{point}    witness:", 1))
        with running_daemon(lab, tmp_path / "state", ready=False) as daemon:
            with observing(lab, lab.credentials, "outpost", port):
                daemon.wait("the observer", lambda: daemon.status("vantage/outpost") == "ok", PATIENCE_S)
                for header, code in ((token, "200"), ("no", "401"), ("", "401")):
                    assert asked(f"https://{address}:{port}/api/opinion", header) == code
                daemon.wait("what it sees", lambda: facts(daemon).get("ncts/main") == "up", PATIENCE_S)
                lab.fault("hang-front", "ncts/main")
                run = prepared(daemon)
                daemon.wait("it to see that", lambda: facts(daemon).get("ncts/main") == "down", PATIENCE_S)
                assert words(run)["outpost"] in {"down", "up", "unknown"}, "it may be a moment behind"
                daemon.karaula("run", "deny", run["id"], "--reason", "not yet", user="ana")
            daemon.wait("its silence to be told", lambda: ("vantage-down", "vantage/outpost") in daemon.alarms())
            plan = daemon.api("/api/plans", {"playbook": "failover", "system": "exim"})
            said = next(one["sentence"] for one in plan["guards"] if one["guard"] == "quorum")
            assert "outpost cannot tell" in said
            assert "cannot be reached" in said


def asked(url: str, token: str) -> str:
    """Return the status of the answer."""
    words_given = ["curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}", "-H", f"Authorization: Bearer {token}", url]
    return subprocess.run(words_given, capture_output=True, text=True, check=True).stdout


def facts(daemon: RunningDaemon) -> dict[str, str]:
    found: dict[str, str] = daemon.api("/api/status/vantage/outpost").get("facts", {})
    return found
