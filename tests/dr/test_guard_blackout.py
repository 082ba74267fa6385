"""The guard of windows: backups, verifications and drills begin in theirs, on the nights of changed clocks as well."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from engine_kit import plan, step
from hypothesis import given
from hypothesis import strategies as st

from dr.guard import Facts, Verdict
from dr.guards.blackout import blackout
from dr.journal.event import RunAccepted
from dr.journal.fold import begin
from dr.journal.override import Override
from dr.journal.run import Run
from monitor.inventory.recovery import Window

ZONE = "Europe/Skopje"
HOUR_S = 3600.0
NIGHT = Window(kinds=("drill",), cron="0 1 * * *", duration_s=4 * HOUR_S)
FACTS = Facts((), (), {}, windows=(NIGHT,), zone=ZONE)


def at(text: str, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(ZONE), fold=fold).timestamp()


def run_of(kind: str = "drill", origin: str = "person", requester: str = "ana") -> Run:
    accepted = RunAccepted(0.0, plan(step("look"), kind=kind).to_json(), requester, "", origin, "", 0.0, 0.0)
    return begin("one", accepted)


def ruled(verdict: Verdict) -> tuple[str, str]:
    assert verdict.sentence
    return verdict.ruling.value, verdict.reason


@pytest.mark.parametrize(
    ("kind", "now", "expected"),
    [
        ("drill", at("2026-11-26 01:00"), ("allow", "in-window")),
        ("drill", at("2026-11-26 04:59"), ("allow", "in-window")),
        ("drill", at("2026-11-26 05:00"), ("refuse", "outside-window")),
        ("drill", at("2026-11-26 00:59"), ("refuse", "outside-window")),
        ("backup", at("2026-11-26 12:00"), ("allow", "no-window")),
        ("failover", at("2026-11-26 12:00"), ("allow", "heeds-no-window")),
        ("switchover", at("2026-11-26 12:00"), ("allow", "heeds-no-window")),
        # spring: 02:00 is followed by 03:00, four hours later it is 06:00 on the wall
        ("drill", at("2026-03-29 05:59"), ("allow", "in-window")),
        ("drill", at("2026-03-29 06:00"), ("refuse", "outside-window")),
        # autumn: 02:59 comes twice, four hours later it is 04:00 on the wall
        ("drill", at("2026-10-25 02:30", 0), ("allow", "in-window")),
        ("drill", at("2026-10-25 02:30", 1), ("allow", "in-window")),
        ("drill", at("2026-10-25 03:59"), ("allow", "in-window")),
        ("drill", at("2026-10-25 04:00"), ("refuse", "outside-window")),
    ],
)
def test_what_may_begin_when(kind: str, now: float, expected: tuple[str, str]) -> None:
    assert ruled(blackout(run_of(kind), FACTS, None, now)) == expected


def test_a_refusal_says_when_the_window_opens_and_what_to_do() -> None:
    said = blackout(run_of(), FACTS, None, at("2026-11-26 12:00")).sentence
    assert "the next opens Fri 2026-11-27 01:00 CET" in said
    assert "karaula override blackout ncts --for 1h" in said


def test_another_systems_window_is_none_of_mine() -> None:
    facts = replace(FACTS, windows=(NIGHT.model_copy(update={"systems": ("ite",)}),))
    assert ruled(blackout(run_of(), facts, None, at("2026-11-26 12:00"))) == ("allow", "no-window")


@pytest.mark.parametrize(
    ("origin", "left_s", "expected"),
    [("person", 1.0, "allow"), ("person", 0.0, "refuse"), ("schedule", 1.0, "refuse"), ("alarm", 1.0, "refuse")],
)
def test_one_person_may_override_it_for_what_people_ask_for(origin: str, left_s: float, expected: str) -> None:
    now = at("2026-11-26 12:00")
    override = Override("override/1", "ncts", "blackout", "vera", "the vendor is here", now - 10, now + left_s)
    verdict = blackout(run_of(origin=origin), replace(FACTS, overrides=(override,)), None, now)
    assert verdict.ruling.value == expected
    assert ("vera: the vendor is here" in verdict.sentence) == (expected == "allow")


@given(
    st.lists(st.tuples(st.integers(0, 23), st.integers(1, 26)), min_size=1, max_size=3),
    st.integers(int(at("2026-10-20 00:00")), int(at("2026-10-30 00:00"))),
)
def test_it_allows_exactly_while_some_window_is_open(lines: list[tuple[int, int]], now: int) -> None:
    """Against plain reckoning: each day's opening on the wall, then so many hours of real time."""
    windows = tuple(Window(kinds=("drill",), cron=f"0 {hour} * * *", duration_s=long * HOUR_S) for hour, long in lines)
    opens = [
        (datetime(2026, 10, day, hour, tzinfo=ZoneInfo(ZONE)).astimezone(UTC).timestamp(), long)
        for day in range(17, 31)
        for hour, long in lines
    ]
    expected = any(start <= now < start + long * HOUR_S for start, long in opens)
    found = blackout(run_of(), replace(FACTS, windows=windows), None, float(now))
    assert (found.reason == "in-window") == expected
