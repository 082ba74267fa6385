"""The history on disk."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from watch_kit import ROOT

from monitor.errors import StateError
from monitor.history import History, Notice
from monitor.status.alarm import Alarm, alarm_id
from monitor.status.board import recorded_from
from monitor.status.state import Flip, Health

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OK, DOWN, UNKNOWN = Health.OK, Health.DOWN, Health.UNKNOWN
FIRST = Flip("dns/dns-main", UNKNOWN, OK, "", 1.0)
SECOND = Flip("dns/dns-main", OK, DOWN, "refused", 2.0)
THIRD = Flip("dns/dns-main", DOWN, OK, "", 3.0)


def alarm(name: str = "dns-down", subject: str = "dns/dns-main", since: float = 2.0) -> Alarm:
    return Alarm(alarm_id(name, subject, since), name, subject, "critical", since, "refused")


def cleared(given: Alarm, at: float = 3.0) -> Alarm:
    return Alarm(given.id, given.name, given.subject, given.severity, given.since, given.reason, at, note="now ok")


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    opened = History(tmp_path / "history.sqlite")
    yield opened
    opened.close()


def reopened(history: History) -> History:
    history.close()
    return History(history.path)


def test_flips_come_back_newest_first_also_after_a_restart(history: History) -> None:
    other = Flip("host/a", UNKNOWN, DOWN, "no route", 1.5, "untrusted")
    assert history.record([FIRST, other, SECOND], [], []) == []
    again = reopened(history)
    assert again.flips() == [SECOND, other, FIRST]
    assert again.flips("dns/dns-main", 1) == [SECOND]
    assert recorded_from(again.last_flips())["host/a"].detail == "untrusted"
    again.close()


def test_writing_the_same_twice_writes_it_once(history: History) -> None:
    raised = alarm()
    for _ in range(3):
        assert history.record([FIRST, SECOND, THIRD], [raised], [cleared(raised)]) == []
    assert history.flips() == [THIRD, SECOND, FIRST]
    assert history.alarms(active_only=False) == [cleared(raised)]


def test_a_flip_from_a_state_that_the_file_does_not_hold_is_mended_and_reported(history: History) -> None:
    history.record([FIRST], [], [])
    assert history.record([THIRD], [], []) == [THIRD]
    assert history.flips()[0] == Flip("dns/dns-main", OK, OK, "", 3.0)


def test_the_same_alarm_does_not_stand_twice(history: History) -> None:
    first, second = alarm(since=2.0), alarm(since=5.0)
    history.record([], [first], [])
    history.record([], [second], [])
    assert history.alarms(active_only=True) == [first]
    history.record([], [], [cleared(first)])
    history.record([], [second], [])
    assert history.alarms(active_only=True) == [second]
    assert history.alarm(first.id) == cleared(first)
    assert history.alarm("nothing") is None


def test_a_cleared_alarm_keeps_the_first_time_it_was_cleared(history: History) -> None:
    raised = alarm()
    history.record([], [raised], [cleared(raised, 3.0)])
    history.record([], [], [cleared(raised, 9.0)])
    assert history.alarms(active_only=False)[0].cleared_at == 3.0


def test_what_is_owed_and_what_was_told_is_kept_while_it_matters(history: History) -> None:
    raised = alarm()
    history.record([], [raised], [])
    history.tell([Notice(raised.id, "mail", "raised"), Notice(raised.id, "tickets", "raised")], [])
    history.tell([], [Notice(raised.id, "mail", "raised", 4.0, "<m1>")])
    history.tell([Notice(raised.id, "mail", "raised")], [])  # owed again: stays sent
    again = reopened(history)
    assert again.notices() == [
        Notice(raised.id, "tickets", "raised"),
        Notice(raised.id, "mail", "raised", 4.0, "<m1>"),
    ]
    again.record([], [], [cleared(raised)])
    assert len(again.notices()) == 2
    for channel in ("mail", "tickets"):
        again.tell([], [Notice(raised.id, channel, event, 5.0) for event in ("raised", "cleared")])
    assert again.notices() == []
    again.close()


def test_a_newer_schema_is_refused(history: History) -> None:
    history.close()
    with sqlite3.connect(history.path) as db:
        db.execute("PRAGMA user_version=2")
    db.close()
    with pytest.raises(StateError, match=r"schema version 2, this Karaula knows 1"):
        History(history.path)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "history.sqlite").write_text("not a database, " * 100)
    with pytest.raises(StateError, match="file is not a database"):
        History(tmp_path / "history.sqlite")


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="No such file or directory"):
        History(tmp_path / "missing" / "history.sqlite")


def test_a_second_holder_is_refused(history: History) -> None:
    with pytest.raises(StateError, match="held by another daemon"):
        History(history.path)
    again = reopened(history)
    again.close()


def test_a_full_disk_is_an_error_that_leaves_nothing_half_written(history: History) -> None:
    pages = history._writer.execute("PRAGMA page_count").fetchone()[0]
    history._writer.execute(f"PRAGMA max_page_count={pages}")
    many = [Flip(f"host/h{number}", UNKNOWN, OK, "x" * 200, float(number)) for number in range(500)]
    with pytest.raises(StateError, match="database or disk is full"):
        history.record(many, [alarm()], [])
    assert history.flips(limit=1000) == []
    assert history.alarms(active_only=False) == []
    history._writer.execute("PRAGMA max_page_count=1000000")
    assert history.record(many, [alarm()], []) == []
    assert len(history.flips(limit=1000)) == 500


WRITER = """
import sys
from pathlib import Path
from monitor.history import History
from monitor.status.state import Flip, Health
history = History(Path(sys.argv[1]))
at = 1.0
while True:
    old, new = (Health.OK, Health.DOWN) if at % 2 else (Health.DOWN, Health.OK)
    if at == 1.0:
        old = Health.UNKNOWN
    history.record([Flip("a/b", old, new, "", at)], [], [])
    print(int(at), flush=True)
    at += 1
"""


def test_what_was_said_to_be_written_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        for _ in range(50):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split()
    said = 50 + len([line for line in rest if line.isdigit()])
    history = History(path)
    flips = history.flips(limit=10_000)
    assert said <= len(flips) <= said + 1
    assert [flip.at for flip in reversed(flips)] == [float(number) for number in range(1, len(flips) + 1)]
    history.close()


chains = st.lists(st.sampled_from([OK, DOWN, UNKNOWN, Health.DEGRADED]), min_size=1, max_size=20)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(chains, st.integers(0, 20))
def test_repeating_any_part_of_a_batch_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, chain: list[Health], repeat_from: int
) -> None:
    history = History(tmp_path_factory.mktemp("history") / "history.sqlite")
    flips, old = [], UNKNOWN
    for at, new in enumerate(chain):
        if new is not old:
            flips.append(Flip("a/b", old, new, "", float(at)))
        old = new
    assert history.record(flips, [], []) == []
    assert history.record(flips[repeat_from:], [], []) == []
    assert history.flips(limit=100) == flips[::-1]
    history.close()
