"""Guards: each answer with its named reason, and laws that hold for every history."""

from __future__ import annotations

from dataclasses import replace

import pytest
from engine_kit import FENCE, ROLE, plan, step
from hypothesis import given
from hypothesis import strategies as st

from dr.errors import IllegalEvent
from dr.guard import Facts, Ruling, Verdict
from dr.guards import GUARDS, RUN_GUARDS, STEP_GUARDS
from dr.guards.approval import approval
from dr.guards.exclusive import exclusive
from dr.guards.fencing import fencing
from dr.guards.flapping import flapping
from dr.guards.isolated import isolated
from dr.guards.paused import paused
from dr.guards.placement import placement
from dr.journal.event import (
    ApprovalAsked,
    Approved,
    Event,
    RunAccepted,
    RunEnded,
    RunStarted,
    StepFailed,
    StepIgnored,
    StepProbed,
    StepStarted,
    StepSucceeded,
    StepUnknown,
    UndoStarted,
    UndoSucceeded,
)
from dr.journal.fold import begin, fold, fold_all
from dr.journal.pause import Pause
from dr.journal.run import Run
from dr.playbook.model import Plan

NOTHING = Facts((), (), {"ncts": "main"})
UNFENCE = ("system/ncts/main", "fence", "off")


def run_of(
    the_plan: Plan | None = None, *events: Event, run_id: str = "one", at: float = 100.0, origin: str = "person"
) -> Run:
    the_plan = the_plan or plan(step("look"), kind="drill")
    accepted = RunAccepted(at, the_plan.to_json(), "ana", "", origin, "", 0.0, 0.0)
    return fold_all(run_id, [accepted, *events])


def ruled(verdict: Verdict) -> tuple[str, str]:
    assert verdict.sentence
    return verdict.ruling.value, verdict.reason


def test_every_guard_is_registered_and_asked() -> None:
    assert {*RUN_GUARDS, *STEP_GUARDS} == set(GUARDS.values())
    verdicts = [guard(run_of(), NOTHING, None, 100.0) for guard in GUARDS.values()]
    assert [verdict.guard for verdict in verdicts] == list(GUARDS)


class TestIsolated:
    CUT_OFF = replace(NOTHING, isolated="the anchor witness does not answer")

    def test_refuses_what_an_alarm_asks_for(self) -> None:
        verdict = isolated(run_of(origin="alarm"), self.CUT_OFF, None, 100.0)
        assert ruled(verdict) == ("refuse", "isolated")
        assert "the anchor witness does not answer" in verdict.sentence
        assert "a person who sees more may start the run" in verdict.sentence

    def test_lets_a_person_and_the_calendar_go_on(self) -> None:
        for origin in ("person", "schedule"):
            verdict = isolated(run_of(origin=origin), self.CUT_OFF, None, 100.0)
            assert ruled(verdict) == ("allow", "despite-isolation")

    def test_has_nothing_against_a_monitor_that_sees(self) -> None:
        assert ruled(isolated(run_of(origin="alarm"), NOTHING, None, 100.0)) == ("allow", "not-isolated")


class TestExclusive:
    def test_refuses_beside_a_waiting_run_and_says_what_to_do(self) -> None:
        failover = plan(step("look"))
        waiting = run_of(failover, run_id="waiting")
        waiting = fold(waiting, ApprovalAsked(100.0, 200.0, waiting.plan_hash))
        verdict = exclusive(run_of(at=101.0), replace(NOTHING, runs=(waiting,)), None, 101.0)
        assert ruled(verdict) == ("refuse", "other-run-active")
        assert "waiting for its approval" in verdict.sentence
        assert "karaula run cancel waiting" in verdict.sentence

    def test_lets_pass_beside_an_ended_run_and_another_system(self) -> None:
        ended = run_of(None, RunStarted(101.0, 1), RunEnded(102.0, "FAILED", ""), run_id="ended")
        other = run_of(replace(plan(step("look")), system="ite"), run_id="other")
        assert exclusive(run_of(), replace(NOTHING, runs=(ended, other)), None, 0.0).ruling is Ruling.ALLOW

    def test_a_clock_set_back_lets_nobody_overtake_a_run_under_way(self) -> None:
        under_way = run_of(None, RunStarted(100.0, 1), run_id="under-way", at=100.0)
        assert exclusive(run_of(at=5.0), replace(NOTHING, runs=(under_way,)), None, 5.0).ruling is Ruling.REFUSE

    @given(st.lists(st.tuples(st.floats(0, 9), st.booleans()), min_size=1, max_size=6))
    def test_of_any_runs_exactly_one_is_let_in(self, asked: list[tuple[float, bool]]) -> None:
        runs = [
            run_of(None, *([RunStarted(at, 1)] if begun else []), run_id=f"r{number}", at=at)
            for number, (at, begun) in enumerate(asked)
        ]
        let_in = [
            run for run in runs if exclusive(run, replace(NOTHING, runs=tuple(runs)), None, 0).ruling.value == "allow"
        ]
        assert len(let_in) == 1


class TestPaused:
    @pytest.mark.parametrize(
        ("origin", "system", "expires_at", "expected"),
        [
            ("schedule", "ncts", 200.0, ("refuse", "paused")),
            ("alarm", "all", 200.0, ("refuse", "paused")),
            ("person", "all", 200.0, ("allow", "person-despite-pause")),
            ("alarm", "ite", 200.0, ("allow", "not-paused")),
            ("alarm", "ncts", 150.0, ("allow", "not-paused")),
        ],
    )
    def test_stops_what_nobody_asked_for(
        self, origin: str, system: str, expires_at: float, expected: tuple[str, str]
    ) -> None:
        facts = replace(NOTHING, pauses=(Pause(system, "boris", "new racks", 100.0, expires_at),))
        verdict = paused(run_of(origin=origin), facts, None, 150.0)
        assert ruled(verdict) == expected
        assert ("boris" in verdict.sentence) == (expected[1] != "not-paused")


class TestApproval:
    def approved(self, by: str, at: float = 110.0) -> Run:
        run = run_of(plan(step("look")))
        run = fold(run, ApprovalAsked(100.0, 200.0, run.plan_hash))
        return fold(run, Approved(at, by, "", run.plan_hash))

    def test_waits_for_a_second_person(self) -> None:
        verdict = approval(run_of(plan(step("look"))), NOTHING, None, 100.0)
        assert ruled(verdict) == ("wait", "approval-missing")
        assert "karaula run approve one" in verdict.sentence

    def test_a_drill_needs_none(self) -> None:
        assert ruled(approval(run_of(), NOTHING, None, 100.0)) == ("allow", "not-needed")

    def test_allows_another_person_in_time(self) -> None:
        assert ruled(approval(self.approved("boris"), NOTHING, None, 110.0)) == ("allow", "approved")

    @pytest.mark.parametrize("by", ["ana", "Ana", " ana "])
    def test_refuses_the_requester(self, by: str) -> None:
        assert ruled(approval(self.approved(by), NOTHING, None, 110.0)) == ("refuse", "approver-is-requester")

    def test_refuses_an_approval_that_was_overtaken_by_time(self) -> None:
        assert ruled(approval(self.approved("boris"), NOTHING, None, 4000.0)) == ("refuse", "approval-expired")


class TestFlapping:
    def failed_over(self, ended_at: float) -> Facts:
        failover = plan(step("look"))
        run = run_of(failover, run_id="before", at=0.0)
        run = fold(run, ApprovalAsked(0.0, 9e9, run.plan_hash))
        run = fold(run, Approved(1.0, "boris", "", run.plan_hash))
        return replace(NOTHING, runs=(fold(fold(run, RunStarted(2.0, 1)), RunEnded(ended_at, "FAILED", "")),))

    @pytest.mark.parametrize(
        ("ago_s", "expected"),
        [
            (-10.0, ("refuse", "just-failed-over")),
            (0.0, ("refuse", "just-failed-over")),
            (3599.0, ("refuse", "just-failed-over")),
            (3600.0, ("wait", "second-within-a-day")),
            (86399.0, ("wait", "second-within-a-day")),
            (86400.0, ("allow", "calm")),
        ],
    )
    def test_an_alarm_is_not_believed_twice(self, ago_s: float, expected: tuple[str, str]) -> None:
        run = run_of(plan(step("look")), origin="alarm", at=10_000.0 + ago_s)
        assert ruled(flapping(run, self.failed_over(10_000.0), None, 10_000.0 + ago_s)) == expected

    def test_a_person_may(self) -> None:
        assert ruled(flapping(run_of(), self.failed_over(99.0), None, 100.0)) == ("allow", "not-by-alarm")

    def test_once_a_person_has_decided_it_passes(self) -> None:
        run = run_of(plan(step("look")), origin="alarm", at=20_000.0)
        run = fold(run, ApprovalAsked(20_000.0, 30_000.0, run.plan_hash))
        run = fold(run, Approved(20_001.0, "boris", "", run.plan_hash))
        assert ruled(flapping(run, self.failed_over(10_000.0), None, 20_001.0)) == ("allow", "person-decided")


class TestPlacement:
    @pytest.mark.parametrize(
        ("active", "expected"), [("dr", ("refuse", "already-there")), ("main", ("allow", "elsewhere"))]
    )
    def test_a_failover_needs_somewhere_to_go(self, active: str, expected: tuple[str, str]) -> None:
        assert (
            ruled(placement(run_of(plan(step("look"))), replace(NOTHING, placement={"ncts": active}), None, 0))
            == expected
        )

    def test_a_drill_may_run_anywhere(self) -> None:
        assert ruled(placement(run_of(), replace(NOTHING, placement={"ncts": "dr"}), None, 0)) == ("allow", "no-move")


PROMOTION = plan(
    step("unfence", effects=(UNFENCE,), site="main", undoable=True),
    step("fence", effects=(FENCE,), site="main", undoable=True, retries=3),
    step("promote", "fence", effects=(ROLE,)),
)
PROVEN = {"proof": "PROVEN"}


def begun() -> Run:
    run = run_of(PROMOTION)
    run = fold(run, ApprovalAsked(100.0, 200.0, run.plan_hash))
    run = fold(run, Approved(101.0, "boris", "", run.plan_hash))
    return fold(run, RunStarted(102.0, 7))


def done(run: Run, name: str, at: float, outputs: dict[str, str | int | float | bool]) -> Run:
    run = fold(run, StepStarted(at, name, run.steps[name].attempt + 1, "k", 7))
    return fold(run, StepSucceeded(at, name, run.steps[name].attempt, outputs, "Off, 0 W", ""))


class TestFencing:
    def test_only_promotions_are_judged(self) -> None:
        assert ruled(fencing(begun(), NOTHING, "fence", 0)) == ("allow", "no-promotion")

    def test_a_proven_fence_lets_the_promotion_pass(self) -> None:
        verdict = fencing(done(begun(), "fence", 103.0, dict(PROVEN)), NOTHING, "promote", 0)
        assert ruled(verdict) == ("allow", "fence-proven")

    def test_a_fence_that_a_probe_proved_after_a_crash_counts(self) -> None:
        run = fold(begun(), StepStarted(103.0, "fence", 1, "k", 7))
        run = fold(run, StepUnknown(104.0, "fence", 1, "?", False, ""))
        assert fencing(run, NOTHING, "promote", 0).ruling is Ruling.REFUSE
        run = fold(run, StepProbed(105.0, "fence", 1, "yes", "Off, 0 W", dict(PROVEN)))
        assert fencing(run, NOTHING, "promote", 0).ruling is Ruling.ALLOW

    @pytest.mark.parametrize("outputs", [{}, {"proof": "UNKNOWN"}, {"proof": "FAILED"}, {"proof": True}])
    def test_success_without_proof_does_not(self, outputs: dict[str, str | int | float | bool]) -> None:
        verdict = fencing(done(begun(), "fence", 103.0, outputs), NOTHING, "promote", 0)
        assert ruled(verdict) == ("refuse", "fence-not-proven")

    def test_a_fence_that_was_passed_over_does_not(self) -> None:
        run = fold(begun(), StepStarted(103.0, "fence", 1, "k", 7))
        run = fold(run, StepFailed(104.0, "fence", 1, "still draws 90 W", False, False, ""))
        run = fold(run, StepIgnored(105.0, "fence", "ana", "looks off"))
        assert ruled(fencing(run, NOTHING, "promote", 0)) == ("refuse", "fence-not-proven")

    def test_a_fence_that_was_opened_again_does_not(self) -> None:
        run = done(done(begun(), "fence", 103.0, dict(PROVEN)), "unfence", 104.0, {})
        assert ruled(fencing(run, NOTHING, "promote", 0)) == ("refuse", "fence-opened")
        run = done(done(begun(), "unfence", 103.0, {}), "fence", 104.0, dict(PROVEN))
        assert ruled(fencing(run, NOTHING, "promote", 0)) == ("allow", "fence-proven")

    def test_a_fence_that_was_taken_back_does_not(self) -> None:
        run = done(begun(), "fence", 103.0, dict(PROVEN))
        run = fold(fold(run, UndoStarted(104.0, "fence", 7)), UndoSucceeded(105.0, "fence"))
        assert fencing(run, NOTHING, "promote", 0).ruling is Ruling.REFUSE

    def test_a_fence_of_the_wrong_side_does_not(self) -> None:
        wrong = plan(step("fence", effects=(("system/ncts/dr", "fence", "on"),)), step("promote", effects=(ROLE,)))
        run = begin("one", RunAccepted(100.0, wrong.to_json(), "ana", "", "person", "", 0.0, 0.0))
        assert ruled(fencing(run, NOTHING, "promote", 0)) == ("refuse", "no-fence")

    @given(st.lists(st.sampled_from(["fence", "fence-unproven", "fence-failed", "unfence", "undo"]), max_size=6))
    def test_it_allows_only_while_the_last_thing_done_to_the_fence_proved_it(self, course: list[str]) -> None:
        run, at, holds = begun(), 103.0, False
        for word in course:
            at += 1
            try:
                run, holds = self.after(run, word, at)
            except IllegalEvent:
                continue
        assert (fencing(run, NOTHING, "promote", at).ruling is Ruling.ALLOW) == holds

    @staticmethod
    def after(run: Run, word: str, at: float) -> tuple[Run, bool]:
        """Return the run after ``word``, and whether the fence is proven and stands by then."""
        if word == "undo":
            return fold(fold(run, UndoStarted(at, "fence", 7)), UndoSucceeded(at, "fence")), False
        if word == "unfence":
            return done(run, "unfence", at, {}), False
        if word == "fence-failed":
            run = fold(run, StepStarted(at, "fence", run.steps["fence"].attempt + 1, "k", 7))
            return fold(run, StepFailed(at, "fence", run.steps["fence"].attempt, "no", False, True, "")), False
        outputs: dict[str, str | int | float | bool] = {"proof": "PROVEN" if word == "fence" else "UNKNOWN"}
        return done(run, "fence", at, outputs), word == "fence"
