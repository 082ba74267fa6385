"""What a person is offered once a step could not be undone: in the API, on the terminal, on the run's page."""

from __future__ import annotations

from typing import cast

from test_undoing import Course, tower, two_of_a

from console.api.views import run_detail_view
from console.terminal.next_steps import choices
from console.terminal.shapes import Run
from console.web import run_sheet

PREFIX, WHY = "karaula run", "--reason …"


def typed(course: Course) -> list[str]:
    view = cast("Run", run_detail_view(course.run, {}).model_dump(mode="json"))
    return [choice.command for choice in choices(view)]


def buttons(course: Course) -> list[tuple[str, str]]:
    run = course.run
    found = [each for record in run_sheet.troubled(run) for each in run_sheet.step_choices(run, record)]
    return [(choice.value, choice.text) for choice in found]


def test_the_step_that_could_not_be_undone_and_no_other_can_be_decided_about() -> None:
    course = tower(walls=["fails"])
    assert typed(course) == [
        f"{PREFIX} retry ncts-test walls",
        f"{PREFIX} ignore ncts-test walls {WHY}",
        f"{PREFIX} cancel ncts-test {WHY}",
    ]
    assert buttons(course) == [
        ("retry:walls", "Undo “walls” again"),
        ("ignore:walls", "Leave “walls” alone, and undo what it was built upon all the same"),
    ]
    assert not run_sheet.resumable(course.run)


def test_what_was_passed_over_is_not_offered_again() -> None:
    course = tower(walls=["fails"], ground=["fails"])
    course.says("ignore", "walls")
    course.goes_on()
    assert typed(course)[:2] == [f"{PREFIX} retry ncts-test ground", f"{PREFIX} ignore ncts-test ground {WHY}"]
    assert [value for value, _ in buttons(course)] == ["retry:ground", "ignore:ground"]


def test_a_run_that_a_person_has_ended_asks_in_the_same_way() -> None:
    course = two_of_a("drill")
    assert typed(course)[0] == f"{PREFIX} retry ncts-test two"
    assert not any("undo" in command for command in typed(course))
    course.says("cancel")
    assert typed(course) == []
    assert buttons(course) == []
