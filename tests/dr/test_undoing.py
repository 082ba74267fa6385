"""Undoing when an undo fails: nothing beneath what may still stand is undone without a person's word, and all ends.

Plans are any graph of steps; failures, lost answers, crashes and what people say are any. ``decide``, ``fold`` and the
commands are the real ones.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from engine_kit import accepted, plan, step
from examples_kit import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from dr.engine import commands, joint_course, undoing
from dr.engine.transition import Perform, Probe, Record, Undo, decide
from dr.errors import RunRefused
from dr.journal.event import (
    ApprovalAsked,
    Approved,
    Event,
    Interrupted,
    RunStarted,
    StepFailed,
    StepIgnored,
    StepProbed,
    StepStarted,
    StepSucceeded,
    StepUnknown,
    UndoFailed,
    UndoStarted,
    UndoSucceeded,
    decode,
    encode,
)
from dr.journal.fold import fold, fold_all
from dr.journal.joint import JointAccepted, JointApproved, JointCancelAsked, fold_all_joint
from dr.journal.run import ACTIVE, Run, RunState, StepRecord, StepState
from dr.playbook.joint import JointPlan, Member
from dr.playbook.model import Plan, PlannedStep, ancestors

SUCCEEDED, UNDONE, UNDO_FAILED, UNKNOWN = (
    StepState.SUCCEEDED,
    StepState.UNDONE,
    StepState.UNDO_FAILED,
    StepState.UNKNOWN,
)


@dataclass
class Course:
    """One course of a run. ``undos`` holds, by step, how the next undos end; what is not there ends well."""

    run: Run
    events: list[Event]
    outcomes: dict[str, str] = field(default_factory=dict)
    undos: dict[str, list[str]] = field(default_factory=dict)
    undone: list[str] = field(default_factory=list)

    def write(self, *events: Event) -> None:
        for event in events:
            if isinstance(event, UndoStarted):
                self._may_be_undone(event.step)
                self.undone.append(event.step)
            self.run = fold(self.run, event)
            self.events.append(event)

    def _may_be_undone(self, step_id: str) -> None:
        """No step beneath a not-undone step is ever undone without a person's word."""
        said = {event.step for event in self.events if isinstance(event, StepIgnored) and event.by != "karaula"}
        plans = {each.id: each for each in self.run.plan.steps}
        for key, record in self.run.steps.items():
            if step_id in ancestors(plans, key):
                assert record.state is not UNKNOWN
                assert record.state is not UNDO_FAILED or key in said
                assert record.state is not SUCCEEDED or not record.plan.undoable

    def goes_on(self, *, until: Callable[[Run], bool] = lambda _run: False) -> None:
        """Do what is decided until nothing is."""
        for _ in range(500):
            if self.run.state.final or until(self.run):
                return
            moves = [intent for intent in decide(self.run, 0.0) if isinstance(intent, (Record, Perform, Probe, Undo))]
            if not moves:
                return
            self._does(moves[0])
        raise AssertionError(f"no end: {self.events[-12:]}")

    def _does(self, intent: Record | Perform | Probe | Undo) -> None:
        match intent:
            case Record(event):
                self.write(event)
            case Perform(name, attempt):
                self.write(StepStarted(0.0, name, attempt, "k", 7))
                ends: dict[str, Event] = {
                    "ok": StepSucceeded(0.0, name, attempt, {}, "", ""),
                    "fails": StepFailed(0.0, name, attempt, "it broke", False, False, ""),
                    "lost": StepUnknown(0.0, name, attempt, "no answer", True, ""),
                }
                self.write(ends[self.outcomes.get(name, "ok")])
            case Probe(name, attempt):
                self.write(StepProbed(0.0, name, attempt, "cannot-tell", "dark", {}))
            case Undo(name):
                self.write(UndoStarted(0.0, name, 7))
                word = self.undos[name].pop(0) if self.undos.get(name) else "ok"
                if word == "crash":
                    self.write(Interrupted(0.0))
                else:
                    self.write(UndoSucceeded(0.0, name) if word == "ok" else UndoFailed(0.0, name, "it is stuck"))

    def says(self, word: str, name: str = "") -> None:
        """Let ana say ``word``. Raises RunRefused."""
        run = self.run
        told: dict[str, Callable[[], object]] = {
            "retry": lambda: commands.retry(run, name, "ana", "I looked", 0.0),
            "ignore": lambda: commands.ignore(run, name, "ana", "I looked", 0.0),
            "resume": lambda: commands.resume(run, "ana", "", 0.0),
            "cancel": lambda: commands.cancel(run, "ana", "enough", 0.0),
            "undo": lambda: commands.undo(run, "ana", "back", 0.0),
            "pause": lambda: commands.pause(run, "ana", "wait", 0.0),
        }
        self.write(*told[word]())  # type: ignore[misc]  # events


def begun(the_plan: Plan, **given_: object) -> Course:
    run, events = accepted(the_plan)
    course = Course(run, events, **given_)  # type: ignore[arg-type]  # fields of a course
    if the_plan.attended:
        course.write(ApprovalAsked(0.0, 9.0, run.plan_hash), Approved(0.0, "bojan", "", run.plan_hash))
    course.write(RunStarted(0.0, 7))
    return course


@st.composite
def courses(draw: st.DrawFn) -> Course:
    names = [f"s{number}" for number in range(draw(st.integers(2, 7)))]
    steps = [
        step(
            name,
            *draw(st.lists(st.sampled_from(names[:number]), max_size=3, unique=True) if number else st.just([])),
            effects=((name, "power", "on"),),
            undoable=draw(st.sampled_from([True, True, True, False])),
            on_failure=draw(st.sampled_from(["stop", "undo", "undo", "continue"])),
        )
        for number, name in enumerate(names)
    ]
    steps.append(step("tidy", effects=(("t", "bubble", "absent"),), final=True))
    outcomes = {names[-1]: "fails"} | draw(
        st.dictionaries(st.sampled_from(names), st.sampled_from(["fails", "lost"]), max_size=2)
    )
    ends = st.lists(st.sampled_from(["fails", "fails", "crash", "ok"]), max_size=3)
    kind = draw(st.sampled_from(["failover", "drill", "backup"]))
    undos = draw(st.dictionaries(st.sampled_from(names), ends))
    return begun(plan(*steps, kind=kind), outcomes=outcomes, undos=undos)


WORDS = st.sampled_from(["retry", "ignore", "resume", "cancel", "undo", "die"])
MIDDLE = st.lists(st.tuples(st.integers(1, 60), st.sampled_from(["undo", "pause", "cancel", "die"])), max_size=2)


@given(courses(), MIDDLE, st.lists(st.tuples(WORDS, st.integers(0, 6)), max_size=8))
@settings(deadline=None, max_examples=examples(400))
def test_every_course_ends_and_nothing_is_undone_beneath_what_stands(
    course: Course, unasked: list[tuple[int, str]], said: list[tuple[str, int]]
) -> None:
    for at, word in sorted(unasked):
        course.goes_on(until=lambda run, at=at: run.seq >= at)  # type: ignore[misc]  # a lambda with a default
        try_to(course, word)
    for word, number in said:
        course.goes_on()
        if course.run.state is RunState.PAUSED:
            assert course.run.pause_reason
            try_to(course, word, f"s{number}")
    course.goes_on()
    if course.run.state is RunState.PAUSED:  # whatever was said: to leave it is always a way out
        course.says("cancel")
        course.goes_on()
    ended(course)
    assert fold_all(course.run.id, [decode(*encode(event)) for event in course.events]) == course.run


def try_to(course: Course, word: str, name: str = "") -> None:
    if word == "die":
        if course.run.state in ACTIVE:
            course.write(Interrupted(0.0))
        return
    with contextlib.suppress(RunRefused):
        course.says(word, name)


def ended(course: Course) -> None:
    run = course.run
    assert run.state.final, (run.state, course.events[-5:])
    assert run.steps["tidy"].attempt == 1, "what cleans up ran, once"
    plans = {each.id: each for each in run.plan.steps}
    standing = [key for key, record in run.steps.items() if record.stands]
    held = {need for key in standing for need in ancestors(plans, key)}
    if run.undo_begun:
        left = [key for key, record in run.steps.items() if to_undo(record)]
        assert set(left) <= held, "what nothing stood upon was undone"
        assert all(key in run.end_reason for key in left)
    if any(record.state in {UNDO_FAILED, UNDONE} for record in run.steps.values()):
        assert run.state is not RunState.SUCCEEDED
    for key, record in run.steps.items():
        assert record.state is not UNDO_FAILED or f"step '{key}' could not be undone" in run.end_reason


def to_undo(record: StepRecord) -> bool:
    return record.state is SUCCEEDED and record.plan.undoable


# -- one by one --------------------------------------------------------------------------------------------------------


def built(name: str, *needs: str) -> PlannedStep:
    return step(name, *needs, effects=((name, "power", "on"),), undoable=True)


def tower(kind: str = "failover", **undos: list[str]) -> Course:
    """ground, walls on it, roof on them; a shed aside; paint fails, and all is to be undone."""
    steps = (
        built("ground"),
        built("walls", "ground"),
        built("roof", "walls"),
        built("shed"),
        step("paint", "roof", "shed", effects=(("p", "paint", "dry"),), on_failure="undo"),
        step("tidy", effects=(("t", "bubble", "absent"),), final=True),
    )
    course = begun(plan(*steps, kind=kind), outcomes={"paint": "fails"}, undos=undos)
    course.goes_on()
    return course


def test_a_person_is_asked_with_all_that_matters_in_one_sentence() -> None:
    course = tower(walls=["fails"])
    assert course.undone == ["shed", "roof", "walls"]  # the branch aside is undone all the same
    assert course.run.state is RunState.PAUSED
    assert course.run.pause_reason == (
        "step 'walls' could not be undone: it is stuck; what it was built upon is therefore left in place: ground. "
        "Look, then: retry (undo it again), ignore (pass over it: ground will be undone all the same) or cancel (leave "
        "it all as it is)"
    )
    assert course.run.steps["tidy"].attempt == 0


def test_a_reason_that_is_a_sentence_of_its_own_ends_once() -> None:
    course = tower(walls=["fails"])
    record = replace(course.run.steps["walls"], reason="The vCenter refused it.")
    run = replace(course.run, steps={**course.run.steps, "walls": record})
    assert ".." not in undoing.asks(run)
    assert "could not be undone: The vCenter refused it" in undoing.asks(run)


@pytest.mark.parametrize("word", ["retry", "resume"])
def test_the_undo_can_be_tried_again(word: str) -> None:
    course = tower(walls=["fails", "fails"])
    course.says(word, "walls")
    course.goes_on()
    assert course.run.state is RunState.PAUSED
    course.says(word, "walls")
    course.goes_on()
    assert course.undone[1:] == ["roof", "walls", "walls", "walls", "ground"]
    assert [course.run.steps[key].state for key in ("ground", "walls", "roof", "shed")] == [UNDONE] * 4
    assert course.run.end_reason == "step 'paint' failed: it broke"


def test_it_can_be_passed_over_by_name_and_reason() -> None:
    course = tower(walls=["fails"])
    with pytest.raises(RunRefused, match="needs a reason"):
        commands.ignore(course.run, "walls", "ana", " ", 0.0)
    with pytest.raises(RunRefused, match="needs the name"):
        commands.ignore(course.run, "walls", "", "why", 0.0)
    course.says("ignore", "walls")
    with pytest.raises(RunRefused, match="IN_PROGRESS, not PAUSED"):
        course.says("ignore", "walls")
    course.goes_on()
    walls = course.run.steps["walls"]
    assert course.undone == ["shed", "roof", "walls", "ground"]
    assert (walls.state, walls.ignored_by) == (UNDO_FAILED, "ana")
    assert walls.reason == "it is stuck (passed over by ana: I looked)"
    assert "step 'walls' could not be undone" in course.run.end_reason


def test_it_can_be_left_and_the_end_says_what_was() -> None:
    course = tower(walls=["fails"])
    course.says("cancel")
    course.goes_on()
    run = course.run
    assert (run.state, run.steps["ground"].state, run.steps["walls"].left_by) == (RunState.FAILED, SUCCEEDED, "ana")
    assert run.steps["tidy"].attempt == 1
    assert run.end_reason == (
        "step 'walls' could not be undone, a person is needed: it is stuck; step 'paint' failed: it broke; "
        "what that was built upon is left in place: ground"
    )


def test_what_is_left_holds_when_another_undo_fails_later_and_a_person_is_asked_for_that_one_alone() -> None:
    course = tower(shed=["fails"], walls=["fails"])
    assert course.run.pause_reason.count("could not be undone") == 2
    assert "step 'shed' could not be undone: it is stuck. Look, then: retry (undo it again) or cancel" in (
        course.run.pause_reason
    )
    course.undos["walls"] = ["fails"]
    course.says("retry", "walls")
    course.goes_on()
    course.says("ignore", "shed")
    course.goes_on()
    assert course.run.pause_reason.count("could not be undone") == 1
    assert "shed" not in course.run.pause_reason


@pytest.mark.parametrize("kind", ["drill", "backup", "verify"])
def test_a_run_that_nobody_attends_waits_for_nobody_and_cleans_up(kind: str) -> None:
    run = tower(kind, walls=["fails"]).run
    assert (run.state, run.steps["ground"].state, run.steps["shed"].state) == (RunState.FAILED, SUCCEEDED, UNDONE)
    assert run.steps["tidy"].state is SUCCEEDED
    assert run.end_reason.endswith("what that was built upon is left in place: ground")


def two_of_a(kind: str) -> Course:
    """Two steps, of which a person asks that they be undone, and the second cannot be."""
    two = plan(built("one"), built("two", "one"), kind=kind)
    course = begun(two, undos={"two": ["fails"]})
    course.goes_on(until=lambda run: run.steps["two"].state is SUCCEEDED)
    course.says("undo")
    course.goes_on()
    return course


def test_whoever_asks_for_the_undo_of_a_drill_is_asked() -> None:
    course = two_of_a("drill")
    assert course.run.state is RunState.PAUSED
    with pytest.raises(RunRefused, match="being taken back already"):
        course.says("undo")
    course.says("resume")
    assert course.run.state is RunState.CANCELING, "it was ended; it goes on to that end"
    course.goes_on()
    assert (course.run.state, course.run.end_reason) == (RunState.CANCELED, "undone by ana: back")


def test_a_step_of_which_nobody_can_tell_holds_what_it_was_built_upon() -> None:
    steps = (built("one"), built("aside"), built("two", "one"))
    course = begun(plan(*steps), outcomes={"two": "lost"})
    course.goes_on()
    assert "it cannot be told whether it happened" in course.run.pause_reason
    course.says("undo")
    course.goes_on()
    assert (course.run.state, course.undone) == (RunState.PAUSED, ["aside"])
    assert "left in place: one. Look, then: resume (look again), ignore (pass over it: one" in course.run.pause_reason
    with pytest.raises(RunRefused, match="it is not run again"):
        course.says("retry", "two")
    course.says("ignore", "two")
    course.goes_on()
    assert course.undone == ["aside", "one"]


def test_what_fails_is_not_run_again_nor_gone_on_from_once_undoing_has_begun() -> None:
    course = tower(walls=["fails"])
    for word in ("retry", "ignore"):
        with pytest.raises(RunRefused, match="what was done is being taken back"):
            course.says(word, "paint")


def test_after_the_final_steps_have_begun_nothing_is_undone_any_more() -> None:
    course = tower(walls=["fails"])
    course.says("cancel")
    course.goes_on(until=lambda run: run.finishing)
    with pytest.raises(RunRefused, match="CANCELING; there is nothing to take back"):
        course.says("undo")
    drill = begun(
        plan(built("one"), step("tidy", "one", effects=(("t", "bubble", "absent"),), final=True), kind="drill")
    )
    drill.goes_on(until=lambda run: run.finishing)
    assert drill.run.state is RunState.IN_PROGRESS
    with pytest.raises(RunRefused, match="its final steps have begun; cancelled, it ends as it stands"):
        drill.says("undo")
    assert not commands.choices_at(course.run, course.run.steps["walls"])


def test_a_cancelled_joint_run_leaves_that_question_to_a_person_and_says_that_it_waits() -> None:
    course = tower(walls=["fails"])
    member = Member("ncts", course.run.id, 1, (), course.run.plan)
    joint_plan = JointPlan("failover", "failover", (member,), {})
    joint = fold_all_joint(
        "joint",
        [
            JointAccepted(0.0, joint_plan.to_json(), "ana", "dark", 9.0, {}, {}, {}),
            JointApproved(1.0, "bojan", "", joint_plan.hash()),
            JointCancelAsked(2.0, "ana", "power is back"),
        ],
    )
    cancel = joint_course.Cancel(course.run.id)
    assert joint_course.decide(joint, {course.run.id: course.run}, 3.0) == (cancel,)
    ended = two_of_a("failover")
    runs = {ended.run.id: ended.run}
    assert (ended.run.state, ended.run.cancel_by) == (RunState.PAUSED, "ana")
    assert joint_course.decide(joint, runs, 3.0) == ()
    assert "'two' could not be undone" in joint_course.stands_still(joint, runs)


def test_a_journal_in_which_an_earlier_version_undid_beneath_a_failed_undo_still_loads() -> None:
    course = tower("drill", walls=["fails"])
    until = next(number for number, event in enumerate(course.events) if isinstance(event, UndoFailed))
    earlier = [*course.events[: until + 1], UndoStarted(0.0, "ground", 7), UndoSucceeded(0.0, "ground")]
    run = fold_all("ncts-test", earlier)
    assert run.steps["ground"].state is UNDONE
    again = Course(run, earlier)
    again.goes_on()
    assert again.run.state is RunState.FAILED
    assert again.run.steps["tidy"].attempt == 1
