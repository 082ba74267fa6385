"""Several systems by one command: the plan's order, one approval, what holds, going on, cancelling, the report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_kit import DeskDaemon, desk_daemon, without_times


@pytest.fixture
def daemon() -> Iterator[DeskDaemon]:
    with desk_daemon() as running:
        yield running


def asked(daemon: DeskDaemon, *systems: str) -> dict[str, Any]:
    made: dict[str, Any] = daemon.json("failover", *(systems or ("all",)), "--no-wait")["joint_run"]
    return made


def test_the_plan_shows_the_order(daemon: DeskDaemon) -> None:
    text = daemon.karaula("plan", "failover", "all").stdout
    assert "failover of 4 systems, in this order\nOne approval for all; a system begins when" in text
    assert [line.split()[:2] for line in text.splitlines() if " main to dr " in line] == [
        ["1", "ncts"],
        ["2", "ite"],
        ["2", "cdeps"],
        ["3", "exim"],
    ]
    assert "cdeps   main to dr  ite" in text
    looked = daemon.karaula("plan", "failover", "all", "--look").stdout
    assert daemon.karaula("failover", "all", "--dry-run").stdout == looked
    plan = daemon.json("plan", "failover", "ite", "cdeps")["plan"]
    assert [(one["system"], one["needs"]) for one in plan["members"]] == [("ite", []), ("cdeps", ["ite"])]


def test_one_approval_moves_all_of_them(daemon: DeskDaemon, tmp_path: Path) -> None:
    joint = asked(daemon)
    assert (joint["state"], joint["stands_still"]) == ("WAITING", "it waits for an approval")
    assert daemon.karaula("run", "approve", joint["id"], "--yes").exit_code == 3  # ana asked for it
    unasked = daemon.karaula("run", "approve", "joint-", name="bojan")
    assert (unasked.exit_code, "--yes approves what was shown" in unasked.stderr) == (2, True)
    result = daemon.karaula("run", "approve", "joint-", "--yes", name="bojan")
    assert result.exit_code == 0, result.output
    text = without_times(result.stdout)
    assert "joint-failover-ID: failover of ncts, ite, cdeps, exim by ana [socket" not in text  # the reason is empty
    ends = [line.partition(":")[0] for line in text.splitlines() if line.endswith("succeeded")]
    assert [line.split()[-1] for line in ends] == ["ncts", "ite", "cdeps", "exim"]
    assert "TIME  joint run SUCCEEDED after SPAN\n" in text
    assert "Recovery time of all of them: SPAN (from the first system's loss" in text
    report = daemon.json("run", "report", joint["id"])["report"]
    assert [(one["system"], one["met"]) for one in report["members"]] == [
        ("ncts", True),
        ("ite", True),
        ("cdeps", True),
        ("exim", True),
    ]
    assert report["rta_s"] >= max(one["rta_s"] for one in report["members"])
    kept = {form: tmp_path / f"all.{form}" for form in ("html", "pdf")}
    saved = daemon.karaula("run", "report", joint["id"], *(f"--{form}={path}" for form, path in kept.items()))
    assert saved.stdout == "".join(f"saved as {path}\n" for path in kept.values())
    assert "report of a joint run" in kept["html"].read_text(encoding="utf-8")
    assert kept["pdf"].read_bytes().startswith(b"%PDF-")
    year = daemon.json("evidence", "year", "2026")["year"]
    assert [one["run"] for one in year["joint"]] == [joint["id"]]
    assert "joint-failover-ID" in without_times(daemon.karaula("runs").stdout)
    again = daemon.karaula("failover", "all")
    assert again.exit_code == 3
    assert again.stderr.startswith("there is nothing to do: cdeps is already active at dr; ")


def test_what_failed_holds_its_dependents_until_a_person_lets_them_go_on(daemon: DeskDaemon) -> None:
    daemon.script.words["promote"] = ["fail", "fail"]  # of ite; retries are none
    joint = asked(daemon, "ite", "cdeps")
    result = daemon.karaula("run", "approve", joint["id"], "--yes", name="bojan")
    assert result.exit_code == 5, result.output
    text = without_times(result.stdout)
    assert "it stands still: run ite-failover-ID is PAUSED (step 'promote' failed: promote said no)" in text
    assert "cdeps: held: ite has not succeeded, run ite-failover-ID is PAUSED" in text
    shown = without_times(daemon.karaula("run", "show", joint["id"]).stdout)
    assert "karaula run go-on joint-failover-ID ite --reason …" in shown
    assert "waits for a person: run ite-failover-ID is PAUSED" in shown
    assert daemon.karaula("run", "go-on", joint["id"], "cdeps", "--reason", "x").exit_code == 2
    daemon.script.words["promote"] = []
    went = daemon.karaula("run", "go-on", joint["id"], "ite", "--reason", "on paper", name="bojan")
    assert went.exit_code == 5, went.output
    assert "bojan lets go on what waits for ite" in went.stdout
    assert "cdeps: run cdeps-failover-ID succeeded" in without_times(went.stdout)
    ended = daemon.karaula("run", "cancel", joint["id"], "--reason", "enough")
    assert ended.exit_code == 0, ended.output
    assert "joint run CANCELED after SPAN: canceled by ana: enough" in without_times(ended.stdout)


def test_deny_ends_it_and_unknown_systems_are_said_at_once(daemon: DeskDaemon) -> None:
    joint = asked(daemon, "ncts", "exim")
    assert daemon.json("run", "show", joint["id"])["joint_run"]["state"] == "WAITING"
    assert daemon.karaula("run", "deny", joint["id"], "--reason", "power is back", name="bojan").exit_code == 0
    wrong = daemon.karaula("failover", "nctx", "eximm")
    assert wrong.exit_code == 2
    assert wrong.stderr == "unknown system 'nctx'; did you mean 'ncts'?; unknown system 'eximm'; did you mean 'exim'?\n"
    assert daemon.karaula("run", "show", "joint-x").exit_code == 2


def test_a_backup_of_all_needs_no_approval(daemon: DeskDaemon) -> None:
    result = daemon.karaula("backup", "all")
    assert result.exit_code == 0, result.output
    assert "joint run SUCCEEDED" in result.stdout
    assert "no service was to be interrupted" in result.stdout
