"""Alarms: raised once, cleared once, and which explains which."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st
from watch_kit import estate

from monitor.alarms.book import Book
from monitor.alarms.inhibit import causes
from monitor.alarms.rules import RULES, called_for
from monitor.inventory.dependencies import ties
from monitor.inventory.values import AlarmName
from monitor.status.alarm import Alarm, alarm_id
from monitor.status.state import Health, Status

TIES = ties(estate())
DNS, LINK = "dns/dns-main", "link/blace/primary"
UNKNOWN_AFTER_S = 30


def status(subject: str, health: Health, detail: str = "", since: float = 0.0) -> Status:
    return Status(subject, health, f"it is {health}", since, since, detail)


def update(book: Book, now: float, *statuses: Status) -> tuple[list[str], list[str]]:
    changes = book.update({each.subject: each for each in statuses}, TIES, now, UNKNOWN_AFTER_S)
    return [alarm.key for alarm in changes.raised], [alarm.key for alarm in changes.cleared]


def test_an_alarm_is_raised_once_and_cleared_once() -> None:
    book = Book()
    assert update(book, 1, status(DNS, Health.DOWN)) == (["dns-down dns/dns-main"], [])
    assert update(book, 2, status(DNS, Health.DOWN)) == ([], [])
    assert update(book, 3, status(DNS, Health.OK)) == ([], ["dns-down dns/dns-main"])
    assert update(book, 4, status(DNS, Health.OK)) == ([], [])


def test_what_is_not_known_clears_nothing() -> None:
    book = Book()
    update(book, 1, status(DNS, Health.DOWN))
    assert update(book, 2, status(DNS, Health.UNKNOWN, since=2)) == ([], [])
    assert update(book, 40, status(DNS, Health.UNKNOWN, since=2)) == (["unknown dns/dns-main"], [])
    assert [alarm.name for alarm in book.standing()] == ["dns-down", "unknown"]
    assert update(book, 41, status(DNS, Health.OK)) == ([], ["dns-down dns/dns-main", "unknown dns/dns-main"])


def test_a_cleared_alarm_says_why_and_keeps_its_id() -> None:
    book = Book()
    raised = book.update({DNS: status(DNS, Health.DOWN)}, TIES, 1, 30).raised[0]
    cleared = book.update({DNS: status(DNS, Health.DEGRADED)}, TIES, 2, 30).cleared[0]
    assert (cleared.id, cleared.cleared_at, cleared.note) == (raised.id, 2, "now degraded: it is degraded")
    assert raised.active
    assert not cleared.active


def test_a_worse_state_changes_one_alarm_for_another() -> None:
    book = Book()
    update(book, 1, status(LINK, Health.DEGRADED))
    assert update(book, 2, status(LINK, Health.DOWN)) == (
        ["link-down link/blace/primary"],
        ["link-degraded link/blace/primary"],
    )


def test_a_sensor_alarm_stands_while_the_sensor_is_at_fault() -> None:
    book, sensor = Book(), "sensor/main-rack-1-temperature"
    update(book, 1, status(sensor, Health.DOWN, "above"))
    update(book, 2, status(sensor, Health.UNKNOWN, "sensor-fault"))
    assert [alarm.name for alarm in book.standing()] == ["sensor-alarm", "sensor-fault"]
    update(book, 3, status(sensor, Health.DEGRADED, "above"))
    assert [alarm.name for alarm in book.standing()] == ["sensor-warning"]


def test_nothing_that_nobody_listed_alarms() -> None:
    assert update(Book(), 1, status("vm/vc-dr/guest", Health.DOWN)) == ([], [])


def test_what_left_the_inventory_is_cleared() -> None:
    book = Book([Alarm("1", "sensor-alarm", "sensor/gone", "critical", 1, "hot")])
    changes = book.update({}, TIES, 5, 30)
    assert [(alarm.key, alarm.note) for alarm in changes.cleared] == [
        ("sensor-alarm sensor/gone", "no longer in the inventory")
    ]


def test_alarms_that_stood_before_a_restart_are_not_raised_again() -> None:
    before = Alarm("abc", "dns-down", DNS, "critical", 1, "refused")
    book = Book([before])
    assert update(book, 100, status(DNS, Health.UNKNOWN, since=99)) == ([], [])
    assert update(book, 101, status(DNS, Health.DOWN)) == ([], [])
    assert book.standing() == [before]


def test_every_alarm_that_the_rules_know_may_be_named_in_the_inventory_and_the_other_way_round() -> None:
    called = {call.name for rules in RULES.values() for call in rules.values()} | {"unknown", "flapping"}
    assert called == set(get_args(AlarmName))


def test_the_finer_word_wins() -> None:
    split = called_for(status("system/ncts", Health.DOWN, "split-brain"), 0, 30)
    plain = called_for(status("system/ncts", Health.DOWN), 0, 30)
    host = called_for(status("host/vault-dr", Health.DOWN, "untrusted"), 0, 30)
    assert (split and split.name, plain and plain.name, host and host.name) == (
        "split-brain",
        "system-down",
        "host-untrusted",
    )


def raise_all(**downs: str) -> Book:
    book = Book()
    update(book, 1, *(status(subject, Health.DOWN, detail) for subject, detail in downs.items()))
    return book


def test_a_fallen_site_explains_what_is_at_it_and_the_systems_that_were() -> None:
    subjects = ["host/ncts-db-main", "front/ncts/main", "vm/vc-main/ncts-db-1", "database/ncts/main"]
    here = dict.fromkeys([*subjects, "site/main", "system/ncts", "host/vault-dr", "power/pdu-main"], "")
    causes_by_subject = {alarm.subject: alarm.cause for alarm in raise_all(**here).standing()}
    assert {causes_by_subject[subject] for subject in (*subjects, "system/ncts")} == {"site-down site/main"}
    for alone in ("site/main", "host/vault-dr", "power/pdu-main"):
        assert causes_by_subject[alone] == ""


def test_nothing_smaller_than_a_site_silences_a_system() -> None:
    down = {"host/ncts-db-main": "", "database/ncts/main": "", "front/ncts/main": "", "system/ncts": ""}
    assert {alarm.subject: alarm.cause for alarm in raise_all(**down).standing()} == {
        "host/ncts-db-main": "",
        "database/ncts/main": "host-down host/ncts-db-main",
        "front/ncts/main": "",
        "system/ncts": "",
    }


def test_a_system_that_is_amiss_at_the_other_site_as_well_is_told() -> None:
    down = dict.fromkeys(
        ["site/main", "front/ncts/main", "front/ncts/dr", "system/ncts", "system/ite", "front/ite/main"], ""
    )
    by_subject = {alarm.subject: alarm.cause for alarm in raise_all(**down).standing()}
    assert (by_subject["system/ncts"], by_subject["front/ncts/dr"]) == ("", "")
    assert by_subject["system/ite"] == "site-down site/main"


def test_what_is_merely_not_at_its_best_elsewhere_makes_no_second_message_of_a_lost_site() -> None:
    down = dict.fromkeys(["site/main", "front/ncts/main", "system/ncts"], "")
    snapshot = Alarm("9", "vm-degraded", "vm/vc-dr/ncts-web-2", "warning", 1, "an old snapshot")
    lost = [*raise_all(**down).standing(), snapshot]
    system = next(alarm for alarm in lost if alarm.name == "system-down")
    explained = causes(lost, TIES)
    assert explained[system.id] == "site-down site/main"
    assert snapshot.id not in explained
    # It explains nothing either: with the snapshot alone, or a machine that is down there, the system is told.
    assert causes([system, snapshot], TIES) == {}
    assert system.id not in causes([*lost[:-1], replace(snapshot, name="vm-down")], TIES)


def test_split_brain_is_told_whatever_else_stands() -> None:
    book = Book()
    split = status("system/ncts", Health.DOWN, "split-brain")
    update(book, 1, split, status("site/main", Health.DOWN), status("front/ncts/main", Health.DOWN))
    assert {alarm.name: alarm.cause for alarm in book.standing()}["split-brain"] == ""


def test_one_of_two_web_servers_explains_nothing_and_both_do() -> None:
    one, other, front = "vm/vc-main/ncts-web-1", "vm/vc-main/ncts-web-2", "front/ncts/main"
    assert {a.subject: a.cause for a in raise_all(**{one: "", front: ""}).standing()}[front] == ""
    both = raise_all(**{one: "", other: "", front: ""}).standing()
    assert {alarm.subject: alarm.cause for alarm in both}[front] == f"vm-down {one}"


def test_an_untrusted_host_explains_its_database() -> None:
    book = raise_all(**{"host/ncts-db-main": "untrusted", "database/ncts/main": ""})
    assert {alarm.name: alarm.cause for alarm in book.standing()} == {
        "host-untrusted": "",
        "database-down": "host-untrusted host/ncts-db-main",
    }


def test_a_crossing_speaks_for_its_links() -> None:
    book = Book()
    crossing = status("crossing/blace", Health.DEGRADED, "on-backup")
    update(book, 1, crossing, status(LINK, Health.DOWN), status("link/blace/backup", Health.DEGRADED))
    assert {alarm.name: alarm.cause for alarm in book.standing()} == {
        "crossing-on-backup": "",
        "link-down": "crossing-on-backup crossing/blace",
        "link-degraded": "",
    }


def test_a_cause_comes_and_goes_while_the_alarm_stands() -> None:
    book, site, host = Book(), "site/main", "host/ncts-db-main"
    update(book, 1, status(host, Health.DOWN))
    assert book.standing()[0].cause == ""
    update(book, 2, status(host, Health.DOWN), status(site, Health.DOWN))
    assert book.standing()[0].cause == "site-down site/main"
    update(book, 3, status(host, Health.DOWN), status(site, Health.DEGRADED))
    assert book.standing()[0].cause == ""


def test_an_alarm_about_karaula_itself_is_held_until_it_works_again() -> None:
    book = Book()
    assert [a.key for a in book.hold("history-failing", "karaula/history", "disk full", 1).raised] == [
        "history-failing karaula/history"
    ]
    assert book.hold("history-failing", "karaula/history", "disk still full", 2).raised == ()
    assert update(book, 3) == ([], [])
    assert len(book.hold("history-failing", "karaula/history", None, 4).cleared) == 1
    assert book.hold("history-failing", "karaula/history", None, 5).cleared == ()


@given(st.lists(st.lists(st.sampled_from(list(Health)), min_size=4, max_size=4), max_size=30))
def test_raised_and_cleared_take_turns_whatever_happens(story: list[list[Health]]) -> None:
    subjects = ("dns/dns-main", "site/main", "host/ncts-db-main", "link/blace/backup")
    book, standing = Book(), set()
    for now, healths in enumerate(story, 1):
        statuses = [status(subject, health, since=now) for subject, health in zip(subjects, healths, strict=True)]
        changes = book.update({each.subject: each for each in statuses}, TIES, now, 0)
        for alarm in changes.cleared:
            standing.remove(alarm.id)
        for alarm in changes.raised:
            assert alarm.id not in standing
            standing.add(alarm.id)
        assert {alarm.id for alarm in book.standing()} == standing
        down = {each.subject for each in statuses if each.health is Health.DOWN}
        assert {alarm.subject for alarm in book.standing() if alarm.name.endswith("-down")} >= down


def test_no_alarm_explains_itself() -> None:
    alarms = [Alarm(alarm_id(name, subject, 1), name, subject, "critical", 1, "r") for name, subject in _every()]
    explained = causes(alarms, TIES)
    assert all(explained.get(alarm.id, "") != alarm.key for alarm in alarms)
    assert replace(alarms[0], cause="x").active


def _every() -> list[tuple[str, str]]:
    return [
        (call.name, subject)
        for subject in TIES.depends_on
        for call in {call.name: call for call in RULES.get(subject.partition("/")[0], {}).values()}.values()
    ]
