"""The checker and an override of the fence: without one nothing passes, and with one it finds what that can cost."""

from __future__ import annotations

from dataclasses import replace

import pytest
from checker_kit import REAL, changed, found, shipped

from dr.journal.override import FENCING, Override

CONFIRMED = Override("override/1", "ncts", FENCING, "vera", "it looks dark", 0.0, 1e9, "boris", 1.0)


@pytest.mark.parametrize(
    "useless",
    [
        None,
        replace(CONFIRMED, confirmed_by=""),
        replace(CONFIRMED, confirmed_by="karaula"),  # who asked for the run
        replace(CONFIRMED, system="ite"),
        replace(CONFIRMED, expires_at=-1.0),
        replace(CONFIRMED, ended_at=0.0),
    ],
    ids=["none", "one person", "the requester", "another system", "run out", "taken back"],
)
def test_without_two_people_no_course_promotes_beside_a_side_that_may_write(useless: Override | None) -> None:
    once = changed("fence-old", retries=0)(shipped("failover"))
    result = found(once, 1, replace(REAL, overrides=() if useless is None else (useless,)))
    assert result.proved, result.counterexample


def test_with_two_people_the_checker_shows_what_they_take_upon_themselves() -> None:
    once = changed("fence-old", retries=0)(shipped("failover"))  # else it takes as many faults as it has retries
    assert found(once, 1).proved
    story = found(once, 1, replace(REAL, overrides=(CONFIRMED,))).counterexample
    assert story is not None
    assert (story.law, story.wrong) == (2, "step 'promote' promotes dr while main is not fenced")
    assert any("passes over 'fence-old'" in told for told in story.course)
