"""What a vCenter's things are judged to be, which alarms follow, and what a restart leaves standing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from watch_kit import START, estate

from monitor.alarms.book import Book
from monitor.inventory.vcenters import VcenterLimits
from monitor.metrics.vcenters import samples
from monitor.probe import Answer, Observation
from monitor.status.board import Board, Recorded
from monitor.status.evaluate import judge
from monitor.status.state import Health

GIB = 2.0**30
DAY_S = 86400.0
LIMITS = VcenterLimits()
NEVER = 1e9


def seen(subject, values=None, facts=None, answer=Answer.OK, reason="", at=START):
    return Observation(subject, "vsphere", at, answer, reason, values or {}, facts or {})


def store(free_percent, **facts):
    values = {"accessible": 1.0, "capacity_bytes": 1000 * GIB, "free_bytes": 10 * GIB * free_percent}
    return seen("datastore/vc-main/san", values, facts)


@pytest.mark.parametrize(
    ("observation", "health", "reason"),
    [
        (store(42), Health.OK, ""),
        (store(15), Health.OK, ""),
        (store(14.9), Health.DEGRADED, "14.9 % free (149.0 GiB), below the warning limit of 15 %"),
        (store(4), Health.DOWN, "4.0 % free (40.0 GiB), below the alarm limit of 5 %"),
        (store(0), Health.DOWN, "0.0 % free (0.0 GiB), below the alarm limit of 5 %"),
        (store(42, findings="vCenter alarm 'x' (red)"), Health.DEGRADED, "vCenter alarm 'x' (red)"),
        (store(42, alarms="'x' (red, acknowledged by y)"), Health.OK, ""),
        (seen("datastore/vc-main/san"), Health.UNKNOWN, "the vCenter does not say how large or full it is"),
        (
            seen("datastore/vc-main/san", answer=Answer.FAILED, reason="no host can reach it"),
            Health.DOWN,
            "no host can reach it",
        ),
        (seen("vm/vc-main/x", {"powered_on": 1.0}), Health.OK, ""),
        (seen("vm/vc-main/x", {"snapshot_oldest_at": START - 3 * DAY_S}), Health.OK, ""),
        (
            seen("vm/vc-main/x", {"snapshot_oldest_at": START - 9 * DAY_S, "snapshot_bytes": 120 * GIB}),
            Health.DEGRADED,
            (
                "a snapshot is 9.0 d old, longer than the 3.0 d that are allowed; "
                "its snapshots take 120.0 GiB, more than the 100 GiB allowed"
            ),
        ),
        (
            seen("vm/vc-main/x", {"snapshot_oldest_at": START - 9 * DAY_S}, answer=Answer.FAILED, reason="powered off"),
            Health.DOWN,
            "powered off",
        ),
        (seen("esx/vc-main/e", facts={"findings": "red"}), Health.DEGRADED, "red"),
        (seen("vcenter/vc-main", facts={"findings": "a; b"}), Health.DEGRADED, "a; b"),
        (seen("vm/vc-gone/x", {"snapshot_oldest_at": START - 9 * DAY_S}), Health.DEGRADED, None),
    ],
)
def test_judgements(observation, health, reason):
    found = judge(observation, estate())
    assert found.health is health
    assert reason is None or found.reason == reason


def test_a_datastore_that_may_fill_is_judged_by_everything_else():
    inventory = estate()
    vcenter = inventory.vcenters["vc-main"]
    limits = vcenter.limits.model_copy(update={"datastores_that_may_fill": ("san",)})
    changed = {**inventory.vcenters, "vc-main": vcenter.model_copy(update={"limits": limits})}
    filled = inventory.model_copy(update={"vcenters": changed})
    assert judge(store(0), filled).health is Health.OK
    assert judge(store(0, findings="red"), filled).health is Health.DEGRADED
    assert judge(replace(store(0), subject="datastore/vc-main/other"), filled).health is Health.DOWN


@given(st.floats(0, 100), st.floats(0, 100))
def test_less_free_is_never_judged_better(one, other):
    order = [Health.OK, Health.DEGRADED, Health.DOWN]
    fuller, emptier = sorted((one, other))
    judged = [order.index(judge(store(percent), estate()).health) for percent in (fuller, emptier)]
    assert judged[0] >= judged[1]


def polls(board, observations, count=3, start=START):
    for number in range(count):
        for observation in observations:
            board.observe(replace(observation, at=start + 2.0 * number))
    return board.tick(start + 2.0 * count)


def test_what_a_vcenter_brings_may_alarm_and_what_nobody_named_may_not():
    board = Board(estate(), START)
    observations = [
        seen("vcenter/vc-main"),
        store(4),
        seen("esx/vc-main/esx-1", answer=Answer.FAILED, reason="does not answer its vCenter"),
        seen("vm/vc-main/stranger", answer=Answer.FAILED, reason="the vCenter calls it orphaned"),
        seen("vm/vc-main/by-rule", facts={"belongs_to": "ncts/main/web"}, answer=Answer.FAILED, reason="powered off"),
        seen("vm/vc-main/ncts-db-1", facts={"host": "esx-1"}, answer=Answer.FAILED, reason="powered off"),
    ]
    polls(board, observations)
    book = Book()
    book.update(board.statuses(), board.alarming(), START + 6, NEVER)
    standing = {alarm.key: alarm for alarm in book.standing()}
    assert standing.keys() == {
        "datastore-alarm datastore/vc-main/san",
        "esx-down esx/vc-main/esx-1",
        "vm-down vm/vc-main/by-rule",
        "vm-down vm/vc-main/ncts-db-1",
    }
    assert standing["vm-down vm/vc-main/ncts-db-1"].cause == "esx-down esx/vc-main/esx-1"
    assert standing["datastore-alarm datastore/vc-main/san"].cause == ""


def test_a_silent_vcenter_explains_what_is_not_known_of_its_things():
    board = Board(estate(), START)
    polls(board, [seen("vcenter/vc-main"), store(42)])
    silent = [
        seen("vcenter/vc-main", answer=Answer.FAILED, reason="no answer"),
        seen("datastore/vc-main/san", answer=Answer.UNKNOWN, reason="vCenter vc-main does not answer"),
    ]
    polls(board, silent, start=START + 10)
    book = Book()
    book.update(board.statuses(), board.alarming(), START + 100, 10)
    causes = {alarm.key: alarm.cause for alarm in book.standing() if "vc-main" in alarm.subject}
    assert causes["unknown datastore/vc-main/san"] == "vcenter-down vcenter/vc-main"


def test_a_standing_alarm_outlives_a_restart_and_is_not_told_twice():
    board = Board(estate(), START)
    polls(board, [seen("vcenter/vc-main"), store(4)])
    book = Book()
    book.update(board.statuses(), board.alarming(), START + 6, NEVER)
    before = book.standing()
    assert [alarm.name for alarm in before if alarm.subject.endswith("/san")] == ["datastore-alarm"]
    recorded = {"datastore/vc-main/san": Recorded(Health.DOWN, "below", START)}
    board, book = Board(estate(), START + 60, recorded), Book(before)
    for number in range(4):
        at = START + 60 + 2.0 * number
        if number:
            board.observe(seen("vcenter/vc-main", at=at))
            board.observe(replace(store(4), at=at))
        flips = board.tick(at)
        assert [flip for flip in flips if flip.subject.endswith("/san")] == []
        changes = book.update(board.statuses(), board.alarming(), at, NEVER)
        assert not [alarm for alarm in (*changes.raised, *changes.cleared) if alarm.subject.endswith("/san")]
    assert board.status("datastore/vc-main/san").health is Health.DOWN
    assert [alarm for alarm in book.standing() if alarm.subject.endswith("/san")] == [
        alarm for alarm in before if alarm.subject.endswith("/san")
    ]


def test_a_datastore_that_is_taken_away_clears_its_alarm():
    board, book = Board(estate(), START), Book()
    polls(board, [seen("vcenter/vc-main"), store(4)])
    book.update(board.statuses(), board.alarming(), START + 6, NEVER)
    board.observe(seen("datastore/vc-main/san", facts={"vanished": "yes"}, answer=Answer.FAILED, at=START + 8))
    cleared = book.update(board.statuses(), board.alarming(), START + 8, NEVER).cleared
    assert [alarm.key for alarm in cleared if alarm.subject.endswith("/san")] == [
        "datastore-alarm datastore/vc-main/san"
    ]


def shown(*observations):
    board = Board(estate(), START)
    polls(board, observations)
    found = samples(estate(), board.statuses(), board.good())
    return {(metric.name, labels): value for metric, labels, value in found if "vc-main" in labels}


def test_metrics_of_a_full_datastore_stay_and_those_of_a_lost_one_go():
    labels = ("vc-main", "san", "main")
    full = shown(seen("vcenter/vc-main"), store(4))
    assert full["karaula_datastore_accessible", labels] == 1
    assert full["karaula_datastore_free_bytes", labels] == 40 * GIB
    lost = shown(
        seen("vcenter/vc-main"),
        seen("datastore/vc-main/san", {"accessible": 0.0}, answer=Answer.FAILED, reason="no host can reach it"),
    )
    assert lost["karaula_datastore_accessible", labels] == 0
    assert ("karaula_datastore_free_bytes", labels) not in lost
    unknown = shown(seen("vcenter/vc-main"), seen("datastore/vc-main/san", answer=Answer.UNKNOWN, reason="x"))
    assert not [key for key in unknown if key[0].startswith("karaula_datastore")]


def test_metrics_of_a_vm_are_those_that_were_measured():
    values = {"powered_on": 1.0, "snapshots": 0.0, "cpu_usage": 0.25}
    found = shown(seen("vcenter/vc-main", {"vms": 1.0}), seen("vm/vc-main/x", values))
    assert {name: value for (name, labels), value in found.items() if "x" in labels} == {
        "karaula_vm_up": 1,
        "karaula_vm_power_on": 1,
        "karaula_vm_snapshots": 0,
        "karaula_vm_cpu_usage_ratio": 0.25,
    }
    host = shown(seen("esx/vc-main/e", {"maintenance": 1.0, "connected": 1.0}))
    assert host["karaula_esx_maintenance", ("vc-main", "e", "main")] == 1
