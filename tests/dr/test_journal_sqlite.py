"""The journal on disk: one holder, whole transactions, an append that may be repeated, no newer schema."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from engine_kit import FAILOVER, accepted

from dr.errors import IllegalEvent
from dr.journal.event import Interrupted, Paused, Recovered, StepStarted
from dr.journal.pause import Pause
from dr.journal.sqlite import SqliteJournal, StepOutput
from monitor.errors import StateError


def test_what_was_appended_is_loaded_in_order(tmp_path: Path) -> None:
    _, events = accepted(FAILOVER)
    journal = SqliteJournal(tmp_path / "journal.sqlite")
    journal.append("r", 0, events)
    journal.append("r", 1, [Interrupted(1.0), Recovered(2.0)], [StepOutput("fence", 1, "hello")])
    journal.close()
    journal = SqliteJournal(tmp_path / "journal.sqlite")
    assert journal.load() == {"r": [*events, Interrupted(1.0), Recovered(2.0)]}
    assert [output.text for output in journal.outputs("r")] == ["hello"]
    journal.close()


def test_repeating_an_append_writes_nothing_twice_and_another_event_is_refused(tmp_path: Path) -> None:
    _, events = accepted(FAILOVER)
    journal = SqliteJournal(tmp_path / "journal.sqlite")
    journal.append("r", 0, events)
    journal.append("r", 0, [*events, Paused(1.0, "ana", "why")])
    with pytest.raises(IllegalEvent):
        journal.append("r", 1, [Paused(1.0, "ana", "something else")])
    assert len(journal.load()["r"]) == 2
    journal.close()


def test_a_hole_in_the_journal_is_not_loaded(tmp_path: Path) -> None:
    _, events = accepted(FAILOVER)
    journal = SqliteJournal(tmp_path / "journal.sqlite")
    journal.append("r", 0, events)
    journal.append("r", 2, [Interrupted(1.0)])
    with pytest.raises(IllegalEvent, match="number 1 is missing"):
        journal.load()
    journal.close()


def test_a_second_daemon_is_told_who_holds_the_state(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "journal.sqlite")
    with pytest.raises(StateError, match=f"held by another daemon \\(process {os.getpid()}\\)"):
        SqliteJournal(tmp_path / "journal.sqlite")
    journal.close()
    SqliteJournal(tmp_path / "journal.sqlite").close()


def test_a_newer_schema_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    SqliteJournal(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(StateError, match="schema version 99"):
        SqliteJournal(path)


def test_a_file_that_is_no_database_is_one_message(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    path.write_bytes(b"not a database at all, but long enough to be looked at" * 20)
    with pytest.raises(StateError, match="cannot be used"):
        SqliteJournal(path)


def test_pauses_begin_expire_and_are_lifted(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "journal.sqlite")
    journal.add_pause(Pause("ncts", "ana", "works", 10.0, 100.0))
    journal.add_pause(Pause("all", "ana", "works", 10.0, 50.0))
    assert [pause.system for pause in journal.pauses(20.0)] == ["ncts", "all"]
    assert [pause.system for pause in journal.pauses(60.0)] == ["ncts"]
    assert journal.lift_pause("ncts", "ana", 61.0) == 1
    assert journal.pauses(62.0) == []
    journal.close()


WRITER = """
import sys
from pathlib import Path
from dr.journal.event import StepStarted
from dr.journal.sqlite import SqliteJournal
journal = SqliteJournal(Path(sys.argv[1]))
number = sum(len(events) for events in journal.load().values())
while True:
    journal.append("r", number, [StepStarted(0.0, "s", number, "k", 1)])
    print(number, flush=True)
    number += 1
"""


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    for _ in range(10):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        assert writer.stdout is not None
        for line in writer.stdout:
            if int(line) % 40 == 39:
                break
        writer.send_signal(signal.SIGKILL)
        rest = writer.stdout.read().split()
        writer.wait()
        writer.stdout.close()
        acknowledged = max([int(line), *(int(word) for word in rest)])
        journal = SqliteJournal(path)
        numbers = [event.attempt for event in journal.load()["r"] if isinstance(event, StepStarted)]
        journal.close()
        assert numbers == list(range(len(numbers)))
        assert len(numbers) >= acknowledged + 1
