"""`karaula findings`: from a failed run to a closed finding, as people type it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cli_kit import DeskDaemon, desk_daemon


@pytest.fixture
def daemon() -> Iterator[DeskDaemon]:
    with desk_daemon() as running:
        yield running


def test_from_a_failed_run_to_a_closed_finding(daemon: DeskDaemon) -> None:
    assert "no finding waits for anybody" in daemon.karaula("findings").stdout
    daemon.script.words["take"] = ["fail"]
    daemon.karaula("backup", "ncts")
    daemon.call(daemon.tracker.tick())
    shown = daemon.karaula("findings").stdout
    assert "critical" in shown
    assert "the run failed" in " ".join(shown.split())
    first = daemon.json("findings")["findings"][0]
    number, run = first["number"], first["runs"][0]
    text = daemon.karaula("finding", "show", number).stdout
    assert run in text
    refused = daemon.karaula("finding", "done", number, "seen")
    assert (refused.exit_code, "first agree on an action" in refused.stderr) == (3, True)
    late = daemon.karaula("finding", "agree", number, "more room", "--owner", "boris", "--due", "soon")
    assert (late.exit_code, "'soon' is no day; write it like 2026-12-10" in late.stderr) == (2, True)
    agreed = daemon.karaula("finding", "agree", number, "more room", "--owner", "boris", "--due", "2099-12-10")
    assert "action: more room [" in agreed.stdout
    assert "boris, due 10 Dec 2099" in agreed.stdout
    daemon.karaula("finding", "done", number, "change 4711", name="boris")
    mine = daemon.karaula("finding", "close", number, name="boris")
    assert (mine.exit_code, "another person than boris" in mine.stderr) == (3, True)
    assert "closed by ana" in daemon.karaula("finding", "close", number, "--comment", "looked at it").stdout
    left = {one["number"] for one in daemon.json("findings")["findings"]}
    assert number not in left
    assert number in {one["number"] for one in daemon.json("findings", "--all")["findings"]}
    assert "open" in daemon.karaula("finding", "reopen", number, "--reason", "again").stdout
    told = [" ".join(line.split()[1:4]) for line in daemon.karaula("finding", "show", number).stdout.splitlines()]
    course = ["critical finding about", "agreed by ana:", "done by boris:", "closed by ana:", "opened again by"]
    assert [line for line in told if line in course] == course, "all that became of it, in its order"


def test_a_person_enters_what_an_exercise_showed(daemon: DeskDaemon) -> None:
    made = daemon.json("finding", "add", "ncts", "the phone list is old", "--critical")["finding"]
    assert (made["severity"], made["entered_by"], made["state"]) == ("critical", "ana", "open")
    unknown = daemon.karaula("finding", "add", "nowhere", "x")
    assert (unknown.exit_code, "there is no system 'nowhere'" in unknown.stderr) == (2, True)
    accepted = daemon.karaula("finding", "accept", made["number"], "--reason", "the list is on the wall")
    assert "accepted by ana: the list is on the wall" in accepted.stdout
