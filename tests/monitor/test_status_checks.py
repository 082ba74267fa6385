"""What an answered check says: the inventory's limits against what was observed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from watch_kit import START, Says, estate, well

from monitor.inventory.checks_hosts import CertificateCheck, ClockCheck, DiskCheck, HostCheck, LagCheck, UnitCheck
from monitor.metrics.checks import samples
from monitor.probe import Answer, Observation
from monitor.status.board import Board
from monitor.status.checks import judge
from monitor.status.hysteresis import Judgement
from monitor.status.limits import off, size, span, worst
from monitor.status.state import Health

HOST = "cdeps-db-main"
DISK = DiskCheck(probe="disk", host=HOST, mount="/data")
UNIT = UnitCheck(probe="unit", host=HOST, unit="ledger.service")
PAGE = CertificateCheck(probe="certificate", host=HOST, path="/etc/page.pem")
CLOCK = ClockCheck(probe="clock", host=HOST, synchronized=True)
LAG = LagCheck(probe="lag", host=HOST, command=("lag",))


def seen(says: Says, subject: str = "check/x", at: float = START) -> Observation:
    return Observation(subject, "ssh", at, says.answer, says.reason, says.values, says.facts)


def judged(check: HostCheck, values: dict[str, float] | None = None, facts: dict[str, str] | None = None) -> Judgement:
    good = well(check)
    return judge(check, seen(Says(values={**good.values, **(values or {})}, facts={**good.facts, **(facts or {})})))


@pytest.mark.parametrize("check", [DISK, UNIT, PAGE, CLOCK, LAG], ids=lambda check: check.probe)
def test_a_good_day(check: HostCheck) -> None:
    assert judged(check) == Judgement(Health.OK)


@pytest.mark.parametrize(
    ("check", "values", "facts", "health", "reason"),
    [
        (DISK, {"disk_free_ratio": 0.1, "disk_free_bytes": 1.2e10}, {}, Health.DEGRADED,
         "/data has 10 % free (12 GB), below the warning limit of 15 %"),
        (DISK, {"disk_free_ratio": 0.0, "disk_free_bytes": 0}, {}, Health.DOWN,
         "/data has 0 % free (0 kB), below the alarm limit of 5 %"),
        (DISK, {"inodes_free_ratio": 0.01}, {}, Health.DOWN,
         "/data has 1 % of the inodes free, below the alarm limit of 5 %"),
        (DISK, {}, {"mount": "/"}, Health.DOWN, "nothing is mounted on /data: it is part of /"),
        (UNIT, {}, {"active": "failed", "sub": "failed", "result": "exit-code"}, Health.DOWN,
         "ledger.service is failed (failed), result exit-code"),
        (UNIT, {}, {"active": "inactive", "sub": "dead"}, Health.DOWN, "ledger.service is inactive (dead)"),
        (UNIT, {}, {"active": "activating", "sub": "start-pre"}, Health.DEGRADED,
         "ledger.service is activating (start-pre)"),
        (UNIT, {}, {"active": "activating", "sub": "auto-restart", "result": "signal"}, Health.DOWN,
         "ledger.service is activating (auto-restart), result signal"),
        (UNIT, {}, {"load": "not-found", "active": "inactive", "sub": "dead"}, Health.DOWN,
         "systemd has no unit ledger.service that it could run (not-found)"),
        (PAGE, {"not_after_seconds": START + 20 * 86400}, {}, Health.DEGRADED,
         "/etc/page.pem ends in 20 days, below the warning limit of 30 days"),
        (PAGE, {"not_after_seconds": START + 3600}, {}, Health.DOWN,
         "/etc/page.pem ends in 60 min, below the alarm limit of 7 days"),
        (PAGE, {"not_after_seconds": START - 3 * 86400}, {}, Health.DOWN, "/etc/page.pem ended 3 days ago"),
        (CLOCK, {"clock_offset_seconds": -3.0}, {}, Health.DEGRADED,
         "the host's clock is 3 s behind ours, over the warning limit of 500 ms"),
        (CLOCK, {"clock_offset_seconds": 7.0}, {}, Health.DOWN,
         "the host's clock is 7 s ahead of ours, over the alarm limit of 5 s"),
        (CLOCK, {"clock_uncertainty_seconds": 0.7}, {}, Health.UNKNOWN,
         "the round trip leaves 700 ms either way open, more than the limit of 500 ms"),
        (CLOCK, {}, {"synchronized": "no"}, Health.DEGRADED, "chronyd on the host is not synchronized"),
        (LAG, {"lag_seconds": 31.0}, {}, Health.DEGRADED, "behind by 31 s, over the warning limit of 30 s"),
        (LAG, {"lag_seconds": 7200.0}, {}, Health.DOWN, "behind by 2 h, over the alarm limit of 5 min"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(
    check: HostCheck, values: dict[str, float], facts: dict[str, str], health: Health, reason: str
) -> None:
    assert judged(check, values, facts) == Judgement(health, reason)


@given(st.floats(-100, 100), st.floats(0, 50))
def test_an_offset_is_told_only_when_all_of_what_is_possible_is_over_the_limit(offset_s: float, open_s: float) -> None:
    found = off(offset_s, open_s, 0.5, 5.0, "it").health
    possible = (abs(offset_s) - open_s, abs(offset_s) + open_s)
    assert (found is Health.DOWN) == (possible[0] > 5.0)
    assert found is not Health.DEGRADED or possible[0] > 0.5
    assert found is not Health.OK or possible[0] <= 0.5


@given(st.lists(st.sampled_from(list(Health)), max_size=6))
def test_of_several_the_worst_counts_and_every_reason_is_told(healths: list[Health]) -> None:
    told = worst([Judgement(health, f"because {number}") for number, health in enumerate(healths)])
    assert told.reason.count("because") == sum(health is not Health.OK for health in healths)
    if Health.DOWN in healths:
        assert told.health is Health.DOWN
    assert (told.health is Health.OK) == (set(healths) <= {Health.OK})


@given(st.floats(0, 1e9))
def test_a_span_reads_well(seconds: float) -> None:
    number, _, unit = span(seconds).partition(" ")
    assert unit in {"ms", "s", "min", "h", "days"}
    assert float(number) >= 0


def test_sizes() -> None:
    assert [size(count) for count in (0, 5e5, 2e6, 3.25e9, 4e12)] == ["0 kB", "500 kB", "2 MB", "3.25 GB", "4 TB"]


def changed(**checks: HostCheck):
    return estate().model_copy(update={"checks": checks})


def test_an_answer_without_what_it_is_judged_by_is_not_known() -> None:
    board = Board(changed(x=DISK), START)
    board.observe(seen(Says(values={"disk_free_ratio": 0.5})))
    assert board.status("check/x").health is Health.UNKNOWN


def test_measurements_are_shown_while_the_state_rests_on_them() -> None:
    inventory = changed(x=DISK, y=UNIT, z=PAGE, c=CLOCK, lag=LAG)
    board = Board(inventory, START)
    full = Says(values={**well(DISK).values, "disk_free_ratio": 0.01}, facts={"mount": "/data"})
    for step in range(2):
        for key, check in inventory.checks.items():
            board.observe(seen(full if key == "x" else well(check), f"check/{key}", START + step))
    assert board.status("check/x").health is Health.DOWN
    shown = {
        (metric.name, labels): value for metric, labels, value in samples(inventory, board.statuses(), board.good())
    }
    assert shown["karaula_host_disk_free_ratio", ("x", HOST, "main")] == 0.01  # over its limit, and shown
    assert shown["karaula_host_unit_active", ("y", HOST, "main")] == 1
    assert ("karaula_host_certificate_not_after_timestamp_seconds", ("z", HOST, "main")) in shown
    assert ("karaula_host_clock_offset_seconds", ("c", HOST, "main")) in shown
    assert shown["karaula_host_replication_lag_seconds", ("lag", HOST, "main")] == 0.5
    for step in (2, 3):  # now it does not answer at all
        board.observe(seen(Says(Answer.FAILED, "hangs"), "check/x", START + step))
    later = {labels for _, labels, _ in samples(inventory, board.statuses(), board.good())}
    assert ("x", HOST, "main") not in later
    board.tick(START + 100)
    assert not list(samples(inventory, board.statuses(), board.good()))  # nothing is fresh any more
