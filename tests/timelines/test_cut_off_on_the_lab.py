"""The monitor's own uplink is cut (`karaula lab cut monitor`): one message, nothing called down, its end another."""

from __future__ import annotations

from pathlib import Path

import pytest
from automatic_kit import automatic, verified
from daemon_kit import RunningDaemon, running_daemon
from estate_kit import RunningLab, start_lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]
ISOLATED = ("isolated", "karaula/uplink")


def test_a_cut_uplink_is_one_message_and_its_return_one_while_the_estate_works_on(tmp_path: Path) -> None:
    with start_lab(tmp_path, rate=5.0) as lab:
        text = lab.inventory.read_text()
        assert "fail_after: 2" in text
        lab.inventory.write_text(text.replace("fail_after: 2", "fail_after: 5"))  # a busy machine loses some
        automatic(lab, "ncts", "cdeps", "ite", "exim")
        verified(lab, tmp_path / "state")
        with running_daemon(lab, tmp_path / "state") as daemon:
            _cut_and_mended(lab, daemon)


def _cut_and_mended(lab: RunningLab, daemon: RunningDaemon) -> None:
    daemon.wait("a good day", lambda: not daemon.alarms() and daemon.status("system/ncts") == "ok")
    daemon.wait_rounds(2)
    daemon.wait("it to last", lambda: not daemon.alarms())
    told = len(lab.lab_state()["mails"])
    begun = daemon.api("/api/status")["at"]

    def acknowledged() -> int:
        return int(lab.truth("ncts")["acknowledged"])

    def healths() -> set[str]:
        subjects = daemon.api("/api/status")["subjects"]
        return {one["health"] for one in subjects if one["subject"].startswith(("system/", "site/", "crossing/"))}

    assert "karaula lab clear cut-monitor monitor" in daemon.karaula("lab", "cut", "monitor")
    daemon.wait("it to call itself isolated", lambda: ISOLATED in daemon.alarms())
    before = acknowledged()
    daemon.wait("nothing to be known any more", lambda: healths() == {"unknown"})
    daemon.wait("declarations to go on", lambda: acknowledged() > before)
    assert daemon.alarms() == {ISOLATED}
    assert "the monitor itself is cut off" in daemon.karaula("status", code=None)
    assert daemon.api("/api/runs") == [], "nor is anything begun that responses ask for by themselves"

    assert "1 fault ended" in daemon.karaula("lab", "restore", "monitor")
    daemon.wait("all to be well", lambda: not daemon.alarms() and healths() == {"ok"})
    daemon.wait_rounds(2)
    every = [one for one in daemon.api("/api/alarms?history=true") if one["since"] >= begun]
    assert [(one["name"], one["subject"]) for one in every] == [ISOLATED], "raised once, and nothing else ever"
    daemon.wait("its end to be told", lambda: len(lab.lab_state()["mails"]) > told + 1)
    assert len(lab.lab_state()["mails"]) == told + 2, "that it was cut off, and that it is not"
