"""Reports of runs that went every way: what is measured, what is found, what is admitted not to be known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from engine_kit import FENCE, ROLE, plan, step

from dr.evidence.collect import Finding, Measure
from dr.evidence.render import span, to_html, to_json
from dr.evidence.report import Report, report
from dr.evidence.words import sentence
from dr.forecast import Forecast
from dr.journal.event import (
    WORDS,
    ApprovalAsked,
    Approved,
    Event,
    GuardRuled,
    Interrupted,
    Paused,
    Recovered,
    Resumed,
    RetryAsked,
    RunAccepted,
    RunEnded,
    RunStarted,
    Scalar,
    StepFailed,
    StepIgnored,
    StepStarted,
    StepSucceeded,
)
from dr.journal.fold import fold_all
from dr.playbook.model import Plan
from monitor.inventory.read import read

NO_PAST = Forecast(0)
INVENTORY = read(Path(__file__).parents[2] / "inventory.yaml")
NASTY = "<script>alert(1)</script>"
POINT: dict[str, Scalar] = {"lost": 3, "lost_known": "exact", "rpa_s": 1.5, "position": 10}
FAILOVER = plan(
    step("fence", effects=(FENCE,), site="main"),
    step("loss", "fence", action="recovery_point"),
    step("promote", "loss", effects=(ROLE,)),
    step("names", "promote", action="dns_record", effects=(("system/ncts/dr", "traffic", "dr"),)),
    step("service", "names", action="http_check", args={"where": "service"}),
)


def opening(the_plan: Plan, lost_at: float = 990.0, alarm_at: float = 995.0) -> list[Event]:
    digest = the_plan.hash()
    accepted = RunAccepted(1000.0, the_plan.to_json(), "ana", NASTY, "alarm", "system-down", lost_at, alarm_at)
    return [
        accepted,
        ApprovalAsked(1000.0, 4000.0, digest),
        Approved(1055.0, "boris", "go", digest),
        RunStarted(1056.0, 7),
    ]


def done(name: str, at: float, outputs: dict[str, Scalar] | None = None, attempt: int = 1) -> list[Event]:
    return [
        StepStarted(at, name, attempt, "k", 7),
        StepSucceeded(at + 1, name, attempt, outputs or {}, f"saw {name}", ""),
    ]


def reported(
    events: Sequence[Event], outputs: dict[tuple[str, int], str] | None = None, expected: Forecast = NO_PAST
) -> Report:
    return report(fold_all("ncts-1", events), events, outputs or {}, INVENTORY, expected, 2000.0)


def test_recovery_time_counts_from_the_first_attempt_at_the_fence() -> None:
    """What cut the service off was begun then; that it had to be tried again is part of the recovery's time."""
    failed = StepFailed(1090.0, "fence", 1, "the relay is stuck", timed_out=False, retry_helps=False, output_sha256="")
    events: list[Event] = [
        *opening(FAILOVER, lost_at=0.0, alarm_at=0.0),
        StepStarted(1060.0, "fence", 1, "k", 7),
        failed,
        Paused(1091.0, "karaula", "step 'fence' failed"),
        RetryAsked(1100.0, "fence", "ana", "the relay was replaced"),
        Resumed(1100.0, "ana", ""),
        *done("fence", 1101.0, {"proof": "PROVEN"}, attempt=2),
        *done("loss", 1103.0, POINT),
        *done("promote", 1105.0),
        *done("names", 1107.0),
        *done("service", 1109.0),
        RunEnded(1111.0, "SUCCEEDED", ""),
    ]
    assert measure(reported(events), "rta").value == 1110.0 - 1060.0


def test_what_a_guard_says_before_several_steps_is_one_finding() -> None:
    said = GuardRuled(1056.0, "safety", "allow", "overridden", "rule 'site': two people say so", "")
    events = [*opening(FAILOVER), said, replace(said, step="fence"), replace(said, step="promote")]
    found = [one.what for one in reported(events).findings if "overridden" in one.what]
    assert found == ["guard 'safety' was overridden: rule 'site': two people say so"]


def measure(made: Report, name: str) -> Measure:
    return next(one for one in made.measures if one.name == name)


def whole(point: dict[str, Scalar] | None = None, *, the_plan: Plan = FAILOVER, lost_at: float = 990.0) -> list[Event]:
    return [
        *opening(the_plan, lost_at, 995.0 if lost_at else 0.0),
        *done("fence", 1057.0),
        *done("loss", 1059.0, POINT if point is None else point),
        *done("promote", 1061.0),
        *done("names", 1063.0, {"missed": "dns-main"}),
        *done("service", 1065.0),
        RunEnded(1066.0, "SUCCEEDED", ""),
    ]


def test_detection_decision_and_machine_time_stand_apart() -> None:
    made = reported(whole())
    assert {one.name: one.value for one in made.measures} == {
        "detection": 5.0,
        "decision": 60.0,
        "machine": 10.0,
        "expected": None,
        "rta": 76.0,
        "rpa_count": 3,
        "rpa_time": 1.5,
    }
    assert measure(made, "rta").met
    assert [finding.severity for finding in made.findings] == ["critical", "warning"]
    assert made.findings[0].what.startswith("lost: 3 acknowledged declarations of ncts")
    assert "dns-main" in made.findings[1].what


def test_the_expected_machine_time_stands_beside_the_measured_one_and_too_few_runs_are_said() -> None:
    few = reported(whole(), expected=Forecast(3))
    assert measure(few, "expected").value is None
    assert (
        "Machine, expected: not known; insufficient data: 3 past runs of the same steps, 5 are needed" in few.not_known
    )
    made = reported(whole(), expected=Forecast(12, 20.0, 31.0, ("fence", "promote")))
    assert measure(made, "expected").value == 20.0
    assert "nine in ten took at most 31.0 s" in measure(made, "expected").note


def test_a_missed_objective_is_a_finding() -> None:
    made = reported(whole({**POINT, "rpa_s": 400.0}, the_plan=replace(FAILOVER, rto_s=60)))
    assert (measure(made, "rta").met, measure(made, "rpa_time").met) == (False, False)
    assert Finding("critical", "Recovery time (RTA) missed its objective of 60 s: 76.0 s") in made.findings


def test_without_an_alarm_time_counts_from_the_fence_and_that_is_said() -> None:
    made = reported(whole(lost_at=0.0))
    assert measure(made, "rta").value == 1066.0 - 1057.0
    assert "step 'fence'" in measure(made, "rta").note
    assert any("recovery time counts from the fence" in said for said in made.not_known)


def test_a_loss_is_never_no_time_at_all() -> None:
    hidden = reported(whole({"lost": 3, "lost_known": "exact", "rpa_s": 0.0, "newest_at": 998.0}))
    time = measure(hidden, "rpa_time")
    assert (time.value, time.bound) == (0.0, "at least")
    assert "its way hides the rest" in time.note
    unsaid = reported(whole({"lost": 3, "lost_known": "at-least", "rpa_s": 0.0, "newest_at": 0.0}))
    assert measure(unsaid, "rpa_time").value is None
    assert any("nobody says when the newest one that is lost was accepted" in said for said in unsaid.not_known)


def test_what_the_old_side_threw_away_is_not_called_lost_before_anybody_was_told_that_it_is_accepted() -> None:
    """After a synchronous failover that lost nothing, a record is left that was written and never acknowledged."""
    stands_by = (("system/ncts/main", "role", "standby"),)
    back = plan(step("follow", effects=stands_by, site="main"), kind="reprotect")
    back = replace(back, from_site="dr", to_site="main")
    followed = done("follow", 1057.0, {"discarded": 1, "position": 9})
    made = reported([*opening(back, 0.0, 0.0), *followed, RunEnded(1059.0, "SUCCEEDED", "")])
    both = "what the failover lost, and what was written there and nobody was told is accepted"
    assert (measure(made, "discarded").value, both in measure(made, "discarded").note) == (1, True)
    assert Finding("warning", f"1 record of the old side thrown away: {both}") in made.findings


@pytest.mark.parametrize(
    ("point", "value", "bound", "met"),
    [
        ({"lost": -1, "lost_known": "unknown", "rpa_s": -1.0}, None, "", None),
        ({"lost": "a word", "lost_known": "exact", "rpa_s": 0.0}, None, "", None),
        ({"lost": 2, "lost_known": "at-least", "rpa_s": 0.0}, 2, "at least", None),
        ({"lost": 0, "lost_known": "exact", "rpa_s": 0.0}, 0, "", True),
        ({"lost": -1, "lost_known": "by-markers", "rpa_s": 0.0}, None, "", None),
        ({"lost": -1, "lost_known": "by-markers", "rpa_s": 1e6}, None, "", False),
    ],
)
def test_what_is_not_known_of_the_loss_is_not_claimed(
    point: dict[str, Scalar], value: float | None, bound: str, met: bool | None
) -> None:
    made = reported(whole(point))
    count = measure(made, "rpa_count")
    assert (count.value, count.bound, measure(made, "rpa_time").met) == (value, bound, met)
    assert any("Lost declarations" in said for said in made.not_known) == (value is None)


def test_a_failed_and_repeated_and_interrupted_run_says_so() -> None:
    retried = replace(FAILOVER, steps=(replace(FAILOVER.steps[0], retries=1), *FAILOVER.steps[1:]))
    events = [
        *opening(retried),
        StepStarted(1057.0, "fence", 1, "k", 7),
        StepFailed(1058.0, "fence", 1, "still draws 90 W", False, True, ""),
        Interrupted(1059.0),
        Recovered(1060.0),
        *done("fence", 1061.0, attempt=2),
        StepStarted(1063.0, "loss", 1, "k", 7),
        StepFailed(1064.0, "loss", 1, "no standby", False, False, ""),
        Paused(1065.0, "karaula", "step 'loss' failed"),
        StepIgnored(1165.0, "loss", "ana", "we know"),
        Resumed(1165.0, "ana", "we know"),
        *done("promote", 1166.0),
        StepStarted(1168.0, "names", 1, "k", 7),
        StepFailed(1169.0, "names", 1, "refused", False, False, ""),
        RunEnded(1170.0, "FAILED", "step 'names' failed: refused"),
    ]
    made = reported(events)
    assert (measure(made, "paused").value, measure(made, "machine").value) == (100.0, 14.0)
    assert (measure(made, "rta").value, measure(made, "rta").met) == (None, False)
    said = "\n".join(finding.what for finding in made.findings)
    for part in (
        "the run failed: step 'names' failed: refused",
        "step 'fence' needed 2 attempts",
        "step 'loss' failed and was passed over",
        "Karaula itself went down once",
        "missed its objective of 900 s: not reached",
    ):
        assert part in said
    assert [(act.by, act.what) for act in made.people] == [
        ("boris", "approved the plan"),
        ("ana", "passed over step 'loss'"),
        ("ana", "let the run go on"),
    ]


def test_an_output_that_was_changed_is_found() -> None:
    events = [*opening(FAILOVER), StepStarted(1057.0, "fence", 1, "k", 7)]
    sha256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"  # of "hello"
    events.append(StepSucceeded(1058.0, "fence", 1, {}, "", sha256))
    assert reported(events, {("fence", 1): "hello"}).findings == ()
    changed = reported(events, {("fence", 1): "hullo"})
    assert Finding("critical", "the kept output of fence, attempt 1 is not what was journaled") in changed.findings
    assert "does not match what was kept" in to_html(changed)


def test_a_run_that_only_waits_has_a_report_too() -> None:
    made = reported(opening(FAILOVER)[:2])
    assert made.state == "WAITING"
    assert "the run is not over" in "\n".join(made.not_known)
    assert "never" in to_html(made)


def test_every_word_of_the_journal_has_a_sentence() -> None:
    for word in WORDS.values():
        values: dict[str, Any] = {
            name: {"float": 1.0, "int": 1, "str": "x", "bool": False}.get(str(kind), {})
            for name, kind in word.__annotations__.items()
        }
        assert sentence(word(**values)), word.__name__


class Page(HTMLParser):
    """Sees that tags close and that nothing is fetched."""

    VOID = frozenset({"meta", "br", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert not {name for name, _ in attrs} & {"src", "href", "onclick", "style"}
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_how_ready_the_system_was_when_it_was_last_asked_stands_in_the_report() -> None:
    def ruled(at: float, guard: str, reason: str, said: str) -> Event:
        return GuardRuled(at, guard, "allow", reason, said, "")

    accepted, *rest = opening(FAILOVER)
    asked = ruled(1000.0, "readiness", "unknown-told", "ncts is unknown")
    again = ruled(1055.5, "readiness", "red-told", "ncts is red")
    other = ruled(1055.5, "approval", "approved", "approved by boris")
    made = reported([accepted, asked, *rest[:2], again, other, *rest[2:], RunEnded(1080.0, "FAILED", "no")])
    assert made.readiness == "ncts is red"
    assert "<dt>Readiness</dt><dd>ncts is red</dd>" in to_html(made)
    silent = reported([accepted, ruled(1000.0, "readiness", "not-known", "nobody has looked"), *rest])
    assert (silent.readiness, "<dt>Readiness" in to_html(silent)) == ("", False)


def test_the_page_is_whole_stands_alone_and_escapes_everything() -> None:
    html = to_html(reported(whole(), {("fence", 1): NASTY}))
    page = Page()
    page.feed(html)
    assert page.open == []
    assert not page.tags & {"script", "link", "img", "iframe"}
    assert html.count("&lt;script&gt;") >= 2
    assert "1 min 16 s" in html


def test_json_keeps_its_shape() -> None:
    data = json.loads(to_json(reported(whole())))
    assert data["schema"] == 1
    assert set(data) == set(Report.__slots__)
    assert set(data["measures"][0]) == set(Measure.__slots__)
    assert data["steps"][0]["effects"] == [list(FENCE)]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (59.94, "59.9 s"),
        (59.97, "1 min"),
        (76, "1 min 16 s"),
        (89.9, "1 min 30 s"),  # as the terminal says it; never less than was measured by nearly a second
        (3599.7, "1 h"),
        (900, "15 min"),
        (3700, "1 h 1 min"),
        (200_000, "2.3 d"),
        (-5, "-5.0 s"),
    ],
)
def test_spans_read_well(seconds: float, text: str) -> None:
    assert span(seconds) == text
