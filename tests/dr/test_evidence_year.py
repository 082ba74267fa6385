"""The year's overview: what ended in it, what was reached, and what is said of what is missing."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from test_evidence_report import INVENTORY, whole

from dr.evidence.render import year_to_html
from dr.evidence.year import Year, overview
from dr.journal.event import Event, RunEnded
from dr.journal.finding import ActionAgreed, FindingEntered, TrackedFinding, fold_finding
from dr.journal.fold import fold_all
from dr.journal.run import Run

SKOPJE = ZoneInfo("Europe/Skopje")
SECOND_OF_JANUARY = datetime(1970, 1, 2, tzinfo=SKOPJE).timestamp()


def told(year: int, runs: list[tuple[Run, list[Event]]], tracked: list[TrackedFinding], now: float) -> Year:
    return overview(year, runs, [], tracked, INVENTORY, SKOPJE, now)


def failover(run_id: str) -> tuple[Run, list[Event]]:
    events = list(whole())
    return fold_all(run_id, events), events


def test_a_year_without_anything_says_so() -> None:
    year = told(2026, [], [], datetime(2027, 2, 1, tzinfo=SKOPJE).timestamp())
    assert year.over
    assert [one.longest_gap_days for one in year.systems] == [365.0] * 4
    assert year.exercises == ()
    shown = {clause.clause: clause.shows for clause in year.clauses}
    assert "no drill that ended well: CDEPS, NCTS, ITE, EXIM" in shown["ISO 22301:2019, 8.5"]
    page = year_to_html(year)
    assert "None ended in this year." in page
    assert "not measured" in page


def test_a_failover_counts_in_the_year_of_the_estates_own_time() -> None:
    runs = [failover("ncts-1")]
    year = told(1970, runs, [], SECOND_OF_JANUARY)
    assert not year.over
    ncts = next(one for one in year.systems if one.key == "ncts")
    assert (ncts.counts["failover"].ended, ncts.counts["failover"].well) == (1, 1)
    assert (ncts.recovery_time.n, ncts.recovery_time.worst_s, ncts.recovery_time.missed) == (1, 76.0, 0)
    assert (ncts.lost_records, ncts.lost_unknown) == (3, 0)
    assert [one.run for one in year.exercises] == ["ncts-1"]
    assert told(1971, runs, [], SECOND_OF_JANUARY).exercises == ()
    # 1970-01-01 00:17 UTC is still 1969 nowhere in Skopje, but it is in New York
    elsewhere = overview(1969, runs, [], [], INVENTORY, ZoneInfo("America/New_York"), SECOND_OF_JANUARY)
    assert [one.run for one in elsewhere.exercises] == ["ncts-1"]


def test_a_missed_objective_and_a_failed_run_are_counted() -> None:
    run, events = failover("ncts-1")
    failed = [*events[:-1], RunEnded(5000.0, "FAILED", "no")]
    year = told(1970, [(fold_all("ncts-2", failed), failed), (run, events)], [], SECOND_OF_JANUARY)
    ncts = next(one for one in year.systems if one.key == "ncts")
    assert (ncts.counts["failover"].ended, ncts.counts["failover"].well) == (2, 1)


def test_findings_stand_until_they_are_over_and_what_is_late_is_counted() -> None:
    entered = FindingEntered(1000.0, "karaula", "ncts-1", "ncts", "critical", "<b>lost</b>")
    agreed = ActionAgreed(1100.0, "ana", "boris", 2000.0, "look")
    late = fold_finding("finding/1", [entered, agreed])
    year = told(1971, [failover("ncts-1")], [late], SECOND_OF_JANUARY)
    assert year.findings == (late,), "it is not over, so next year's overview has it too"
    assert (year.overdue, year.findings_by_state["action-agreed"]) == (1, 1)
    assert told(1970, [failover("ncts-1")], [late], SECOND_OF_JANUARY).exercises[0].findings == 1
    assert "&lt;b&gt;lost" in year_to_html(year)
