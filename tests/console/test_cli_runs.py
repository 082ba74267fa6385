"""Runs by the command line: started, watched, approved, refused, retried; text, JSON and exit codes."""

from __future__ import annotations

import getpass
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from cli_kit import DeskDaemon, desk_daemon, without_times


@pytest.fixture
def daemon() -> Iterator[DeskDaemon]:
    with desk_daemon() as running:
        yield running


def in_thread(daemon: DeskDaemon, path: str, body: dict[str, str], name: str) -> None:
    """Decide as another person does from another terminal."""
    from console.client import Client  # noqa: PLC0415 - the command line's own

    client = Client(daemon.socket, name)
    client.post(path, body)
    client.close()


def test_a_drill_is_watched_to_its_end_one_line_a_change(daemon: DeskDaemon) -> None:
    result = daemon.karaula("drill", "ncts", "--reason", "Sunday")
    assert result.exit_code == 0
    assert result.stderr == ""
    lines = without_times(result.stdout).splitlines()
    assert lines[0] == "TIME  ncts-drill-ID: drill of ncts, main to dr, by ana: Sunday [socket, user USER]"
    assert "TIME  step copy: succeeded after SPAN: it is so" in lines
    assert "TIME  step ask: succeeded after SPAN: found=7" in lines
    assert "TIME  step clean: succeeded after SPAN: found=7" in lines
    assert "TIME  run SUCCEEDED after SPAN" in lines
    assert "TIME    karaula run report ncts-drill-ID   (what happened, with the times that were measured)" in lines
    assert "\x1b" not in result.stdout


def test_a_playbook_of_ones_own_is_started_by_its_name(daemon: DeskDaemon) -> None:
    books = dict(daemon.orchestrator.rules.playbooks)
    books["gentle-drill"] = replace(books["drill"], name="gentle-drill")
    daemon.orchestrator.rules = replace(daemon.orchestrator.rules, playbooks=books)
    result = daemon.karaula("start", "gentle-drill", "ncts", "--reason", "Sunday")
    assert result.exit_code == 0
    assert "ncts-gentle-drill-ID: gentle-drill of ncts, main to dr, by ana: Sunday" in without_times(result.stdout)
    assert "gentle-drill of ncts, main to dr" in daemon.karaula("start", "gentle-drill", "ncts", "--dry-run").stdout
    unknown = daemon.karaula("start", "gentle-drll", "ncts")
    assert unknown.exit_code == 2
    assert unknown.stderr == (
        "unknown playbook 'gentle-drll'; did you mean 'gentle-drill'? (a new file counts after 'karaula reload')\n"
    )


def test_no_wait_returns_at_once_and_watch_takes_it_up(daemon: DeskDaemon) -> None:
    daemon.script.words["copy"] = ["hold"]
    result = daemon.karaula("drill", "ncts", "--no-wait")
    assert result.exit_code == 0
    assert "karaula run watch ncts-drill-ID   (watch it to its end)" in without_times(result.stdout)
    daemon.script.released.set()
    assert daemon.karaula("run", "watch").exit_code == 0


def test_a_failover_says_who_may_approve_and_goes_on_when_somebody_did(daemon: DeskDaemon) -> None:
    daemon.when("WAITING", lambda run: in_thread(daemon, f"/api/runs/{run}/approve", {}, "bojan"))
    result = daemon.karaula("failover", "ncts", "--reason", "test")
    assert result.exit_code == 0, result.output
    text = without_times(result.stdout)
    assert "TIME  run WAITING for an approval until TIME; then it is refused\n" in text
    assert "TIME    karaula run approve ncts-failover-ID --as NAME   (anybody but ana may; " in text
    assert "TIME  approved by bojan\n" in text
    assert "TIME  run SUCCEEDED after SPAN\n" in text
    assert "Decision" in text


def test_approve_shows_the_plan_and_sends_what_was_shown(daemon: DeskDaemon) -> None:
    run = daemon.json("failover", "ncts", "--no-wait")["run"]
    result = daemon.karaula("run", "approve", run["id"], "--yes", name="bojan")
    assert result.exit_code == 0, result.output
    text = without_times(result.stdout)
    assert "1  fence    fence at main     Cut the power of the old side\n" in text
    assert "2  promote  promote at dr     Let the other side write\n" in text
    assert "approval      wait   a failover changes production: a person other than ana must read the plan" in text
    assert f"plan {run['plan_hash'][:12]}" in result.stdout
    journal = daemon.json("run", "show", run["id"], "--journal")["journal"]
    approved = next(entry for entry in journal if entry["word"] == "Approved")
    assert (approved["body"]["by"], approved["body"]["plan_hash"]) == ("bojan", run["plan_hash"])


def test_without_a_terminal_nothing_is_approved_unless_yes_is_said(daemon: DeskDaemon) -> None:
    run = daemon.json("failover", "ncts", "--no-wait")["run"]
    result = daemon.karaula("run", "approve", run["id"], name="bojan")
    assert result.exit_code == 2
    assert "nobody can be asked without a terminal; --yes approves what was shown" in result.stderr
    assert daemon.json("run", "show")["run"]["state"] == "WAITING"


def test_who_asked_cannot_approve(daemon: DeskDaemon) -> None:
    run = daemon.json("failover", "ncts", "--no-wait")["run"]["id"]
    result = daemon.karaula("run", "approve", run, "--yes")
    assert result.exit_code == 3
    assert result.stderr.startswith("ana asked for this run")


def test_deny_ends_a_waiting_run_and_that_is_well(daemon: DeskDaemon) -> None:
    run = daemon.json("failover", "ncts", "--no-wait")["run"]["id"]
    result = daemon.karaula("run", "deny", run, "--reason", "power is back", name="bojan")
    assert result.exit_code == 0
    assert "run CANCELED" in result.stdout
    again = daemon.karaula("run", "deny", run)
    assert again.exit_code == 3
    assert "CANCELED; " in again.stderr


def test_a_failed_attended_step_pauses_with_the_commands_to_type(daemon: DeskDaemon) -> None:
    daemon.script.words["promote"] = ["fail", "well"]
    run = daemon.json("failover", "ncts", "--no-wait")["run"]["id"]
    result = daemon.karaula("run", "approve", run, "--yes", name="bojan")
    assert result.exit_code == 5
    text = without_times(result.stdout)
    assert "TIME  run PAUSED: step 'promote' failed: promote said no\n" in text
    assert "TIME    karaula run retry ncts-failover-ID promote   (do it again)\n" in text
    assert "TIME    karaula run ignore ncts-failover-ID promote --reason …   (go on without it)\n" in text
    assert "TIME    karaula run cancel ncts-failover-ID --reason …   (end it)\n" in text
    assert daemon.karaula("run", "retry", run, "nope").exit_code == 2
    retried = daemon.karaula("run", "retry", run, "promote", "--reason", "looked at it")
    assert retried.exit_code == 0, retried.output
    assert "step promote: succeeded after SPAN: attempt 2: it is so" in without_times(retried.stdout)


def test_a_fence_cannot_be_ignored_and_is_not_offered(daemon: DeskDaemon) -> None:
    daemon.script.words["fence"] = ["fail"]
    run = daemon.json("failover", "ncts", "--no-wait")["run"]["id"]
    result = daemon.karaula("run", "approve", run, "--yes", name="bojan")
    assert result.exit_code == 5
    assert "run ignore" not in result.stdout
    assert "karaula override fencing ncts --for 30m --reason …   (two people take it upon themselves" in result.stdout
    ignored = daemon.karaula("run", "ignore", run, "fence", "--reason", "it burns")
    assert ignored.exit_code == 3
    assert "fence" in ignored.stderr
    asked = daemon.json("override", "fencing", "ncts", "--for", "30m", "--reason", "it is dark", name="vera")[
        "override"
    ]
    assert (asked["id"], asked["in_force"]) == ("1", False)
    assert "NOT in force, it waits for a second person" in daemon.karaula("status").stdout
    refused = daemon.karaula("override", "--confirm", "1", name="vera")
    assert (refused.exit_code, "somebody else must confirm it" in refused.stderr) == (3, True)
    assert "confirmed by boris; in force until" in daemon.karaula("override", "--confirm", "1", name="boris").stdout
    shown = daemon.karaula("run", "show", run).stdout
    assert "override 1: 'fencing' for ncts, by vera, confirmed by boris; in force until" in shown
    assert "'fencing' holds for ncts again" in daemon.karaula("override", "--end", "1", name="vera").stdout
    assert daemon.karaula("override").stdout == "nothing is overridden\n"
    assert daemon.karaula("run", "cancel", run, "--reason", "enough").exit_code == 1  # it FAILED before


def test_a_step_nobody_can_tell_of_may_be_resumed_retried_or_ignored(daemon: DeskDaemon) -> None:
    daemon.script.words["promote"] = ["lost"]
    daemon.script.blind.add("promote")
    run = daemon.json("failover", "ncts", "--no-wait")["run"]["id"]
    result = daemon.karaula("run", "approve", run, "--yes", name="bojan")
    assert result.exit_code == 5
    text = without_times(result.stdout)
    assert "karaula run retry ncts-failover-ID promote   (it did not happen: do it again)" in text
    assert "karaula run ignore ncts-failover-ID promote --reason …   (it did happen: go on)" in text
    shown = without_times(daemon.karaula("run", "show").stdout)
    assert "karaula run resume ncts-failover-ID\n      go on: failed steps again, unknown ones looked at\n" in shown


def test_a_failed_drill_ends_with_one(daemon: DeskDaemon) -> None:
    daemon.script.words["ask"] = ["fail"]
    result = daemon.karaula("drill", "ncts")
    assert result.exit_code == 1
    assert "run FAILED after" in result.stdout
    assert "ask said no" in result.stdout


def test_a_second_run_of_a_system_is_refused_with_the_guards_words(daemon: DeskDaemon) -> None:
    daemon.json("failover", "ncts", "--no-wait")
    result = daemon.karaula("drill", "ncts")
    assert result.exit_code == 3
    assert "ncts" in result.stderr
    assert result.stdout == ""
    told = daemon.json("drill", "ncts", code=3)
    assert (told["schema_version"], told["error"]["code"]) == (1, "exclusive")


def test_what_is_mistyped_is_a_matter_of_usage(daemon: DeskDaemon) -> None:
    for words in (("drill", "nctz"), ("plan", "drlil", "ncts"), ("run", "show", "nope"), ("run", "show")):
        result = daemon.karaula(*words)
        assert result.exit_code == 2, words
        assert len(result.stderr.splitlines()) == 1, words
    assert daemon.karaula("drill", "nctz").stderr == "unknown system 'nctz'; did you mean 'ncts'?\n"


def test_dry_run_is_the_plan_and_changes_nothing(daemon: DeskDaemon) -> None:
    dry = daemon.karaula("failover", "ncts", "--dry-run")
    assert (dry.exit_code, dry.stdout) == (0, daemon.karaula("plan", "failover", "ncts", "--look").stdout)
    assert daemon.json("runs") == {"schema_version": 1, "runs": [], "joint_runs": []}
    plan = daemon.json("plan", "failover", "ncts")
    assert set(plan) == {"schema_version", "plan"}
    assert [step["id"] for step in plan["plan"]["steps"]] == ["fence", "promote", "service"]


def test_json_of_a_run_is_one_document_and_remarks_go_beside_it(daemon: DeskDaemon) -> None:
    daemon.when("WAITING", lambda run: in_thread(daemon, f"/api/runs/{run}/approve", {}, "bojan"))
    result = daemon.karaula("failover", "ncts", "--output", "json")
    document = json.loads(result.stdout)
    assert (document["schema_version"], document["run"]["state"]) == (1, "SUCCEEDED")
    assert "karaula run approve" in result.stderr


def test_runs_and_show_and_report(daemon: DeskDaemon, tmp_path: object) -> None:
    daemon.karaula("backup", "ncts")
    runs = without_times(daemon.karaula("runs").stdout).splitlines()
    assert runs[0].split() == ["RUN", "STATE", "STEPS", "BEGUN", "TOOK", "BY"]
    assert runs[1].split() == ["ncts-backup-ID", "succeeded", "1/1", "TIME", "SPAN", "ana"]
    shown = without_times(daemon.karaula("run", "show", "--log", "--journal").stdout)
    assert shown.startswith("ncts-backup-ID  SUCCEEDED\nbackup of ncts, main to dr, by ana: [socket, user USER]\n")
    assert "-- take, attempt 1\n" in shown
    assert "RunEnded" in shown
    report = daemon.karaula("run", "report")
    assert "MEASURED" in report.stdout
    page = daemon.folder / "r.html"
    assert daemon.karaula("run", "report", "--html", str(page)).stdout == f"saved as {page}\n"
    assert page.read_text().lstrip().lower().startswith("<!doctype html>")
    assert json.loads(daemon.karaula("run", "report", "--json").stdout)["report"]["kind"] == "backup"
    pdf = page.with_suffix(".pdf")
    assert daemon.karaula("run", "report", "--pdf", str(pdf)).stdout == f"saved as {pdf}\n"
    assert pdf.read_bytes().startswith(b"%PDF-")
    assert daemon.karaula("run", "report", "--html", "/nowhere/r.html").exit_code == 2


def test_the_account_is_the_name_when_none_is_said(daemon: DeskDaemon) -> None:
    run = daemon.karaula("backup", "ncts", "--output", "json", KARAULA_AS="")
    assert json.loads(run.stdout)["run"]["requester"] == getpass.getuser()


def test_a_cyrillic_name_arrives_as_it_was_typed(daemon: DeskDaemon) -> None:
    run = daemon.json("backup", "ncts", name="Ана Трајковска")["run"]
    assert run["requester"] == "Ана Трајковска"


def test_a_name_that_is_none_is_refused(daemon: DeskDaemon) -> None:
    result = daemon.karaula("backup", "ncts", name="karaula")
    assert result.exit_code == 2
    assert "karaula" in result.stderr


def test_the_beginning_of_an_id_means_the_run_that_can_be_meant(daemon: DeskDaemon) -> None:
    daemon.karaula("backup", "ncts")
    run = daemon.json("failover", "ncts", "--no-wait")["run"]["id"]
    assert daemon.karaula("run", "show", "ncts").exit_code == 2
    denied = daemon.json("run", "deny", "ncts", name="bojan")["run"]
    assert (denied["id"], denied["state"]) == (run, "CANCELED")
    assert daemon.karaula("run", "deny", "ncts").stderr.startswith("'ncts' begins 2 runs: ")
