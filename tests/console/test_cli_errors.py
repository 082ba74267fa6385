"""What goes wrong is one message and a documented exit code; a defect is one line and a trace in a file."""

from __future__ import annotations

import json
import re
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from console import client, main
from console.main import karaula
from console.terminal import exits


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory, short enough for a socket's path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KARAULA_SOCKET", raising=False)
    return tmp_path


@contextmanager
def answering(path: Path, reply: bytes) -> Iterator[None]:
    """Listen at ``path`` and answer one request with ``reply``."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def serve() -> None:
        asked = b""
        while not asked:  # who only looks whether somebody listens asks nothing
            connection, _ = listener.accept()
            with connection:
                asked = connection.recv(65536)
                if asked:
                    connection.sendall(reply)

    thread = threading.Thread(target=serve)
    thread.start()
    yield
    thread.join(60)
    listener.close()


def test_no_daemon_says_what_to_type(folder: Path) -> None:
    result = CliRunner().invoke(karaula, ["status", "--socket", "x.sock"])
    assert result.exit_code == exits.NO_DAEMON
    assert result.stderr == (
        "no daemon listens at x.sock; start one with './do run', 'karaula serve' or 'systemctl start karaula', "
        "or name its socket\n"
    )


def test_no_daemon_is_a_json_document_where_json_is_wanted(folder: Path) -> None:
    result = CliRunner().invoke(karaula, ["runs", "--socket", "x.sock", "--output=json"])
    assert result.exit_code == exits.NO_DAEMON
    document = json.loads(result.stdout)
    assert (document["schema_version"], document["error"]["code"]) == (1, "no-daemon")
    assert document["error"]["message"] + "\n" == result.stderr


def test_a_daemon_that_died_leaves_a_socket_that_says_so(folder: Path) -> None:
    dead = socket.socket(socket.AF_UNIX)
    dead.bind("dead.sock")
    dead.close()
    result = CliRunner().invoke(karaula, ["status", "--socket", "dead.sock"])
    assert result.exit_code == exits.NO_DAEMON
    assert result.stderr.startswith("the daemon of dead.sock is not running any more; start one with ")


def test_something_else_behind_the_socket(folder: Path) -> None:
    with answering(folder / "o.sock", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"):
        result = CliRunner().invoke(karaula, ["status", "--socket", "o.sock"])
    assert (result.exit_code, result.stderr) == (4, "what listens at o.sock is not Karaula's daemon\n")


def test_a_connection_that_breaks_off(folder: Path) -> None:
    with answering(folder / "o.sock", b""):
        result = CliRunner().invoke(karaula, ["status", "--socket", "o.sock"])
    assert result.exit_code == exits.NO_DAEMON
    assert result.stderr.startswith("the daemon at o.sock ended while it answered; start one")


def test_a_path_that_is_too_long(folder: Path) -> None:
    result = CliRunner().invoke(karaula, ["status", "--socket", "x" * 200])
    assert result.exit_code == exits.NO_DAEMON
    assert "AF_UNIX path too long" in result.stderr


def test_a_daemon_that_broke(folder: Path) -> None:
    reply = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\noops"
    with answering(folder / "o.sock", reply):
        result = CliRunner().invoke(karaula, ["status", "--socket", "o.sock"])
    assert (result.exit_code, result.stderr) == (
        1,
        "the daemon broke over this request (HTTP 500); see its log\n",
    )


def test_a_refused_connection_is_told_as_a_matter_of_permission(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(client, "own_name", lambda: "bob")
    result = CliRunner().invoke(karaula, ["status", "--socket", "x.sock"])
    assert result.exit_code == exits.REFUSED
    assert result.stderr == (
        "bob may not use the socket x.sock: its permissions decide who may use the daemon; "
        "ask for membership of the group 'karaula', then log in anew\n"
    )


def test_the_socket_below_the_current_directory_comes_first(folder: Path) -> None:
    assert client.default_socket() == Path("/run/karaula/karaula.sock")
    local = folder / ".karaula" / "state"
    local.mkdir(parents=True)
    (local / "karaula.sock").touch()
    assert client.default_socket() == Path(".karaula/state/karaula.sock")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["statsu"], "there is no command 'statsu'; did you mean 'status'?"),
        (["run", "aprove", "x"], "there is no command 'aprove'; did you mean 'approve'?"),
        (["frobnicate"], "there is no command 'frobnicate'; see 'karaula --help'"),
        (["serve", "--listen", "8470"], "'8470' is not ADDRESS:PORT, such as 127.0.0.1:8470"),
        (["serve", "--listen", "console:8470"], "'console' is not an address"),
        (["serve", "--listen", "127.0.0.1:99999"], "is not ADDRESS:PORT"),
        (["pause", "ncts", "--for", "8d", "--reason", "x"], "'8d' is longer than 7d, which is the most"),
        (["override", "blackout", "ncts", "--for", "25h", "--reason", "x"], "'25h' is longer than 24h"),
        (["downtime", "site/dr", "--for", "9" * 400 + "h", "--reason", "x"], "is longer than 31d"),
        (["run", "ignore", "x", "y"], "Missing option '--reason'"),
        (["lab", "fault", "lie", "x", "command"], "'command' is not KEY=VALUE"),
        (["lab", "clear"], "say NAME and TARGET of the fault, or --all"),
        (["check", "--inventory", "nope.yaml"], "'nope.yaml' does not exist"),
    ],
)
def test_wrong_usage(folder: Path, words: list[str], told: str) -> None:
    (folder / "inventory.yaml").touch()
    (folder / "playbooks").mkdir()
    result = CliRunner().invoke(karaula, words, prog_name="karaula")
    assert result.exit_code == exits.USAGE
    assert told in " ".join(result.stderr.split())


@pytest.mark.parametrize("address", ["0.0.0.0", "203.0.113.7", "[::]"])  # noqa: S104 - it is refused
def test_only_loopback_is_served_and_why(folder: Path, address: str) -> None:
    (folder / "inventory.yaml").touch()
    (folder / "playbooks").mkdir()
    result = CliRunner().invoke(karaula, ["serve", "--listen", f"{address}:8470"])
    assert result.exit_code == exits.USAGE
    assert "only loopback is served: there are no log-ins yet" in result.stderr
    assert "ssh -L 8470:127.0.0.1:8470" in result.stderr


def test_no_lab(folder: Path) -> None:
    result = CliRunner().invoke(karaula, ["lab", "state", "--lab", "http://127.0.0.1:9"])
    assert result.exit_code == exits.NO_DAEMON
    assert result.stderr == ("no lab answers at http://127.0.0.1:9; start one with './do run' or 'karaula lab up'\n")


def test_a_defect_is_one_line_and_its_trace_a_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / ".karaula" / "state").mkdir(parents=True)
    monkeypatch.setattr("console.client.default_socket", lambda: 1 / 0)
    monkeypatch.setattr(sys, "argv", ["karaula", "status"])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == exits.FAILED
    told = capsys.readouterr().err
    found = re.fullmatch(
        r"this is a defect in karaula, not your mistake: ZeroDivisionError: division by zero; "
        r"its trace is in (/\S+/\.karaula/state/\S+)\n",
        told,
    )
    assert found
    assert "Traceback" in Path(found[1]).read_text()


def test_debug_shows_the_trace_at_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("console.client.default_socket", lambda: 1 / 0)
    monkeypatch.setattr(sys, "argv", ["karaula", "--debug", "status"])
    with pytest.raises(SystemExit):
        main.main()
    assert capsys.readouterr().err.startswith("Traceback (most recent call last):\n")


def test_ctrl_c_has_its_own_code(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("console.client.default_socket", interrupt)
    result = CliRunner().invoke(karaula, ["status"])
    assert result.exit_code == exits.INTERRUPTED


@pytest.mark.parametrize(("words", "title"), [([], "Karaula inventory"), (["playbook"], "Karaula playbook")])
def test_the_schemas_are_json_and_know_their_drafts(words: list[str], title: str) -> None:
    result = CliRunner().invoke(karaula, ["schema", *words])
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["title"] == title
    assert document["$schema"].endswith("2020-12/schema")
