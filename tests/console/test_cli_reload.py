"""`karaula reload`: what it prints, and how a refusal comes to whoever asked."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from cli_kit import NOW, DeskDaemon, desk_daemon

from console.files import Changes
from console.reload import Reloaded
from monitor.problem import Problem


@pytest.fixture(scope="module")
def daemon() -> Iterator[DeskDaemon]:
    with desk_daemon() as running:
        yield running


def test_what_changed_is_printed_a_line_each(daemon: DeskDaemon) -> None:
    changes = Changes(("link/blace/primary",), ("sensor/old",), ("host/vault-dr",), ("notify", "playbooks.drill"))
    daemon.reloaded = Reloaded(NOW, changes, ("run x keeps the plan it began with",))
    said = daemon.karaula("reload", "--as", "ana")
    assert said.stdout == (
        "added    link/blace/primary\n"
        "removed  sensor/old\n"
        "changed  host/vault-dr\n"
        "changed  notify\n"
        "changed  playbooks.drill\n"
        "reloaded: 1 added, 1 removed, 1 changed, 2 others\n"
    )
    assert said.stderr == "run x keeps the plan it began with\n"
    assert said.exit_code == 0
    assert daemon.reloaded_by[-1].startswith("ana [socket, user ")


def test_nothing_changed_is_said(daemon: DeskDaemon) -> None:
    daemon.reloaded = Reloaded(NOW, Changes(), ())
    assert daemon.karaula("reload").stdout == "reloaded: nothing has changed\n"
    document = json.loads(daemon.karaula("reload", "--output", "json").stdout)
    assert document["reload"]["loaded_at"] == NOW
    assert document["reload"]["added"] == []


def test_every_mistake_comes_back_with_exit_code_1(daemon: DeskDaemon) -> None:
    first = Problem("/etc/karaula/inventory.yaml", 3, 5, "sites.main.role", "expected 'main' or 'dr', found 'x'")
    second = Problem("/etc/karaula/playbooks/drill.yaml", 1, 7, "kind", "unknown kind")
    daemon.mistakes = [first, second]
    try:
        said = daemon.karaula("reload")
        assert said.exit_code == 1
        assert said.stderr == f"{first}\n{second}\n"
        document = json.loads(daemon.karaula("reload", "--output", "json").stdout)
        assert document["error"] == {"code": "mistakes", "message": f"{first}\n{second}"}
    finally:
        daemon.mistakes = []
