"""The example package, built and installed by pip, acts in a real daemon; a broken one beside it stops nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from daemon_kit import RunningDaemon, running_daemon, unwrapped
from estate_kit import REPOSITORY, start_lab
from extension_kit import GOOD, lay_out
from real_kit import need

pytestmark = [pytest.mark.lab, pytest.mark.real]
EXAMPLE = REPOSITORY / "docs" / "examples" / "karaula-action-notice"
NOTICE = """
kind: backup
summary: Tell declarants, and see what comes of it
steps:
  - {{ id: announce, action: portal_notice, args: {{ url: "{url}", text: Moving }}, timeout_s: 30 }}
  - {{ id: after, action: wait_for, needs: [announce], on_failure: undo, timeout_s: 20,
      args: {{ tcp: "127.0.0.1:1", within_s: 1 }} }}
"""
HOIST = "kind: backup\nsummary: Hoist it\nsteps:\n  - { id: hoist, action: flag, timeout_s: 5 }\n"
RETURN = HOIST.replace("kind: backup", "kind: failback")


class Portal(BaseHTTPRequestHandler):
    """A notice that is there, and every change of it."""

    text = "Welcome"
    changes: list[str] = []  # noqa: RUF012 - the server makes an instance for each request

    def do_GET(self) -> None:
        self.reply({"text": Portal.text})

    def do_PUT(self) -> None:
        Portal.text = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"]
        Portal.changes.append(Portal.text)
        self.reply({})

    def reply(self, body: object) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def portal() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Portal) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/notice"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example as pip installs it, and a package that needs what nobody has."""
    need("pip3", "python3-pip")
    folder = tmp_path_factory.mktemp("packages")
    source = folder / "source"  # it is built where it lies, and that is not in our tree
    shutil.copytree(EXAMPLE, source)
    pip = ("/usr/bin/python3", "-m", "pip", "--quiet", "--disable-pip-version-check", "install")
    offline = ("--no-deps", "--no-build-isolation", "--no-index", "--root-user-action", "ignore")
    subprocess.run([*pip, *offline, "--target", folder / "site", source], check=True, capture_output=True)
    lay_out(folder / "site", "flags", GOOD.replace("UP = []", "import nowhere"), flag="Flag")
    return folder / "site"


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory, portal: str) -> Path:
    folder = tmp_path_factory.mktemp("books") / "playbooks"
    shutil.copytree(REPOSITORY / "playbooks", folder)
    (folder / "notice.yaml").write_text(NOTICE.format(url=portal))
    (folder / "hoist.yaml").write_text(HOIST)
    (folder / "return.yaml").write_text(RETURN)
    return folder


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, packages: Path, books: Path) -> Iterator[RunningDaemon]:
    with start_lab(tmp_path_factory.mktemp("extensions"), rate=1.0) as lab:
        state, environment = tmp_path_factory.mktemp("state") / "s", {"PYTHONPATH": str(packages)}
        with running_daemon(lab, state, environment=environment, playbooks=books, ready=False) as running:
            yield running


def run(daemon: RunningDaemon, playbook: str) -> dict[str, Any]:
    body = {"playbook": playbook, "system": "ncts", "reason": "rehearsal"}
    found: dict[str, Any] = daemon.api("/api/runs", body, user="ana")
    return found


def test_the_packages_action_is_carried_out_seen_and_taken_back(daemon: RunningDaemon) -> None:
    asked = run(daemon, "notice")
    assert asked["steps"][0]["provider"] == "karaula-action-notice 1.0.0"
    ended = daemon.wait_run(asked["id"])
    announce, after = ended["steps"]
    assert (announce["state"], after["state"]) == ("UNDONE", "FAILED")
    assert "says: Moving" in announce["evidence"]
    assert announce["outputs"] == {"before": "Welcome"}
    assert Portal.changes == ["Moving", "Welcome"]
    report = daemon.api(f"/api/runs/{ended['id']}/report.json")
    assert [step["provider"] for step in report["steps"]] == ["karaula-action-notice 1.0.0", ""]
    told = unwrapped(daemon.karaula("run", "report", ended["id"]))
    assert f"taken back; before that: {announce['evidence']}" in told, "evidence of what was is none of what is"
    assert "observed before it was undone" in daemon.api(f"/api/runs/{ended['id']}/report.html")
    journal = daemon.api(f"/api/runs/{ended['id']}/journal")
    assert "karaula-action-notice 1.0.0" in json.dumps(journal[0]), "whose action it was, and of which version, is kept"


def test_a_broken_package_is_one_sentence_and_the_watch_goes_on(daemon: RunningDaemon) -> None:
    why = "importing flags:Flag ended in ModuleNotFoundError: No module named 'nowhere'"
    daemon.wait("the alarm", lambda: ("action-unusable", "karaula/actions") in daemon.alarms())
    said, ready = (unwrapped(daemon.karaula(*words, code=None)) for words in (("status",), ("readiness", "ncts")))
    assert f"flags 1.2.0: action 'flag' cannot be used: {why}" in said
    assert "playbook 'hoist' cannot be run: action 'flag' cannot be used" in said
    assert "cannot be run: action 'flag' cannot be used" in ready
    log = daemon.log.read_text()
    assert f"flags 1.2.0: action 'flag' cannot be used: {why}" in log
    assert "Traceback" not in log
    assert why in json.dumps(run(daemon, "hoist")["error"])
    daemon.wait("the estate to be asked", lambda: daemon.status("site/main") == "ok")
    assert "cannot be used" in daemon.karaula("reload"), "a reload is not refused for it, and says it"


def test_what_the_command_line_says_of_packages(daemon: RunningDaemon, packages: Path, books: Path) -> None:
    def karaula(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "console.main", *words]
        return subprocess.run(
            command, cwd=REPOSITORY, env={"PYTHONPATH": str(packages)}, capture_output=True, text=True, check=False
        )

    files = ("--inventory", str(daemon.lab.inventory), "--playbooks", str(books))
    checked = karaula("check", *files)
    assert checked.returncode == 1
    first, second, third = checked.stdout.splitlines()
    assert first.startswith("flags 1.2.0: action 'flag' cannot be used: importing flags:Flag ended in ModuleNotFound")
    assert second.startswith(f"{books}/hoist.yaml:4:26: steps[0].action: action 'flag' cannot be used: ")
    assert "return.yaml:4:26: " in third
    assert checked.stderr == "3 mistakes\n"
    listed = json.loads(karaula("actions", "portal_notice", "fence", "--output", "json").stdout)
    assert [one["provider"].split()[0] for one in listed["actions"]] == ["karaula-action-notice", "karaula"]
    assert listed["actions"][0]["arguments"]["text"]["rule"]["description"] == "what declarants are to read"
    for name in ("hoist", "return"):
        (books / f"{name}.yaml").unlink()
    proven = karaula("prove", "notice", "--system", "ncts", "--state", "/nowhere", *files)
    assert proven.returncode == 0, proven.stdout + proven.stderr
    assert (
        "portal_notice by karaula-action-notice 1.0.0 declares that text of notice/127.0.0.1 becomes" in proven.stdout
    )
    assert "is taken at its word" in proven.stdout


def test_the_examples_own_test(packages: Path, tmp_path: Path) -> None:
    shutil.copy(EXAMPLE / "test_karaula_action_notice.py", tmp_path)
    place = {"PYTHONPATH": f"{packages}:{REPOSITORY}"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path]
    done = subprocess.run(command, cwd=tmp_path, env=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
