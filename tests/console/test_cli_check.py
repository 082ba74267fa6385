"""`karaula check`: every mistake of inventory, playbooks and credentials at once, sorted by place."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from console.main import karaula

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(ROOT / "inventory.yaml", tmp_path)
    shutil.copytree(ROOT / "playbooks", tmp_path / "playbooks")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    return tmp_path


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def check(*words: str) -> Result:
    return CliRunner().invoke(karaula, ["check", *words])


def test_what_is_shipped_has_no_mistakes(folder: Path) -> None:
    result = check()
    assert result.exit_code == 0
    assert result.stdout.startswith("no mistakes: 2 sites, 4 systems, 19 crossings, ")
    assert result.stderr == ""


def test_mistakes_of_both_files_at_once_sorted_by_place(folder: Path) -> None:
    change(folder / "inventory.yaml", "role: dr", "role: dd")
    change(folder / "playbooks" / "failover.yaml", "timeout_s: 60", "timeout_s: sixty")
    change(folder / "playbooks" / "drill.yaml", "kind: drill", "kind: dril")
    result = check()
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "inventory.yaml",
        "playbooks/drill.yaml",
        "playbooks/failover.yaml",
    ]
    assert result.stderr == "3 mistakes\n"


def test_what_the_files_say_of_one_another(folder: Path) -> None:
    change(folder / "inventory.yaml", "playbook: failover", "playbook: failovr")
    result = check()
    assert result.exit_code == 1
    assert "unknown playbook 'failovr'; did you mean 'failover'?" in result.stdout
    assert result.stderr == "1 mistake\n"


def test_credentials_that_are_not_there(folder: Path) -> None:
    secrets = folder / "secrets"
    secrets.mkdir()
    result = check("--credentials", "secrets")
    assert result.exit_code == 1
    assert "ssh-karaula" in result.stdout
    by_environment = CliRunner(env={"CREDENTIALS_DIRECTORY": "secrets"}).invoke(karaula, ["check"])
    assert by_environment.stdout == result.stdout


def test_json_names_place_and_hint(folder: Path) -> None:
    change(folder / "inventory.yaml", "playbook: failover", "playbook: failovr")
    result = check("--output", "json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert set(document) == {"schema_version", "problems", "packages", "found"}
    assert set(document["problems"][0]) == {"file", "line", "column", "path", "message", "hint"}
    assert document["problems"][0]["hint"] == "did you mean 'failover'?"
