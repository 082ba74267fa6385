"""Planned downtime by the command line, and how flapping, downtime and isolation are shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from cli_kit import NOW, DeskDaemon, desk_daemon, still

from monitor.status.alarm import Alarm
from monitor.status.downtime import Downtime
from monitor.status.state import Health, Status


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Iterator[DeskDaemon]:
    monkeypatch.setattr("console.terminal.screen.RealClock", still)
    with desk_daemon(still()) as running:
        for subject in ("system/ncts", "site/main", "dns/dns-main"):
            running.watch.held[subject] = Status(subject, Health.OK, "", NOW - 90, NOW - 2)
        yield running


def test_works_are_announced_listed_and_ended(daemon: DeskDaemon) -> None:
    made = daemon.karaula("downtime", "site/main", "--for", "2h", "--reason", "new UPS", "--as", "ana")
    assert made.exit_code == 0, made.stderr
    name = daemon.watch.downtimes.kept[0].id
    assert made.stdout == (
        "site/main and what depends on it: planned downtime from now to 06:13:20, ana; "
        f"to end it: karaula downtime {name} --end\n"
    )
    kept = daemon.watch.downtimes.kept[0]
    assert (kept.subject, kept.start, kept.end, kept.announced_at, kept.origin) == (
        "site/main",
        NOW,
        NOW + 7200,
        NOW,
        "command",
    )
    assert kept.reason.startswith("new UPS [socket, user ")
    listed = daemon.karaula("downtime").stdout.splitlines()
    assert listed[0] == "in force"
    assert listed[2].startswith("site/main  04:13:20  06:13:20  ana    new UPS")
    assert daemon.json("downtime")["in_force"][0]["id"] == name
    assert "site/main is in planned downtime for another 2 h 00 min, ana: new UPS" in daemon.karaula("status").stdout
    ended = daemon.karaula("downtime", "site/main", "--end", "--as", "boris")
    assert ended.stdout == "the downtime of site/main is over; what is wrong is sent from now on\n"
    assert daemon.karaula("downtime").stdout == "no downtime is in force or planned\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["site/main", "--for", "2h"], "a downtime needs --for TIME and --reason TEXT"),
        (["site/main", "--reason", "x"], "a downtime needs --for TIME and --reason TEXT"),
        (
            ["site/mian", "--for", "2h", "--reason", "x"],
            "nothing is watched under 'site/mian'; did you mean 'site/main'?",
        ),
        (
            ["site/main", "--for", "2h", "--reason", "x", "--at", "tomorrow"],
            "'tomorrow' is not a time; write it as 2026",
        ),
        (["site/main", "--for", "2h", "--reason", "x", "--at", "2020-01-01 02:00"], "cannot begin in the past"),
        (["site/main", "--for", "2h", "--reason", "x", "--at", "2027-03-28 02:30"], "there is no 2027-03-28 02:30"),
        (["site/main", "--for", "2h", "--reason", "x", "--at", "2026-10-25 02:30"], "comes twice in Europe/Skopje"),
        (["site/main", "--for", "2h", "--reason", "x", "--at", "2099-01-01 02:00"], "more than 366 days ahead"),
    ],
)
def test_what_is_refused_says_why(daemon: DeskDaemon, arguments: list[str], said: str) -> None:
    result = daemon.karaula("downtime", *arguments)
    assert result.exit_code != 0
    assert said in result.stderr
    assert daemon.watch.downtimes.kept == []


def test_works_ahead_begin_at_their_time_in_the_estates_zone(daemon: DeskDaemon) -> None:
    result = daemon.karaula("downtime", "site/main", "--for", "1h", "--reason", "x", "--at", "2027-10-31 02:30+01:00")
    assert result.exit_code == 0, result.stderr
    assert daemon.watch.downtimes.kept[0].start == 1824946200.0  # the second 02:30 of that night
    assert "ahead" in daemon.karaula("downtime").stdout


def test_what_was_not_there_cannot_be_ended(daemon: DeskDaemon) -> None:
    result = daemon.karaula("downtime", "site/main", "--end")
    assert (result.exit_code, result.stdout) == (1, "there is no downtime of site/main in force or ahead\n")


def test_flapping_downtime_and_isolation_are_shown_with_what_is_not_sent(daemon: DeskDaemon) -> None:
    watch = daemon.watch
    planned = Downtime("d1", "dns/dns-main", NOW - 60, NOW + 600, NOW + 600, "Ana", "patches", NOW - 60, "command")
    watch.downtimes.kept.append(planned)
    watch.planned = {"dns/dns-main": planned}
    watch.swinging = {"system/ncts"}
    watch.isolated = "the anchor witness does not answer, and 9 of 9 targets beyond the own uplink do not answer"
    watch.held["dns/dns-main"] = Status("dns/dns-main", Health.DOWN, "refused", NOW - 30, NOW - 1)
    one = Alarm("1", "dns-down", "dns/dns-main", "critical", NOW - 30, "refused", downtime="d1")
    watch.standing += [one, replace(one, id="2", name="vm-down", subject="vm/a/b", cause="x y", downtime="")]
    said = daemon.karaula("status").stdout
    assert said.splitlines()[1].startswith("the monitor itself is cut off: the anchor witness does not answer")
    assert "system ncts  ok     flapping" in said
    assert "not sent: 1 explained by others, 1 in planned downtime: karaula alarms" in said
    assert "dns/dns-main is in planned downtime for another 10 min 00 s, Ana: patches" in said
    assert "dns-main  down   planned downtime" in daemon.karaula("status", "--all").stdout
    assert "refused (in planned downtime, not sent)" in daemon.karaula("alarms").stdout
    document = daemon.json("status")
    assert document["isolated"] == watch.isolated
    assert [each["downtime"] for each in document["subjects"]] == ["d1", "", ""]
    assert [each["flapping"] for each in document["subjects"]] == [False, False, True]
