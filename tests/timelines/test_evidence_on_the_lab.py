"""The record of a real run on the lab: anchored at the vault, verified offline, and any change of it found."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner
from daemon_kit import running_daemon
from estate_kit import start_lab

from console.main import karaula

pytestmark = pytest.mark.lab


def evidence(*words: str, code: int = 0) -> str:
    result = CliRunner(env={"COLUMNS": None}).invoke(karaula, ["evidence", *words], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.stdout


def test_a_backup_is_anchored_at_the_vault_and_verified_offline(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with start_lab(tmp_path) as lab, running_daemon(lab, state) as daemon:
        daemon.wait("NCTS to be OK", lambda: daemon.status("system/ncts") == "ok")
        daemon.karaula("backup", "ncts")

        def anchored() -> bool:
            found = json.loads(daemon.karaula("lab", "anchors", "--output", "json"))["anchors"]
            return bool(found) and json.loads(found[-1])["count"] > 5

        daemon.wait("the anchor", anchored)
        anchors = tmp_path / "anchors.jsonl"
        anchors.write_text(daemon.karaula("lab", "anchors"))
        key = tmp_path / "key.pub"
        key.write_text(evidence("public-key", str(lab.credentials / "evidence-key")))
    journal = state / "journal.sqlite"
    words = ("verify", "--journal", str(journal), "--anchors", str(anchors), "--key", str(key))
    said = evidence(*words)
    assert "intact as far as this shows" in said
    assert "Integrity is not completeness" in said
    body = json.loads(evidence(*words, "--output", "json"))
    assert (body["intact"], body["runs"]) == (True, 1)
    assert body["anchored_events"] > 5
    with sqlite3.connect(journal) as db:
        db.execute("UPDATE events SET body = replace(body, 'ncts', 'exim') WHERE word = 'RunAccepted'")
    assert "FAULT  event 1 (RunAccepted, number 0 of run ncts-backup-" in evidence(*words, code=1)
