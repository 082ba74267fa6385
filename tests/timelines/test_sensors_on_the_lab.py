"""A hot room and a power cut on the simulated estate: what people see, sensor by sensor and as a vote."""

from __future__ import annotations

from pathlib import Path

import pytest
from daemon_kit import RunningDaemon, running_daemon
from estate_kit import start_lab

pytestmark = pytest.mark.lab
VOTE = "vote/main-overheat"
DANGER = ("danger-confirmed", VOTE)
RACKS = [f"main-rack-{rack}-temperature" for rack in (1, 2, 3)]


def standing(daemon: RunningDaemon, *alarms: tuple[str, str]) -> None:
    for alarm in alarms:
        daemon.wait(f"the alarm {alarm}", lambda alarm=alarm: alarm in daemon.alarms())


def test_a_hot_room_and_a_power_cut(tmp_path: Path) -> None:
    with start_lab(tmp_path) as lab, running_daemon(lab, tmp_path / "state") as daemon:
        daemon.wait("the vote to be OK", lambda: daemon.status(VOTE) == "ok")
        daemon.wait("the chassis", lambda: daemon.status("sensor/main-chassis-inlet") == "ok")

        lab.fault("set-sensor", RACKS[0], value=40)  # one sensor: an alarm of its own, and no danger
        standing(daemon, ("sensor-alarm", f"sensor/{RACKS[0]}"))
        daemon.wait("the vote", lambda: daemon.status(VOTE) == "degraded")
        assert DANGER not in daemon.alarms()

        lab.fault("fault-sensor", RACKS[2])  # and one that does not vote: nobody knows
        standing(daemon, ("sensor-fault", f"sensor/{RACKS[2]}"))
        assert "the agent cannot get the sensor's value" in daemon.karaula("status", f"sensor/{RACKS[2]}")
        daemon.wait("the vote", lambda: daemon.status(VOTE) == "unknown")
        assert DANGER not in daemon.alarms()

        lab.fault("set-sensor", RACKS[1], value=41)
        standing(daemon, DANGER)
        assert "2 of 3 sensors are in alarm, 2 needed; 1 does not vote" in daemon.karaula("status", VOTE)
        assert 'karaula_vote_state{site="main",state="down",vote="main-overheat"} 1' in daemon.api("/metrics")
        assert "Main room overheats" in daemon.api("/")

        lab.fault("set-sensor", "main-ups-a-state", value=1)
        lab.fault("set-sensor", "main-ups-b-state", value=2)
        standing(daemon, ("ups-on-battery", "sensor/main-ups-a-state"), ("ups-low-battery", "sensor/main-ups-b-state"))

        lab.clear()
        daemon.wait(
            "everything to be well", lambda: not any(name.startswith(("ups", "dang")) for name, _ in daemon.alarms())
        )
        daemon.wait("the vote", lambda: daemon.status(VOTE) == "ok")
