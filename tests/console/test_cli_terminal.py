"""On a terminal: tables that fit, a live view that fits, no colour where none is wanted, Ctrl-C, a daemon's return."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_kit import PATIENCE_S, DeskDaemon, desk_daemon
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from console.terminal import words
from console.terminal.run_view import live, window
from console.terminal.screen import Screen

ROOT = Path(__file__).resolve().parents[2]
COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-9;]*m")
ANY_STYLE = re.compile(r"\x1b\[[0-9;]*m")


Opener = Callable[..., "Terminal"]


@pytest.fixture
def terminal_of(daemon: DeskDaemon) -> Iterator[Opener]:
    """Open terminals that are closed whatever becomes of the test."""
    opened: list[Terminal] = []

    def open_one(*typed: str, **environment: str) -> Terminal:
        opened.append(Terminal(daemon, *typed, **environment))
        return opened[-1]

    yield open_one
    for terminal in opened:
        terminal.close()


@pytest.fixture
def daemon() -> Iterator[DeskDaemon]:
    with desk_daemon() as running:
        yield running


class Terminal:
    """A command on a terminal of 80x24."""

    def __init__(self, daemon: DeskDaemon, *typed: str, **environment: str) -> None:
        self.ours, theirs = pty.openpty()
        variables = {key: value for key, value in os.environ.items() if key not in {"NO_COLOR", "KARAULA_AS"}}
        variables |= {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24", "KARAULA_AS": "bojan"}
        variables |= {"KARAULA_SOCKET": str(daemon.socket), "PYTHONPATH": str(ROOT), **environment}
        # Whoever runs the tests in the background ignores SIGINT, and so would the command.
        command = ["env", "--default-signal=INT", sys.executable, "-m", "console.main", *typed]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs, env=variables)
        os.close(theirs)
        self.text = ""

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE_S)

    def until(self, wanted: str) -> str:
        """Read until ``wanted`` has been written."""
        while wanted not in self.text:
            assert self._more(), f"{wanted!r} never came:\n{self.text}"
        return self.text

    def until_step(self, step: str, state: str) -> None:
        """Read until the step has been shown in that state."""
        while not re.search(rf"^{step} +{state}\b", plain(self.text), re.MULTILINE):
            assert self._more(), f"{step} was never {state}:\n{self.text}"

    def type(self, keys: str) -> None:
        os.write(self.ours, keys.encode())

    def end(self) -> tuple[int, str]:
        """Read to the end; return the exit code and all that was written."""
        while self._more():
            pass
        os.close(self.ours)
        return self.process.wait(PATIENCE_S), self.text

    def _more(self) -> bool:
        try:
            chunk = os.read(self.ours, 65536)
        except OSError:  # Linux says EIO when the other end is closed
            return False
        self.text += chunk.decode(errors="replace")
        return bool(chunk)


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "")


def test_a_drill_is_watched_live_and_stays_on_the_screen(daemon: DeskDaemon, terminal_of: Opener) -> None:
    daemon.script.words["ask"] = ["hold"]
    terminal = terminal_of("drill", "ncts")
    terminal.until_step("ask", "in progress")
    terminal.until("Ctrl-C stops watching; the run goes on.")
    run = daemon.json("runs")["runs"][0]["id"]
    daemon.until("the run to be watched", lambda: daemon.front.app.state.streams.open == 1)
    daemon.hear(run, "ask", "the copy thinks")
    terminal.until("the copy thinks")
    daemon.script.released.set()
    code, text = terminal.end()
    assert code == 0
    assert COLOUR.search(text)
    assert "\x1b[?25h" in text  # the cursor is shown again
    after = plain(text).rpartition("SUCCEEDED")[2]
    assert re.search(r"copy +succeeded +\d\.\d s +it is so\n", after)
    assert "To type next:" in after


def test_no_color_means_none_on_a_terminal_too(daemon: DeskDaemon, terminal_of: Opener) -> None:
    code, text = terminal_of("drill", "ncts", NO_COLOR="1").end()
    assert code == 0
    assert ANY_STYLE.search(text) is None
    assert "SUCCEEDED" in text


def test_a_dumb_terminal_gets_lines(daemon: DeskDaemon, terminal_of: Opener) -> None:
    code, text = terminal_of("drill", "ncts", TERM="dumb").end()
    assert code == 0
    assert "\x1b" not in text
    assert "step copy: succeeded after" in text


def test_approving_shows_the_plan_and_asks(daemon: DeskDaemon, terminal_of: Opener) -> None:
    run = daemon.json("failover", "ncts", "--no-wait")["run"]["id"]
    terminal = terminal_of("run", "approve", run)
    terminal.until("Approve this failover of ncts as bojan? [y/N]:")
    assert max(len(line) for line in plain(terminal.text).splitlines()) <= 80
    terminal.type("n\n")
    code, text = terminal.end()
    assert (code, f"not approved; run {run} still waits" in text) == (1, True)
    terminal = terminal_of("run", "approve", run)
    terminal.until("[y/N]:")
    terminal.type("y\n")
    code, text = terminal.end()
    assert code == 0
    assert "approved by bojan" in text


def test_ctrl_c_leaves_the_run_going_and_says_so(daemon: DeskDaemon, terminal_of: Opener) -> None:
    daemon.script.words["ask"] = ["hold"]
    terminal = terminal_of("drill", "ncts")
    terminal.until_step("ask", "in progress")
    terminal.process.send_signal(signal.SIGINT)
    code, text = terminal.end()
    assert code == 130, text
    run = daemon.json("runs")["runs"][0]
    assert f"not watched any more; run {run['id']} goes on: karaula run watch {run['id']}" in text
    assert run["state"] == "IN_PROGRESS"


def test_a_paused_run_is_watched_on(daemon: DeskDaemon, terminal_of: Opener) -> None:
    daemon.script.words["promote"] = ["fail"]
    run = daemon.json("failover", "ncts", "--no-wait")["run"]["id"]
    terminal = terminal_of("run", "approve", run, "--yes")
    terminal.until(f"karaula run retry {run} promote")
    retried = daemon.karaula("run", "retry", run, "promote", "--no-wait")
    assert retried.exit_code == 0
    assert terminal.end()[0] == 0


def test_a_daemon_that_goes_away_is_waited_for(daemon: DeskDaemon, terminal_of: Opener) -> None:
    daemon.script.words["ask"] = ["hold"]
    terminal = terminal_of("drill", "ncts")
    terminal.until_step("ask", "in progress")
    daemon.call(daemon.doors.close())
    terminal.until("the daemon does not answer; the run is in its journal")
    daemon.script.released.set()
    daemon.call(daemon.open_doors())
    code, text = terminal.end()
    assert code == 0, text


def test_completion_asks_the_daemon(daemon: DeskDaemon) -> None:
    run = daemon.json("drill", "ncts")["run"]["id"]
    assert completed(daemon, "karaula run show ", "3") == [f"plain,{run}"]
    assert completed(daemon, f"karaula run retry {run} c", "4") == ["plain,copy", "plain,clean"]
    assert completed(daemon, "karaula pl", "1") == ["plain,plan"]


def completed(daemon: DeskDaemon, line: str, word: str) -> list[str]:
    variables = {"COMP_WORDS": line, "COMP_CWORD": word, "_KARAULA_COMPLETE": "bash_complete"}
    environment = {**os.environ, **variables, "KARAULA_SOCKET": str(daemon.socket)}
    code = "from console.main import karaula; karaula.main(prog_name='karaula')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_completion_without_a_daemon_is_empty(tmp_path: Path, daemon: DeskDaemon) -> None:
    daemon.socket = tmp_path / "none.sock"
    assert completed(daemon, "karaula run show ", "3") == []


# -- what needs no terminal to be seen ------------------------------------------------------------------------------


def a_step(number: int, state: str) -> dict[str, Any]:
    return {
        "id": f"step-{number}",
        "action": "look",
        "site": "dr",
        "description": "Something that is rather long to say and would not fit into what is left of a line",
        "needs": [],
        "final": False,
        "args": {},
        "effects": [],
        "timeout_s": 5.0,
        "on_failure": "stop",
        "state": state,
        "attempt": 1,
        "started_at": None,
        "ended_at": None,
        "reason": "it said no, at length: " + "no, and again no; " * 8,
        "evidence": "",
        "outputs": {},
    }


def a_run(state: str, steps: list[dict[str, Any]]) -> Any:
    return {
        "id": "ncts-failback-20261124-013000",
        "playbook": "failback",
        "system": "ncts",
        "from_site": "dr",
        "to_site": "main",
        "state": state,
        "final": False,
        "requester": "ana",
        "reason": "a reason that takes more than one line of a terminal to be told, as they do",
        "by_itself": "",
        "approved_by": "bojan",
        "approved_at": 1.0,
        "approval_expires_at": None,
        "started_at": 1.0,
        "ended_at": None,
        "interruptions": 1,
        "wish": "",
        "loss_accepted_by": "",
        "loss_accepted_s": 0.0,
        "questions": [],
        "undo_refused": "",
        "decisions": [
            [step["id"], word] for step in steps if step["state"] == "FAILED" for word in ("retry", "ignore")
        ],
        "votes": [],
        "votes_needed": 0,
        "plan_hash": "0" * 64,
        "guards": [],
        "pause_reason": "step 'step-9' failed: " + "it said no; " * 20,
        "end_reason": "",
        "steps": steps,
    }


@pytest.mark.parametrize("state", ["IN_PROGRESS", "PAUSED"])
@pytest.mark.parametrize("now_at", range(0, 30, 3))
def test_the_live_view_fits_and_shows_what_happens_now(state: str, now_at: int) -> None:
    current = "FAILED" if state == "PAUSED" else "IN_PROGRESS"
    steps = [a_step(n, "SUCCEEDED" if n < now_at else current if n == now_at else "QUEUED") for n in range(30)]
    screen = Screen()
    screen.console = Console(width=80, height=24, force_terminal=True, color_system=None, markup=False)
    with screen.console.capture() as caught:
        screen.console.print(live(a_run(state, steps), {}, screen, "the daemon does not answer"))
    lines = caught.get().splitlines()
    assert len(lines) <= 24
    assert max(len(line) for line in lines) <= 80
    assert any(line.startswith(f"step-{now_at} ") for line in lines)


@given(st.lists(st.sampled_from(["SUCCEEDED", "FAILED", "QUEUED", "IN_PROGRESS"]), max_size=40), st.integers(1, 30))
def test_a_window_loses_no_step_and_never_the_first_that_is_not_done(states: list[str], room: int) -> None:
    steps: Any = [a_step(number, state) for number, state in enumerate(states)]
    shown, above, below = window(steps, room)
    assert above + len(shown) + below == len(steps)
    assert len(shown) + bool(above) + bool(below) <= max(room, 3)
    first = next((step for step in steps if step["state"] != "SUCCEEDED"), None)
    assert first is None or first in shown


@given(st.floats(0, 1e9))
def test_a_length_of_time_is_never_sixty_of_anything(seconds: float) -> None:
    said = words.span(seconds)
    for number in re.findall(r"(\d+) (?:s|min)\b", said):
        assert int(number) < 60, said
    assert re.fullmatch(r"\d\.\d s|\d+ s|\d+ min \d\d s|\d+ h \d\d min|\d+ d \d+ h", said)


@given(st.integers(0, 300), st.integers(0, 59), st.integers(1, 59))
def test_a_length_of_time_is_read_as_it_was_written(hours: int, minutes: int, seconds: int) -> None:
    assert words.parse_span(f"{hours}h{minutes}m{seconds}s") == hours * 3600 + minutes * 60 + seconds


@given(st.text())
def test_clean_text_holds_nothing_that_moves_the_cursor(text: str) -> None:
    cleaned = words.clean(text)
    assert len(cleaned) == len(text)
    assert not any(letter < " " and letter not in "\t\n" for letter in cleaned)
    assert "\x7f" not in cleaned
    assert "\x9b" not in cleaned
