"""Planned works on the lab, as a person meets them: announced, quiet, shown, ended, and kept over a kill."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from daemon_kit import RunningDaemon, running_daemon
from estate_kit import RunningLab, start_lab

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.lab


def mails(lab: RunningLab, word: str) -> list[str]:
    return [str(mail) for mail in lab.lab_state()["mails"] if word in str(mail)]


def quiet(daemon: RunningDaemon) -> bool:
    found = daemon.api("/api/alarms")
    return any(one["name"] == "site-down" for one in found) and all(one["downtime"] for one in found)


def test_works_at_main_are_quiet_until_they_are_over(tmp_path: Path) -> None:
    with start_lab(tmp_path) as lab:
        with running_daemon(lab, tmp_path / "state") as daemon:
            daemon.wait("NCTS to be OK", lambda: daemon.status("system/ncts") == "ok")
            said = daemon.karaula("downtime", "site/main", "--for", "2h", "--reason", "new switches", user="ana")
            assert "site/main and what depends on it: planned downtime from now to" in said
            lab.fault("cut-site", "main")
            daemon.wait("all alarms to stand in downtime", lambda: quiet(daemon))
            text = daemon.karaula("status")
            assert "site/main is in planned downtime for another" in text
            assert "in planned downtime: karaula alarms" in text
            with daemon.client() as client:
                page = client.get("/").text
            assert "Planned downtime of <strong>Main data centre</strong>" in page
            time.sleep(8)  # longer than the responses' grace
            assert [run for run in daemon.api("/api/runs") if run["origin"] == "alarm"] == []
            daemon.kill()
        with running_daemon(lab, tmp_path / "state") as daemon:
            daemon.wait("the downtime to be remembered", lambda: quiet(daemon))
            assert mails(lab, "site-down") == []
            daemon.karaula("downtime", "site/main", "--end", user="boris")
            daemon.wait("what is still wrong to be told", lambda: len(mails(lab, "site-down")) == 1)
            daemon.wait(
                "failovers to be prepared",
                lambda: (
                    {run["system"] for run in daemon.api("/api/runs") if run["state"] == "WAITING"}
                    == {"cdeps", "ncts", "ite", "exim"}
                ),
            )
            assert mails(lab, "system-down") == []
            past = daemon.api("/api/downtimes?past_s=3600")["past"]
            assert [(one["subject"], one["owner"], one["ended_by"]) for one in past] == [("site/main", "ana", "boris")]
