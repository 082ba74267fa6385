"""A vCenter that hangs: it is named, nobody waits for it, and a failover away from it still comes to its end.

The other faults of single targets are in ``test_watch_on_the_lab.py``.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from daemon_kit import RunningDaemon, running_daemon
from estate_kit import start_lab
from prometheus_client.parser import text_string_to_metric_families

pytestmark = pytest.mark.lab


BROKEN = ("vcenter/vc-main", "vm/vc-main/", "sensor/main-rack-")  # the five rack sensors have one agent


def everybody_else_is_seen(daemon: RunningDaemon, but: frozenset[str] = frozenset()) -> None:
    """Wait for one more round of polling: what hangs would keep it from coming to its end."""
    now = daemon.api("/api/status")["at"]
    daemon.wait(
        "everybody else to be seen again",
        lambda: {each for each in daemon.unseen_since(now) if not each.startswith(BROKEN)} <= but,
    )


def test_a_vcenter_that_hangs_is_named_and_nobody_waits_for_it(tmp_path: Path) -> None:
    with start_lab(tmp_path) as lab, running_daemon(lab, tmp_path / "state") as daemon:
        daemon.wait("NCTS to be OK", lambda: daemon.status("system/ncts") == "ok")
        lab.fault("hang-vcenter", "vc-main")
        daemon.wait("the alarm", lambda: ("vcenter-down", "vcenter/vc-main") in daemon.alarms())
        lab.fault("garble-snmp", "main-rack-1-temperature")
        daemon.wait("the alarm", lambda: ("sensor-fault", "sensor/main-rack-1-temperature") in daemon.alarms())
        everybody_else_is_seen(daemon)
        samples = [one for family in text_string_to_metric_families(daemon.api("/metrics")) for one in family.samples]
        down = {one.labels["subject"] for one in samples if one.labels.get("state") == "down" and one.value}
        assert "vcenter/vc-main" in down
        assert daemon.status("system/ncts") == "ok"
        assert str(daemon.api("/-/healthy")).strip() == "healthy"

        run = daemon.api("/api/runs", {"playbook": "failover", "system": "ncts"}, user="ana")
        daemon.api(f"/api/runs/{run['id']}/approve", {"plan_hash": run["plan_hash"]}, user="bojan")
        ended = daemon.wait_run(run["id"])
        assert ended["state"] == "SUCCEEDED", ended["end_reason"] or ended["pause_reason"]
        truth = lab.truth("ncts")
        assert (truth["writable_sites"], truth["ever_double_writable"]) == (["dr"], False)
        everybody_else_is_seen(daemon, but=frozenset({"front/ncts/main", "database/ncts/main", "host/ncts-db-main"}))

        lab.clear()
        daemon.wait("the alarm to clear", lambda: ("vcenter-down", "vcenter/vc-main") not in daemon.alarms())
