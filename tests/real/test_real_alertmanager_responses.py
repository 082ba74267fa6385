"""Debian's Alertmanager tells a daemon on the lab of an alert: a failover is prepared, and withdrawn at its end."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from daemon_kit import RunningDaemon, running_daemon
from estate_kit import start_lab
from real_kit import free_port, need

pytestmark = [pytest.mark.real, pytest.mark.lab, pytest.mark.timeout(240)]
LABELS = {"alertname": "NctsQueueStuck", "system": "ncts"}
RESPONSE = """responses:
  ncts-stuck: { alert: { alertname: NctsQueueStuck, system: ncts }, system: ncts, playbook: failover, grace_s: 1 }
"""


def told(amtool: str, port: int, *more: str) -> None:
    labels = [f"{name}={value}" for name, value in LABELS.items()]
    command = [amtool, f"--alertmanager.url=http://127.0.0.1:{port}", "alert", "add", *labels, *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_alert_prepares_a_failover_and_its_end_withdraws_it(tmp_path: Path) -> None:
    binary = need("prometheus-alertmanager", "prometheus-alertmanager")
    amtool = need("amtool", "prometheus-alertmanager")
    with start_lab(tmp_path) as lab:
        lab.inventory.write_text(
            re.sub(r"^responses:.*\n", RESPONSE, lab.inventory.read_text(), count=1, flags=re.MULTILINE)
        )
        with running_daemon(lab, tmp_path / "state") as daemon:
            daemon.wait("NCTS to be OK", lambda: daemon.status("system/ncts") == "ok")
            receiver = {
                "name": "karaula",
                "webhook_configs": [
                    {
                        "url": f"{daemon.url}/api/alerts",
                        "send_resolved": True,
                        "max_alerts": 20,
                        "http_config": {
                            "authorization": {"credentials_file": str(lab.credentials / "alertmanager-token")}
                        },
                    }
                ],
            }
            route = {"receiver": "karaula", "group_wait": "1s", "group_interval": "1s"}
            (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump({"route": route, "receivers": [receiver]}))
            port = free_port()
            with (tmp_path / "alertmanager.log").open("wb") as log:
                process = subprocess.Popen(
                    [
                        *(binary, f"--config.file={tmp_path / 'alertmanager.yml'}"),
                        *(f"--storage.path={tmp_path / 'data'}", f"--web.listen-address=127.0.0.1:{port}"),
                        "--cluster.listen-address=",
                    ],
                    stdout=log,
                    stderr=log,
                )
            try:
                follow(daemon, amtool, port)
            finally:
                process.terminate()
                process.wait(60)


def follow(daemon: RunningDaemon, amtool: str, port: int) -> None:
    ready = ["curl", "-sf", f"http://127.0.0.1:{port}/-/ready"]
    daemon.wait("Alertmanager", lambda: subprocess.run(ready, capture_output=True, check=False).returncode == 0)
    told(amtool, port, "--annotation=summary=nothing leaves the queue")

    def waiting() -> dict[str, Any] | None:
        found = [run for run in daemon.api("/api/runs") if run["state"] == "WAITING"]
        return daemon.run(found[0]["id"]) if found else None

    run = daemon.wait("a prepared failover", waiting)
    assert run["reason"] == "NctsQueueStuck: Alertmanager says NctsQueueStuck: nothing leaves the queue"
    assert [note["reason"] for note in run["guards"] if note["guard"] == "quorum"] == ["no-quorum"]
    assert {vote["word"] for vote in run["votes"]} == {"up"}
    told(amtool, port, "--end=2020-01-01T00:00:00Z", "--start=2019-01-01T00:00:00Z")
    ended = daemon.wait_run(run["id"])
    assert (ended["state"], daemon.api("/api/alerts")) == ("CANCELED", [])
