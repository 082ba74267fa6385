"""`--dry-run` and `karaula plan --look`: the plan, what it would meet, and nothing is begun."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cli_kit import DeskDaemon, desk_daemon


@pytest.fixture
def daemon() -> Iterator[DeskDaemon]:
    with desk_daemon() as running:
        yield running


def looks(daemon: DeskDaemon, *words: str) -> dict[str, tuple[str, str]]:
    return {one["step"]: (one["met"], one["sentence"]) for one in daemon.json(*words)["looks"]}


def test_a_dry_run_shows_what_it_would_meet_and_begins_nothing(daemon: DeskDaemon) -> None:
    result = daemon.karaula("drill", "ncts", "--dry-run")
    assert result.exit_code == 0
    _, told = result.stdout.split("What a run of ncts would meet now (nothing was changed):\n")
    rows = [line.split() for line in told.splitlines()[1:4]]
    assert [row[0] for row in rows] == ["copy", "ask", "clean"]
    assert " ".join(rows[0][4:]) == "to be done it is not so"
    assert " ".join(rows[1][4:]).startswith("not asked it looks at what has come about by then")
    assert daemon.json("runs")["runs"] == []
    assert daemon.script.done == set()


def test_plan_looks_where_it_is_asked_to(daemon: DeskDaemon) -> None:
    daemon.script.done, daemon.script.blind = {"fence"}, {"promote"}
    assert looks(daemon, "plan", "failover", "ncts", "--look") == {
        "fence": ("holds-already", "it is so"),
        "promote": ("not-known", "nobody answers"),
        "service": ("not-asked", "it looks at what has come about by then: it comes after promote"),
    }
    assert "looks" not in daemon.json("plan", "failover", "ncts")
    assert "would meet" not in daemon.karaula("plan", "failover", "ncts").stdout


def test_what_is_in_the_way_is_told_with_its_reason(daemon: DeskDaemon) -> None:
    daemon.script.words["take"] = ["fail"]
    assert looks(daemon, "backup", "ncts", "--dry-run") == {"take": ("in-the-way", "take said no")}
    assert looks(daemon, "plan", "asking", "ncts", "--look")["ready"] == ("not-asked", "a person is asked")


def test_of_several_systems_each_is_looked_at(daemon: DeskDaemon) -> None:
    found = daemon.json("backup", "ncts", "cdeps", "--dry-run")["looks"]
    assert {system: [one["met"] for one in met] for system, met in found.items()} == {
        "ncts": ["as-wanted"],
        "cdeps": ["as-wanted"],
    }
    assert "What a run of cdeps would meet now" in daemon.karaula("plan", "backup", "ncts", "cdeps", "--look").stdout
    assert daemon.json("runs")["runs"] == []


def test_what_is_not_there_is_one_sentence(daemon: DeskDaemon) -> None:
    result = daemon.karaula("plan", "failover", "ntcs", "--look")
    assert result.exit_code == 2
    assert result.stderr == "unknown system 'ntcs'; did you mean 'ncts'?\n"
