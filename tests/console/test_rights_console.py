"""Rights at the command line, on the pages and over the API: who may not is told so, and who may is named."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlencode

import pytest
from cli_kit import DeskDaemon, desk_daemon, estate
from web_kit import WebDaemon, web_daemon

from console.api import actor
from dr.engine.orchestrator import Request
from monitor.inventory.recovery import Right

ME = pwd.getpwuid(os.getuid()).pw_name
MOVES = ("switchover", "failover", "reprotect", "failback")
RIGHTS = {
    "operators": Right(people=("boris",), may=("request", "steer"), kinds=("backup", "verify", "drill")),
    "on-call": Right(people=("ana", "vera"), may=("request", "steer"), kinds=MOVES),
    "managers": Right(people=("goce",), may=("approve", "override"), kinds=MOVES),
}


@pytest.fixture
def daemon() -> Iterator[DeskDaemon]:
    with desk_daemon() as running:
        yield running


@pytest.fixture
def pages() -> Iterator[WebDaemon]:
    with web_daemon() as running:
        yield running


def give(daemon: DeskDaemon, rights: dict[str, Right]) -> None:
    """Let the daemon go by an inventory with these, as after a reload."""
    inventory = estate().model_copy(update={"rights": rights})

    async def change() -> None:
        daemon.orchestrator.reload(replace(daemon.orchestrator.world, inventory=inventory), daemon.orchestrator.rules)
        daemon.front.change(replace(daemon.desk, inventory=inventory))

    daemon.call(change())


def test_without_an_entry_the_command_says_that_everybody_may(daemon: DeskDaemon) -> None:
    give(daemon, {})
    shown = " ".join(daemon.karaula("rights").stdout.split())
    assert "whoever reaches the daemon may have everything done" in shown
    table = daemon.karaula("rights", "ncts").stdout
    assert "failover    everybody" in table
    assert daemon.json("rights")["rights"] == []


def test_the_table_and_a_system_that_does_not_exist(daemon: DeskDaemon) -> None:
    give(daemon, RIGHTS)
    assert daemon.karaula("rights").stdout.splitlines() == [
        "NAME       PEOPLE     MAY                KINDS                                      SYSTEMS  OWN ACCOUNT ONLY",
        "operators  boris      request, steer     backup, verify, drill                      all      no",
        "on-call    ana, vera  request, steer     switchover, failover, reprotect, failback  all      no",
        "managers   goce       approve, override  switchover, failover, reprotect, failback  all      no",
    ]
    found = {one["kind"]: one for one in daemon.json("rights", "ncts")["rights"]}
    assert found["failover"]["approve"] == ["goce"]
    assert found["drill"]["override"] == []
    assert "failover    ana, vera  goce" in daemon.karaula("rights", "ncts").stdout
    wrong = daemon.karaula("rights", "nctx")
    assert (wrong.exit_code, "did you mean 'ncts'?" in wrong.stderr) == (2, True)


def test_a_right_to_drills_is_none_to_a_failover(daemon: DeskDaemon) -> None:
    give(daemon, RIGHTS)
    refused = daemon.karaula("failover", "ncts", "--no-wait", name="boris")
    assert refused.exit_code == 3
    assert "boris may not request a failover of ncts" in refused.stderr
    assert "the inventory gives that right to ana, vera (karaula rights ncts)" in refused.stderr
    assert daemon.karaula("drill", "ncts", "--no-wait", name="boris").exit_code == 0
    daemon.karaula("run", "cancel", daemon.orchestrator.runs()[0].id, name="boris")
    plan = daemon.karaula("plan", "failover", "ncts", name="boris").stdout
    assert "boris may not request" in plan


def test_who_may_approve_is_named_and_others_do_not(daemon: DeskDaemon) -> None:
    give(daemon, RIGHTS)
    daemon.script.words["fence"] = ["fail"]
    run = daemon.json("failover", "ncts", "--no-wait", name="ana")["run"]["id"]
    assert "goce may; shows the plan first" in daemon.karaula("run", "show", run).stdout
    plan = daemon.karaula("plan", "failover", "ite", name="ana").stdout
    assert "one of those who may (goce) must read the plan and say 'karaula run approve RUN'" in " ".join(plan.split())
    for decision in ("approve", "deny"):
        refused = daemon.karaula("run", decision, run, "--yes", name="vera") if decision == "approve" else None
        refused = refused or daemon.karaula("run", decision, run, "--reason", "no", name="vera")
        assert (refused.exit_code, "vera may not approve a failover of ncts" in refused.stderr) == (3, True)
    assert daemon.karaula("run", "approve", run, "--yes", "--no-wait", name="goce").exit_code == 0
    daemon.until("it stands still", lambda: daemon.orchestrator.run(run).state.value == "PAUSED")
    for words in (("resume", run), ("retry", run, "fence"), ("cancel", run), ("undo", run)):
        refused = daemon.karaula("run", *words, "--reason", "x", name="goce")
        assert (refused.exit_code, "goce may not steer a failover of ncts" in refused.stderr) == (3, True), words
    assert daemon.karaula("run", "cancel", run, "--reason", "enough", name="vera").exit_code in {0, 1}


def test_a_joint_run_asks_for_the_right_to_each_of_its_systems(
    daemon: DeskDaemon, caplog: pytest.LogCaptureFixture
) -> None:
    one = RIGHTS["managers"].model_copy(update={"systems": ("ncts", "ite")})
    rest = Right(people=("vera",), may=("approve",), kinds=MOVES)
    give(daemon, {**RIGHTS, "managers": one, "rest": rest})
    refused = daemon.karaula("failover", "all", "--no-wait", name="boris")
    assert "boris may not request a failover of ncts" in refused.stderr
    assert "boris asked for a joint failover of all: refused by guard 'approval': boris may not" in caplog.text
    daemon.script.words["fence"] = ["hold"] * 4
    joint = daemon.json("failover", "all", "--no-wait", name="ana")["joint_run"]["id"]
    refused = daemon.karaula("run", "approve", joint, "--yes", "--no-wait", name="goce")
    assert "goce may not approve a failover of cdeps" in refused.stderr
    assert daemon.karaula("run", "approve", joint, "--yes", "--no-wait", name="vera").exit_code == 0
    refused = daemon.karaula("run", "cancel", joint, "--reason", "x", name="goce")
    assert "goce may not steer a failover of" in refused.stderr
    assert daemon.karaula("run", "cancel", joint, "--reason", "x", "--no-wait", name="ana").exit_code in {0, 1}


def test_pauses_and_overrides_ask_too(daemon: DeskDaemon) -> None:
    give(daemon, RIGHTS)
    for words, said in (
        (("pause", "ncts", "--for", "1h", "--reason", "works"), "boris may not steer a failover of ncts"),
        (("pause", "all", "--for", "1h", "--reason", "works"), "boris may not steer a failover of cdeps"),
        (("override", "fencing", "ncts", "--for", "1h", "--reason", "dark"), "boris may not override a switchover"),
    ):
        refused = daemon.karaula(*words, name="boris")
        assert (refused.exit_code, said in refused.stderr) == (3, True), refused.output
    assert daemon.karaula("pause", "ncts", "--for", "1h", "--reason", "works", name="vera").exit_code == 0
    assert daemon.karaula("unpause", "ncts", name="boris").exit_code == 3
    assert daemon.karaula("unpause", "ncts", name="vera").exit_code == 0


def test_the_page_refuses_by_name_and_says_who_may(pages: WebDaemon) -> None:
    give(pages, RIGHTS)
    run = pages.call(pages.orchestrator.submit(Request("failover", "ncts", "ana")))
    assert "May approve: goce." in pages.ask("GET", f"/runs/{run.id}").text
    refused = pages.ask(
        "POST", f"/runs/{run.id}/decide", form=urlencode({"decision": "approve", "name": "vera", "reason": "ok"})
    )
    assert (refused.status, "Not done: vera may not approve a failover of ncts" in refused.text) == (409, True)
    assert pages.orchestrator.run(run.id).state.value == "WAITING"


def test_a_proven_name_is_taken_from_its_own_account_alone(pages: WebDaemon) -> None:
    own = Right(people=(ME, "goce"), may=("request", "approve"), kinds=MOVES, proven=True)
    give(pages, {"own": own, "vera": RIGHTS["on-call"].model_copy(update={"people": ("vera",)})})
    run = pages.call(pages.orchestrator.submit(Request("failover", "ncts", "vera")))
    form = urlencode({"decision": "approve", "name": "Goce", "reason": "ok"})
    refused = pages.ask("POST", f"/runs/{run.id}/decide", form=form)
    assert (refused.status, "believed of the account of that name alone" in refused.text) == (403, True)
    refused = pages.karaula("run", "approve", run.id, "--yes", "--no-wait", name="goce")
    assert (refused.exit_code != 0, "log in to the daemon's host as goce" in refused.stderr) == (True, True)
    assert pages.orchestrator.run(run.id).state.value == "WAITING"
    assert pages.karaula("run", "approve", run.id, "--yes", "--no-wait", name=ME).exit_code == 0
    assert pages.orchestrator.run(run.id).approved_by == ME


def test_a_name_is_one_however_its_letters_are_put_together_and_everybody_is_nobodys(daemon: DeskDaemon) -> None:
    composed, apart = "\u0453or\u0453i ilieva", "\u0433\u0301or\u0433\u0301i  ilieva"  # Cyrillic gje, as NFC and as NFD
    give(daemon, {**RIGHTS, "own": Right(people=(composed,), may=("request",), kinds=("drill", "verify"))})
    assert Right(people=(apart,), may=("request",), kinds=("drill",)).people == (composed,)
    asked = daemon.karaula("drill", "ncts", "--no-wait", name=apart)
    assert asked.exit_code == 0, asked.stderr
    assert daemon.orchestrator.runs()[0].requester == composed
    refused = daemon.karaula("failover", "ncts", "--no-wait", name="Everybody")
    assert (refused.exit_code != 0, "cannot be a person's name here" in refused.stderr) == (True, True)


def test_the_daemons_own_account_is_no_person(daemon: DeskDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actor, "_account", lambda _uid: "karaula")
    give(daemon, {})
    run = daemon.json("failover", "ncts", "--no-wait", name="ana")["run"]["id"]
    for words in (
        ("failover", "ite", "--no-wait"),
        ("run", "approve", run, "--yes", "--no-wait"),
        ("run", "deny", run),
    ):
        refused = daemon.karaula(*words, name="")
        assert refused.exit_code != 0, words
        assert "'karaula' is the daemon's own account: say who you are, with --as NAME" in refused.stderr
    assert daemon.orchestrator.run(run).state.value == "WAITING"
    assert daemon.karaula("plan", "failover", "ite", name="").exit_code == 0, "a look needs no name"
    assert daemon.karaula("run", "approve", run, "--yes", "--no-wait", name="vera").exit_code == 0


def test_an_account_of_a_domain_can_have_rights_of_its_own(daemon: DeskDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actor, "_account", lambda _uid: "CUSTOMS\\ana")
    own = Right(people=("customs\\ana",), may=("request",), kinds=("failover",), proven=True)
    give(daemon, {**RIGHTS, "on-call": own})
    assert daemon.karaula("failover", "ncts", "--no-wait", name="").exit_code == 0
    assert daemon.orchestrator.runs()[0].requester == "CUSTOMS\\ana"
    assert daemon.karaula("failover", "ite", "--no-wait", name="ana").exit_code == 3


def test_planned_works_on_what_a_system_runs_on_are_for_who_may_steer_its_failover(pages: WebDaemon) -> None:
    give(pages, {**RIGHTS, "on-call": RIGHTS["on-call"].model_copy(update={"systems": ("ncts",)})})

    def announced(subject: str, name: str) -> str:
        done = pages.karaula("downtime", subject, "--for", "1h", "--reason", "works", name=name)
        return "" if done.exit_code == 0 else done.stderr

    for subject in ("system/ncts", "front/ncts/main", "site/main", "vcenter/vc-dr"):
        assert "boris may not steer a failover of" in announced(subject, "boris"), subject
    assert not announced("link/tabanovce/primary", "boris"), "no system runs on it"
    assert not announced("system/ncts", "vera")
    assert "vera may not steer a failover of" in announced("site/main", "vera"), "others run there too"
    refused = pages.karaula("downtime", "system/ncts", "--end", name="boris")
    assert (refused.exit_code, "boris may not steer a failover of ncts" in refused.stderr) == (3, True)
    assert pages.karaula("downtime", "system/ncts", "--end", name="vera").exit_code == 0
