"""Machine time from past runs: the critical path is found, people's time is left out, few runs predict nothing."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

from engine_kit import FENCE, ROLE, plan, step
from hypothesis import given
from hypothesis import strategies as st

from dr.forecast import ENOUGH, Past, longest
from dr.journal.event import (
    ApprovalAsked,
    Approved,
    Event,
    Paused,
    Resumed,
    RetryAsked,
    RunAccepted,
    RunEnded,
    RunStarted,
    StepFailed,
    StepStarted,
    StepSucceeded,
)
from dr.journal.fold import fold_all
from dr.journal.run import Run
from dr.playbook.model import Plan, PlannedStep

HAND_OVER = plan(
    step("fence", effects=(FENCE,), site="main"),
    step("power"),
    step("promote", "fence", "power", effects=(ROLE,)),
    step("clean", final=True),
)
SECONDS = st.floats(0, 10_000)


class Shelf:
    """Runs that are over, with their journals."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[Run, list[Event]]] = {}

    def runs(self) -> list[Run]:
        return [run for run, _ in self.kept.values()]

    def events(self, run_id: str) -> list[Event]:
        return self.kept[run_id][1]

    def add(self, events: list[Event]) -> None:
        run_id = f"run-{len(self.kept)}"
        self.kept[run_id] = (fold_all(run_id, events), events)


def ran(the_plan: Plan, took_s: Sequence[float], state: str = "SUCCEEDED", at: float = 1000.0) -> list[Event]:
    """Return the journal of a run whose steps took so long, each begun as soon as it may."""
    digest = the_plan.hash()
    events: list[Event] = [
        RunAccepted(at, the_plan.to_json(), "ana", "", "person", "", 0.0, 0.0),
        ApprovalAsked(at, at + 3600, digest),
        Approved(at + 500, "boris", "", digest),
        RunStarted(at + 500, 7),
    ]
    at += 500
    for one, seconds in zip(the_plan.steps, took_s, strict=True):
        events += [StepStarted(at, one.id, 1, "k", 7), StepSucceeded(at + seconds, one.id, 1, {}, "", "")]
    return [*events, RunEnded(at + sum(took_s), state, "")]


def test_below_five_runs_nothing_is_predicted() -> None:
    shelf = Shelf()
    past = Past(shelf)
    for n in range(ENOUGH):
        made = past.forecast(HAND_OVER)
        assert (made.n, made.p50_s, made.p90_s) == (n, None, None)
        shelf.add(ran(HAND_OVER, (10, 20, 5, 1)))
    assert past.forecast(HAND_OVER).p50_s == 26.0  # power 20, promote 5, clean 1; the fence runs beside
    assert past.forecast(HAND_OVER).critical == ("power", "promote", "clean")


def test_the_percentiles_are_those_of_whole_runs() -> None:
    shelf = Shelf()
    for seconds in (10, 20, 30, 40, 100):
        shelf.add(ran(HAND_OVER, (seconds, 0, 0, 0)))
    made = Past(shelf).forecast(HAND_OVER)
    assert (made.n, made.p50_s) == (5, 30.0)
    assert made.p90_s is not None
    assert 40 < made.p90_s < 100


def test_runs_that_failed_or_had_other_steps_say_nothing() -> None:
    shelf = Shelf()
    other = replace(HAND_OVER, steps=HAND_OVER.steps[:-1])
    for _ in range(ENOUGH):
        shelf.add(ran(HAND_OVER, (1, 1, 1, 1), state="FAILED"))
        shelf.add(ran(other, (1, 1, 1)))
        shelf.add(ran(replace(HAND_OVER, system="ite"), (1, 1, 1, 1)))
    assert Past(shelf).forecast(HAND_OVER).n == 0
    assert Past(shelf).forecast(other).n == ENOUGH


def test_a_report_knows_only_what_was_over_before_its_run() -> None:
    shelf = Shelf()
    for n in range(ENOUGH):
        shelf.add(ran(HAND_OVER, (1, 1, 1, 1), at=1000.0 * n))
    past = Past(shelf)
    assert past.forecast(HAND_OVER, before=1000.0).n == 1
    assert past.forecast(HAND_OVER).n == ENOUGH


def test_the_time_of_people_is_left_out() -> None:
    one = plan(step("fence", effects=(FENCE,), site="main"))
    digest = one.hash()
    events: list[Event] = [
        RunAccepted(0.0, one.to_json(), "ana", "", "person", "", 0.0, 0.0),
        ApprovalAsked(0.0, 4000.0, digest),
        Approved(500.0, "boris", "", digest),
        RunStarted(500.0, 7),
        StepStarted(500.0, "fence", 1, "k", 7),
        StepFailed(510.0, "fence", 1, "no power controller", False, True, ""),
        Paused(510.0, "karaula", "step 'fence' failed"),
        RetryAsked(2000.0, "fence", "boris", "again"),
        Resumed(2000.0, "boris", "again"),
        StepStarted(2000.0, "fence", 2, "k", 7),
        StepSucceeded(2004.0, "fence", 2, {}, "", ""),
        RunEnded(2004.0, "SUCCEEDED", ""),
    ]
    shelf = Shelf()
    for _ in range(ENOUGH):
        shelf.add(events)
    assert Past(shelf).forecast(one).p50_s == 14.0


@given(st.lists(st.tuples(SECONDS, st.sets(st.integers(0, 7)), st.booleans()), min_size=1, max_size=8))
def test_the_critical_path_is_a_chain_and_none_is_longer(made: list[tuple[float, set[int], bool]]) -> None:
    steps: list[PlannedStep] = []
    for n, (_, needs, final) in enumerate(made):
        alike = [f"s{m}" for m in sorted(needs) if m < n and made[m][2] is final]
        steps.append(step(f"s{n}", *alike, final=final))
    took = {one.id: made[n][0] for n, one in enumerate(steps)}
    seconds, path = longest(steps, took)
    by_id = {one.id: one for one in steps}
    assert seconds == sum(took[name] for name in path) or abs(seconds - sum(took[name] for name in path)) < 1e-6
    for one, after in itertools.pairwise(path):
        assert one in by_id[after].needs or (by_id[after].final and not by_id[one].final)
    for final in (False, True):
        share = sum(took[name] for name in path if by_id[name].final is final)
        assert all(took[one.id] <= share + 1e-6 for one in steps if one.final is final)
