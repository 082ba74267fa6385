"""The estate, the alarms, the calendar, backups and pauses by the command line, pinned as plain text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from cli_kit import NOW, DeskDaemon, desk_daemon, still

from console.api import backups as backups_api
from dr.backups import proof
from dr.backups.catalog import Backup
from monitor.probe import Answer, Observation
from monitor.status.alarm import Alarm
from monitor.status.state import Flip, Health, Status

CUT = "active at no site: main does not answer; dr stands by"


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Iterator[DeskDaemon]:
    monkeypatch.setattr("console.terminal.screen.RealClock", still)
    with desk_daemon(still()) as running:
        hold(running, "system/ncts", Health.OK, "main")
        hold(running, "site/main", Health.OK)
        hold(running, "crossing/blace", Health.OK, "primary")
        hold(running, "crossing/dojran", Health.OK, "primary")
        hold(running, "sensor/main-rack-1", Health.OK)
        yield running


def hold(
    daemon: DeskDaemon, subject: str, health: Health, detail: str = "", reason: str = "", for_s: float = 90
) -> None:
    daemon.watch.held[subject] = Status(subject, health, reason, NOW - for_s, NOW - 2, detail)


def alarm(daemon: DeskDaemon, name: str, subject: str, reason: str, cause: str = "", since_s: float = 40) -> None:
    made = Alarm(f"{len(daemon.watch.standing)}", name, subject, "critical", NOW - since_s, reason, cause=cause)
    daemon.watch.standing.append(made)


def test_when_all_is_well_it_is_a_few_lines(daemon: DeskDaemon) -> None:
    result = daemon.karaula("status")
    assert result.exit_code == 0
    assert result.stdout == (
        "Customs Administration  04:13:20 Europe/Skopje\n"
        "all well: 2 crossings on primary, 1 sensor\n"
        "\n"
        "             STATE           FOR\n"
        "system ncts  ok     at main  1 min 30 s\n"
        "site main    ok              1 min 30 s\n"
    )


def test_not_all_is_well_while_a_system_is_not_or_an_alarm_stands(daemon: DeskDaemon) -> None:
    hold(daemon, "system/ncts", Health.DOWN, "split-brain", "active at main and dr at once")
    assert "\nwell: 2 crossings on primary, 1 sensor\n" in daemon.karaula("status").stdout
    hold(daemon, "system/ncts", Health.OK, "main")
    assert "\nall well: 2 crossings" in daemon.karaula("status").stdout
    alarm(daemon, "evidence-not-anchored", "karaula/vault", "the vault does not answer")
    assert "\nwell: 2 crossings" in daemon.karaula("status").stdout


def test_what_an_alarm_says_is_said_once_and_what_matters_most_last(daemon: DeskDaemon) -> None:
    hold(daemon, "system/ncts", Health.DOWN, reason=CUT)
    hold(daemon, "system/ite", Health.DOWN, reason=CUT)
    hold(daemon, "crossing/blace", Health.DEGRADED, "on-backup", "the primary link is down")
    for number in range(6):
        hold(daemon, f"vm/vc-main/vm-{number}", Health.UNKNOWN, reason="vCenter vc-main does not answer")
    alarm(daemon, "system-down", "system/ite", CUT)
    alarm(daemon, "system-down", "system/ncts", CUT)
    alarm(daemon, "vcenter-down", "vcenter/vc-main", "no answer", cause="system-down system/ncts")
    daemon.broken.append("the disk under the journal is full")
    result = daemon.karaula("status")
    assert result.stdout.endswith(
        "\n"
        "             STATE  FOR\n"
        "system ite   down   1 min 30 s\n"
        "system ncts  down   1 min 30 s\n"
        "site main    ok     1 min 30 s\n"
        "\n"
        "CROSSING  STATE                FOR         BECAUSE\n"
        "blace     degraded  on-backup  1 min 30 s  the primary link is down\n"
        "\n"
        "VM            STATE    FOR         BECAUSE\n"
        "vc-main/vm-0  unknown  1 min 30 s  vCenter vc-main does not answer\n"
        "vc-main/vm-1  unknown  1 min 30 s  vCenter vc-main does not answer\n"
        "vc-main/vm-2  unknown  1 min 30 s  vCenter vc-main does not answer\n"
        "vc-main/vm-3  unknown  1 min 30 s  vCenter vc-main does not answer\n"
        "  and 2 more: karaula status --all\n"
        "\n"
        "ALARM        SINCE     BECAUSE\n"
        f"system-down  40 s ago  {CUT}\n"
        "ite, ncts              explains 1 more: karaula alarms\n"
        "not sent: 1 explained by others: karaula alarms\n"
        "\n"
        "the daemon itself: the disk under the journal is full\n"
    )


def test_all_lists_every_subject_for_searching(daemon: DeskDaemon) -> None:
    lines = daemon.karaula("status", "--all").stdout.splitlines()
    assert "dojran    ok     primary  1 min 30 s" in lines
    assert "main-rack-1  ok     1 min 30 s" in lines


def test_a_run_that_waits_stands_with_what_to_type(daemon: DeskDaemon) -> None:
    run = daemon.json("failover", "ncts", "--no-wait")["run"]["id"]
    text = daemon.karaula("status").stdout
    assert f"  To approve one: karaula run approve {run} --as NAME\n" in text
    assert "      anybody but ana may; shows the plan first\n" in text
    document = daemon.json("status")
    assert [one["id"] for one in document["runs"]] == [run]
    said = {"schema_version", "at", "estate", "isolated", "problems", "downtimes", "subjects", "alarms"}
    assert set(document) == said | {"runs", "pauses", "overrides"}


def test_one_subject_in_full_by_any_of_its_names(daemon: DeskDaemon) -> None:
    hold(daemon, "link/blace/primary", Health.DOWN, reason="no reply since 40 s", for_s=40)
    subject = "link/blace/primary"
    daemon.watch.seen[subject] = Observation(subject, "stamp", NOW - 3, Answer.FAILED, values={"loss_ratio": 1.0})
    daemon.watch.changes.append(Flip(subject, Health.OK, Health.DOWN, "no reply", NOW - 40))
    alarm(daemon, "link-down", subject, "no reply")
    result = daemon.karaula("status", "blace/primary")
    assert result.stdout == (
        "link/blace/primary  down\n"
        "since 04:12:40 (40 s ago); last seen 04:13:18 (2 s ago)\n"
        "no reply since 40 s\n"
        "\n"
        "ALARM      OF                  SINCE                BECAUSE\n"
        "link-down  link/blace/primary  04:12:40 (40 s ago)  no reply\n"
        "\n"
        "LAST SEEN   04:13:17 (3 s ago)\n"
        "loss_ratio  100 %\n"
        "\n"
        "CHANGED              FROM  TO    BECAUSE\n"
        "04:12:40 (40 s ago)  ok    down  no reply\n"
    )
    assert daemon.karaula("status", subject).stdout == result.stdout
    document = daemon.json("status", "blace/primary")
    assert (document["schema_version"], document["status"]["health"], len(document["flips"])) == (1, "down", 1)


def test_an_unknown_subject_gets_a_hint(daemon: DeskDaemon) -> None:
    result = daemon.karaula("status", "ntcs")
    assert result.exit_code == 2
    assert result.stderr == "nothing is watched under 'ntcs'; did you mean 'ncts'?\n"


def test_nothing_that_a_target_says_moves_the_cursor(daemon: DeskDaemon) -> None:
    hold(daemon, "sensor/main-rack-1", Health.DOWN, reason="\x1b[2Jall is well\r\x9b31m")
    text = daemon.karaula("status").stdout
    assert "\x1b" not in text
    assert "\r" not in text
    assert "�[2Jall is well��31m" in text


def test_alarms_and_what_they_explain(daemon: DeskDaemon) -> None:
    assert daemon.karaula("alarms").stdout == "no alarm stands\n"
    alarm(daemon, "site-down", "site/main", "nothing there answers")
    alarm(daemon, "host-down", "host/ncts-db-main", "no answer", cause="site-down site/main")
    daemon.watch.standing.append(
        Alarm("c", "link-down", "link/blace/backup", "warning", NOW - 300, "no reply", cleared_at=NOW - 200)
    )
    assert daemon.karaula("alarms").stdout == (
        "ALARM      OF         SINCE                BECAUSE\n"
        "site-down  site/main  04:12:40 (40 s ago)  nothing there answers\n"
        "                                           explains 1 more: host/ncts-db-main\n"
    )
    assert "04:08:20, stood 1 min 40 s  no reply" in daemon.karaula("alarms", "--history").stdout
    document = daemon.json("alarms", "--history")
    assert [one["name"] for one in document["alarms"]] == ["site-down", "host-down", "link-down"]


def test_pauses(daemon: DeskDaemon) -> None:
    assert daemon.karaula("pause").stdout == "nothing is paused\n"
    made = daemon.karaula("pause", "ncts", "--for", "1h30m", "--reason", "storage")
    assert made.exit_code == 0
    assert made.stdout.startswith("ncts is paused until 05:43:20 by ana: storage [socket, user ")
    assert made.stdout.endswith("; to end it: karaula unpause ncts\n")
    for words, told in (
        (("ncts", "--for", "2", "--reason", "x"), "'2' has no unit; write 2s, 2m or 2h"),
        (("ncts", "--for", "soon", "--reason", "x"), "'soon' is not a length of time"),
        (("ncts",), "a pause needs --for TIME and --reason TEXT"),
        (("nctz", "--for", "2h", "--reason", "x"), "unknown system 'nctz'"),
        (("ncts", "--for", "30d", "--reason", "x"), "'30d' is longer than 7d"),
    ):
        result = daemon.karaula("pause", *words)
        assert result.exit_code == 2, words
        assert told in result.stderr, words


def test_unpause(daemon: DeskDaemon) -> None:
    result = daemon.karaula("unpause", "ncts")
    assert (result.exit_code, result.stdout) == (1, "there was no pause of ncts\n")
    daemon.karaula("pause", "all", "--for", "2h", "--reason", "works")
    assert daemon.json("unpause", "all") == {"schema_version": 1, "system": "all", "lifted": 1}


def test_the_calendar(daemon: DeskDaemon) -> None:
    lines = daemon.karaula("calendar").stdout.splitlines()
    assert lines[0].split() == ["JOB", "DUE", "(Europe/Skopje)"]
    assert "backup-ncts   25 Nov 01:30  in 21 h 16 min" in lines
    document = daemon.json("calendar")
    assert set(document) == {"schema_version", "at", "upcoming", "slots"}


def test_backups(daemon: DeskDaemon) -> None:
    text = daemon.karaula("backups").stdout
    assert text.startswith("SYSTEM              PROVEN RPO  AT MOST  NEWEST  LEVEL  PLACES\n")
    assert "ncts    NOT PROVEN  none        1 d 2 h  none    L4     0\n" in text
    assert "ncts: no backup was ever taken\n" in text
    assert text.endswith("no backup was taken yet; take one: karaula backup SYSTEM\n")
    assert set(daemon.json("backups")) == {"schema_version", "at", "backups", "proofs"}


@pytest.mark.parametrize(
    "words", [("status",), ("status", "ncts"), ("alarms",), ("runs",), ("calendar",), ("backups",), ("pause",)]
)
def test_json_is_one_document_with_a_version_first(daemon: DeskDaemon, words: tuple[str, ...]) -> None:
    result = daemon.karaula(*words, "--output", "json")
    assert result.exit_code == 0
    assert result.stdout.startswith('{\n  "schema_version": 1,\n')
    assert isinstance(json.loads(result.stdout), dict)
    assert result.stderr == ""


def test_backups_are_listed_and_a_failed_proof_is_explained(
    daemon: DeskDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = Backup(
        "ncts-1", "ncts", NOW - 7200, 34, 34, "x", 40853, "00", "run-1",
        verified_at=NOW - 3600, level="L4", required="L4", verify_run="v-1", took_s=9.0, copied_at=NOW - 7100,
    )  # fmt: skip
    bad = Backup(
        "ncts-2", "ncts", NOW - 60, 30, 30, "x", 940, "00", "run-2",
        failed="a flipped byte", level="L0", fell_at="L1", required="L4", verify_run="v-2", took_s=1.0,
        one_place="no route",
    )  # fmt: skip
    shelf = {"ncts": [good, bad]}
    monkeypatch.setattr(backups_api, "catalog", lambda _runs, key: shelf.get(key, []))
    monkeypatch.setattr(proof, "catalog", lambda _runs, key: shelf.get(key, []))
    text = daemon.karaula("backups").stdout
    assert "ncts    proven      2 h 00 min" in text
    assert "ncts: the newest backup ncts-2 fell at L1 (its checksums hold): a flipped byte\n" in text
    assert text.endswith(
        "\n"
        "BACKUP  TAKEN     RECORDS  SIZE     PROOF       COPY\n"
        "ncts-2  04:12:20  30       940 B    FELL AT L1  in one place only\n"
        "ncts-1  02:13:20  34       40.9 kB  proven L4   copied\n"
        "ncts-2: a flipped byte (karaula run show v-2)\n"
    )
    message = daemon.karaula("backups", "morning").stdout
    assert message.startswith("Backups: 1 of 4 proven as young as they must be; look at ")
    assert "NCTS (ncts): NOT AS IT SHOULD BE\n  proven RPO 2.0 h of at most 26 h, newest backup: 0.0 h old\n" in message
    assert "level L0 of L4" in message
    assert set(daemon.json("backups", "morning")) == {"schema_version", "at", "subject", "text"}


def test_a_sensor_out_of_reach_with_its_site_is_not_called_faulty(daemon: DeskDaemon) -> None:
    hold(daemon, "sensor/main-rack-1", Health.UNKNOWN, "sensor-fault", "no SNMP answer in 1.5 s")
    assert "unknown  sensor-fault" in daemon.karaula("status").stdout
    alarm(daemon, "site-down", "site/main", "nothing there answers")
    alarm(daemon, "sensor-fault", "sensor/main-rack-1", "no SNMP answer in 1.5 s", cause="site-down site/main")
    assert "sensor-fault" not in daemon.karaula("status").stdout
    assert (
        "SENSOR       STATE    FOR         BECAUSE\nmain-rack-1  unknown  1 min 30 s  site-down site/main\n"
    ) in daemon.karaula("status", "--all").stdout
    text = daemon.karaula("status", "main-rack-1").stdout
    assert text.startswith("sensor/main-rack-1  unknown\n")
    assert "\nbecause of site-down site/main\n" in text
    assert "sensor-fault" not in text
    document = daemon.json("status", "main-rack-1")
    assert document["status"]["detail"] == "sensor-fault", "programs are told what the sensor's alarm is"


def test_why_no_failover_is_prepared_stands_beside_the_alarm(daemon: DeskDaemon) -> None:
    hold(daemon, "system/ncts", Health.DOWN, reason=CUT)
    alarm(daemon, "site-down", "site/main", "none of the 12 things answers")
    alarm(daemon, "system-down", "system/ncts", CUT, cause="site-down site/main")
    alarm(daemon, "system-down", "system/ite", CUT, cause="site-down site/main")
    alarm(daemon, "system-down", "system/exim", CUT)
    why = "it is in planned downtime, announced by Ana: new racks"
    daemon.refusals |= {"1": why, "2": why, "3": "refused by exclusive: a backup of exim is under way"}
    told = [
        f"nothing is prepared for ncts, ite, because {why}",
        "nothing is prepared for exim, because refused by exclusive: a backup of exim is under way",
    ]
    lines = daemon.karaula("status").stdout.splitlines()
    assert [line for line in lines if "prepared" in line] == told
    shown = " ".join(daemon.karaula("alarms").stdout.split())
    assert all(" ".join(line.split()) in shown for line in told)
    found = {each["id"]: each["not_prepared"] for each in daemon.json("alarms")["alarms"]}
    assert found == {"0": "", **daemon.refusals}
