"""``./do`` as far as it can be tried without making an environment (tests/chroot tries the rest by hand)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deploy import environment, gates

ROOT = Path(__file__).resolve().parents[2]


def do(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, ROOT / "do", *words], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "words",
    [(), ("nonsense",), ("run", "more"), ("clean", "all"), ("bench", "nonsense"), ("lock", "--nonsense"), ("add",)],
)
def test_wrong_usage_is_told_and_ends_with_2(words: tuple[str, ...]) -> None:
    done = do(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "./do" in done.stderr or "do: " in done.stderr


def test_help_names_every_command() -> None:
    done = do("help")
    assert done.returncode == 0
    for command in ("run", "test", "check", "bench", "matrix", "lock", "setup", "add", "clean"):
        assert f"./do {command}" in done.stdout


@pytest.mark.skipif(
    Path(sys.prefix) != environment.VENV and not os.environ.get("CI"),
    reason="runs in another checkout's environment, which it must not clean: ./do setup makes one here",
)
def test_clean_refuses_while_something_runs_from_the_environment() -> None:
    assert Path(sys.prefix) == environment.VENV, "this test must run in .venv"
    with subprocess.Popen([environment.PYTHON, "-c", "import time; time.sleep(60)"]) as running:
        try:
            # Until the new process shows its own command line and not ours.
            while str(running.pid) not in map(str, environment.running_from_venv()):
                time.sleep(0.01)
            done = do("clean")
        finally:
            running.kill()
    assert done.returncode == 1
    assert f"{running.pid}" in done.stderr
    assert "stop it first" in done.stderr
    assert environment.VENV.exists()


def test_what_has_changed_is_compiled_for_a_daemon_that_may_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    module, broken = tmp_path / "module.py", tmp_path / "broken.py"
    module.write_text("")
    broken.write_text("(")  # somebody's unfinished edit is no reason to set up nothing
    monkeypatch.setattr(environment, "PYTHON", Path(sys.executable))
    monkeypatch.setattr(environment, "PROGRAM", (str(tmp_path),))
    environment.compile_program()
    assert [path.name.partition(".")[0] for path in (tmp_path / "__pycache__").iterdir()] == ["module"]


def test_pips_settings_hold_for_uv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    here = tmp_path / "wheels"
    here.mkdir()
    config = tmp_path / "pip.conf"
    config.write_text(
        "[global]\nindex-url = https://from-file.example/simple\n"
        f"extra-index-url = https://more.example/simple\n  file://{tmp_path}/not-there\n"
        f"find-links = {here} /not-there\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    monkeypatch.setenv("PIP_INDEX_URL", "https://from-environment.example/simple")
    env = environment.uv_environment()
    assert env["UV_DEFAULT_INDEX"] == "https://from-environment.example/simple"
    assert env["UV_INDEX"] == "https://more.example/simple"
    assert env["UV_FIND_LINKS"] == str(here)


def test_what_was_said_for_uv_itself_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://pip.example/simple")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://uv.example/simple")
    assert environment.uv_environment()["UV_DEFAULT_INDEX"] == "https://uv.example/simple"


def test_another_lock_or_place_is_another_stamp(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = environment.wanted_stamp()
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    moved = environment.wanted_stamp()
    lock = tmp_path / "requirements.lock"
    lock.write_text(environment.LOCK_FILE.read_text() + "# one line more\n")
    monkeypatch.setattr(environment, "LOCK_FILE", lock)
    assert len({before, moved, environment.wanted_stamp()}) == 3


def test_the_launcher_works_in_a_long_path_with_spaces(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    venv = tmp_path / ("a long name with spaces " * 8).strip() / ".venv"
    site = venv / "lib" / "python3.11" / "site-packages"
    site.mkdir(parents=True)
    (venv / "bin").mkdir()
    python = venv / "bin" / "python"
    python.symlink_to(Path(sys.executable).resolve())
    (venv / "pyvenv.cfg").write_text((Path(sys.prefix) / "pyvenv.cfg").read_text())
    project = tmp_path / "project"
    (project / "console").mkdir(parents=True)
    (project / "console" / "main.py").write_text("import sys\n\ndef main():\n    print(sys.argv[1:])\n    return 7\n")
    (project / "pyproject.toml").write_text('[project]\nversion = "4.5.6"\n')
    monkeypatch.setattr(environment, "VENV", venv)
    monkeypatch.setattr(environment, "PYTHON", python)
    monkeypatch.setattr(environment, "ROOT", project)
    environment.put_project_into_venv()
    done = subprocess.run(
        [venv / "bin" / "karaula", "status", "two words"], capture_output=True, text=True, cwd="/", check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (7, "['status', 'two words']\n", "")
    told = "import importlib.metadata; print(importlib.metadata.version('karaula'))"
    assert subprocess.run([python, "-c", told], capture_output=True, text=True, check=True).stdout == "4.5.6\n"


def test_what_is_added_may_change_nothing_that_the_lock_pins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tried: list[tuple[str, ...]] = []
    monkeypatch.setattr(environment, "WORK", tmp_path)
    monkeypatch.setattr(environment, "installers", lambda: [("installer",)])
    monkeypatch.setattr(environment, "succeeds", lambda *command, **_: not tried.append(tuple(map(str, command))))
    assert environment.put_in(["some-actions"])
    assert tried[0] == ("installer", "-c", str(tmp_path / "pinned.txt"), "some-actions")
    pinned = (tmp_path / "pinned.txt").read_text().splitlines()
    assert len(pinned) > 50
    assert all("==" in line and "\\" not in line and "--hash" not in line for line in pinned)


def test_what_cannot_be_added_again_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "added").write_text("gone-actions\nother-actions\n")
    monkeypatch.setattr(environment, "ADDED", tmp_path / "added")
    monkeypatch.setattr(environment, "put_in", lambda packages: packages == ["other-actions"])
    environment.add_again()
    assert capsys.readouterr().out == (
        "do: gone-actions could not be added again; when that is mended: ./do add gone-actions\n"
    )


def test_the_pip_outside_is_found_from_within_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """As by whoever has .venv/bin in the PATH."""
    asked: list[Path] = []
    monkeypatch.setattr(environment.shutil, "which", lambda _program: None)
    monkeypatch.setattr(environment, "quietly", lambda *command: asked.append(Path(command[0])) or True)
    assert [way[0] for way in environment.installers()] == asked
    assert asked[0].parent == Path(sys.base_prefix) / "bin"
    assert asked[0].exists()


def test_where_nothing_can_install_that_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(environment, "WORK", tmp_path)
    monkeypatch.setattr(environment, "installers", list)
    assert not environment.put_in(["some-actions"])
    assert capsys.readouterr().out == (
        "do: neither uv nor a usable pip is here. Type: sudo apt-get install python3-pip\n"
    )


def test_every_gate_runs_beside_the_tests_and_the_first_that_failed_is_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, code in (("ruff", 0), ("mypy", 7), ("lint-imports", 4), ("python", 1)):
        tool = tools / name
        tool.write_text(f'#!/bin/sh\necho "{name} ${{PYTHONDONTWRITEBYTECODE-compiles}} $*"\nexit {code}\n')
        tool.chmod(0o755)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setattr(gates, "VENV", tmp_path)
    monkeypatch.setattr(gates, "PYTHON", tools / "python")
    assert gates.gates("-m", "not lab") == 7
    told = capfd.readouterr().out
    assert "ruff 1 format --check . do" in told
    assert "lint-imports 1\n" in told
    assert "python compiles -m pytest" in told, "each of the tests' Pythons would compile the program anew"
    summary = [line.split()[1:3] for line in told.splitlines()[-6:]]
    assert summary == [["ok", "ruff"]] * 2 + [["FAILED", "mypy"]] * 2 + [
        ["FAILED", name] for name in ("lint-imports", "pytest")
    ]


def test_what_the_quick_part_does_not_look_into_holds_nothing_for_it() -> None:
    """A test without a mark in such a folder would be tried in the whole run alone, and nobody would have said so."""
    folders = [ROOT / word.removeprefix("--ignore=") for word in gates.QUICK if word.startswith("--ignore=")]
    assert len(folders) == 3
    marks = re.compile(r"^pytestmark = .*pytest\.mark\.(lab|real|browser|proof)\b", re.MULTILINE)
    files = [path for folder in folders for path in folder.rglob("test_*.py")]
    assert [path.name for path in files if not marks.search(path.read_text())] == []
