"""What goes wrong under a run: it stops where it should, says why, and goes on when a person has seen to it.

One lab and one daemon; each test has a system of its own. Alarms prepare nothing here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from crash_kit import quiet
from daemon_kit import RunningDaemon, running_daemon
from estate_kit import REPOSITORY, start_lab
from prometheus_client.parser import text_string_to_metric_families

pytestmark = pytest.mark.lab
PROVEN = "karaula_backup_proven_timestamp_seconds"
FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    folder = tmp_path_factory.mktemp("recovery")
    with start_lab(folder) as lab:
        lab.wait_for("exim", lambda truth: truth["acknowledged"] >= 1)
        with running_daemon(lab, folder / "state", inventory=quiet(lab), playbooks=hasty(folder)) as daemon:
            for system in ("ncts", "cdeps", "ite", "exim"):
                daemon.wait(f"{system} to be OK", lambda system=system: daemon.status(f"system/{system}") == "ok")
            yield daemon


def hasty(folder: Path) -> Path:
    """Return the shipped playbooks with a failover that gives up after seconds, not minutes."""
    copy = folder / "playbooks"
    copy.mkdir()
    for path in (REPOSITORY / "playbooks").glob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        if path.stem == "failover":
            text = re.sub(r"timeout_s: (60|120)\n    retries: 2", "timeout_s: 8\n    retries: 0", text)
        (copy / path.name).write_text(text, encoding="utf-8")
    return copy


def begun(daemon: RunningDaemon, playbook: str, system: str) -> str:
    """Ask for a run and approve it where it waits; return its id."""
    run = daemon.api("/api/runs", {"playbook": playbook, "system": system, "reason": "a test"}, user="ana")
    assert "id" in run, run
    if run["state"] == "WAITING":
        daemon.api(f"/api/runs/{run['id']}/approve", {"plan_hash": run["plan_hash"]}, user="bojan")
    return str(run["id"])


def step(run: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in run["steps"] if one["id"] == name)


def test_a_fence_that_is_not_proven_pauses_before_anything_is_promoted(daemon: RunningDaemon) -> None:
    lab = daemon.lab
    lab.fault("stuck-fence", "pdu-main/ncts")
    run_id = begun(daemon, "failover", "ncts")
    run = daemon.wait_run(run_id, "PAUSED")
    assert "fence-old" in run["pause_reason"]
    assert "draws" in run["pause_reason"]
    assert step(run, "promote")["state"] == "QUEUED"
    assert lab.effects("ncts", "promote") == []
    assert lab.truth("ncts")["writable_sites"] == ["main"]
    assert f"karaula run retry {run_id} fence-old" in daemon.karaula("run", "show", run_id)
    refused = daemon.karaula("run", "ignore", run_id, "fence-old", "--reason", "hurry", user="ana", code=3)
    assert "is the fence; it cannot be passed over" in refused
    assert lab.effects("ncts", "promote") == []

    lab.clear("stuck-fence", "pdu-main/ncts")
    daemon.karaula("run", "resume", run_id, "--reason", "the relay was replaced", user="ana")
    run = daemon.run(run_id)
    assert run["state"] == "SUCCEEDED", run["end_reason"]
    truth = lab.truth("ncts")
    assert (truth["writable_sites"], truth["ever_double_writable"]) == (["dr"], False)
    assert len(lab.effects("ncts", "promote")) == 1


def test_a_promotion_that_only_claims_success_is_not_believed(daemon: RunningDaemon) -> None:
    lab = daemon.lab
    lab.fault("lie", "cdeps-db-dr", command="ledgerctl promote")
    run_id = begun(daemon, "failover", "cdeps")
    run = daemon.wait_run(run_id, "PAUSED")
    assert "promote" in run["pause_reason"]
    assert "standby" in run["pause_reason"]
    assert step(run, "names")["state"] == "QUEUED"
    assert lab.effects("cdeps", "promote") == []
    assert lab.effects("cdeps", "address") == []

    lab.clear("lie", "cdeps-db-dr")
    daemon.karaula("run", "retry", run_id, "promote", "--reason", "the database was mended", user="ana")
    run = daemon.run(run_id)
    assert run["state"] == "SUCCEEDED", run["end_reason"]
    truth = lab.truth("cdeps")
    assert (truth["writable_sites"], truth["ever_double_writable"]) == (["dr"], False)


def test_a_host_with_a_changed_key_is_named_and_no_step_talks_to_it(daemon: RunningDaemon) -> None:
    lab = daemon.lab
    lab.fault("change-host-key", "ite-db-dr")
    daemon.wait("the alarm", lambda: ("host-untrusted", "host/ite-db-dr") in daemon.alarms())
    alarm = next(one for one in daemon.api("/api/alarms") if one["subject"] == "host/ite-db-dr")
    assert len(set(FINGERPRINT.findall(alarm["reason"]))) == 2, alarm["reason"]
    run_id = begun(daemon, "failover", "ite")
    run = daemon.wait_run(run_id, "PAUSED")
    assert "promote" in run["pause_reason"]
    assert len(set(FINGERPRINT.findall(run["pause_reason"]))) == 2, run["pause_reason"]
    assert [one for one in lab.truth("ite")["effects"] if one["by"] == "ssh"] == []

    lab.clear("change-host-key", "ite-db-dr")
    daemon.wait("the alarm to clear", lambda: ("host-untrusted", "host/ite-db-dr") not in daemon.alarms())
    daemon.karaula("run", "resume", run_id, "--reason", "the key was looked into", user="ana")
    run = daemon.run(run_id)
    assert run["state"] == "SUCCEEDED_WITH_WARNINGS"
    assert run["end_reason"].startswith("passed over: loss (")
    assert lab.truth("ite")["writable_sites"] == ["dr"]


def proven(daemon: RunningDaemon, system: str) -> float | None:
    answer = daemon.api("/api/backups")
    mine = next(proof for proof in answer["proofs"] if proof["system"] == system)
    taken = {backup["id"]: backup["taken_at"] for backup in answer["backups"]}
    return None if mine["proven"] is None else float(taken[mine["proven"]])


def test_a_backup_that_does_not_restore_fails_at_the_check_that_finds_it_and_proves_nothing(
    daemon: RunningDaemon,
) -> None:
    lab = daemon.lab
    assert proven(daemon, "exim") is None
    for playbook in ("backup", "verify"):
        run = daemon.wait_run(begun(daemon, playbook, "exim"))
        assert run["state"] == "SUCCEEDED", run["end_reason"]
    proven_before = proven(daemon, "exim")
    assert proven_before is not None

    run = daemon.wait_run(begun(daemon, "backup", "exim"))
    assert run["state"] == "SUCCEEDED", run["end_reason"]
    lab.fault("lie", "vault-dr", command="ledgerctl restore")
    run = daemon.wait_run(begun(daemon, "verify", "exim"))
    assert run["state"] == "FAILED"
    assert step(run, "restore")["state"] == "FAILED", run["end_reason"]
    assert "step 'restore'" in run["end_reason"]
    assert proven(daemon, "exim") == proven_before

    lab.clear("lie", "vault-dr")
    lab.fault("corrupt-backup", "exim")
    run = daemon.wait_run(begun(daemon, "verify", "exim"))
    assert run["state"] == "FAILED"
    assert step(run, "bytes")["state"] == "FAILED"
    assert step(run, "restore")["state"] in {"SKIPPED", "CANCELED"}
    assert "damaged" in run["end_reason"]
    assert proven(daemon, "exim") == proven_before
    samples = [one for family in text_string_to_metric_families(daemon.api("/metrics")) for one in family.samples]
    shown = {one.labels["system"]: one.value for one in samples if one.name == PROVEN}
    assert shown == {"exim": proven_before}
    assert lab.lab_state()["scratches"] == []
    report = daemon.karaula("run", "report", run["id"])
    assert "damaged" in report


def test_a_run_that_is_denied_does_nothing(daemon: RunningDaemon) -> None:
    lab = daemon.lab
    before = lab.truth("exim")["effects"]
    run = daemon.api("/api/runs", {"playbook": "failover", "system": "exim"}, user="ana")
    own = daemon.api(f"/api/runs/{run['id']}/approve", {"plan_hash": run["plan_hash"]}, user="Ana")
    assert "somebody else must approve" in own["error"]["message"]
    other = daemon.api(f"/api/runs/{run['id']}/approve", {"plan_hash": "0" * 64}, user="bojan")
    assert "not the plan" in other["error"]["message"]
    daemon.karaula("run", "deny", run["id"], "--reason", "main is coming back", user="bojan")
    denied = daemon.run(run["id"])
    assert denied["state"] == "CANCELED"
    assert "main is coming back" in denied["end_reason"]
    assert "bojan" in denied["end_reason"]
    late = daemon.api(f"/api/runs/{run['id']}/approve", {"plan_hash": run["plan_hash"]}, user="bojan")
    assert "error" in late
    assert lab.truth("exim")["effects"] == before
