"""Polling and asking side by side: one law for every action that waits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.errors import StepFailed
from dr.estate.waiting import Deadline, together, until
from monitor.clock import ManualClock
from monitor.errors import DeadlineExceeded, Refused, Unreachable, Untrusted

pytestmark = pytest.mark.anyio


async def test_it_waits_until_it_is_so_and_says_each_reason_once() -> None:
    clock, said = ManualClock(), list[str]()
    answers: Iterator[int | Exception] = iter([Unreachable("dead"), Unreachable("dead"), 1, 2, 3])

    async def ask() -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    found = await until(ask, lambda n: "" if n == 3 else f"only {n}", Deadline(clock, 10), said.append)
    assert found == 3
    assert said == ["not yet: dead", "not yet: only 1", "not yet: only 2"]


async def test_a_last_question_without_time_for_an_answer_does_not_hide_what_was_seen() -> None:
    clock, said = ManualClock(), list[str]()
    deadline = Deadline(clock, 10)

    async def ask() -> int:
        if (left_s := deadline.left()) < 0.3:
            raise Unreachable(f"not acknowledged in {left_s:g} s")
        clock.advance(0.3)
        return 240

    with pytest.raises(StepFailed, match=r"^not within 10 s: still draws 240 W$"):
        await until(ask, lambda watts: f"still draws {watts} W", deadline, said.append)
    assert said == ["not yet: still draws 240 W"]


async def test_a_wrong_key_is_not_waited_for() -> None:
    async def ask() -> int:
        raise Untrusted("changed")

    with pytest.raises(Untrusted):
        await until(ask, lambda _: "", Deadline(ManualClock(), 10), print)


@given(st.floats(0.1, 100), st.floats(0.1, 50))
def test_it_asks_at_least_once_and_never_outlasts_its_time(seconds: float, cost_s: float) -> None:
    clock, asked = ManualClock(), list[float]()

    async def ask() -> int:
        asked.append(clock.monotonic())
        clock.advance(cost_s)
        return 0

    with pytest.raises(StepFailed, match=r"not within .* no"):
        asyncio.run(until(ask, lambda _: "no", Deadline(clock, seconds), lambda _: None))
    assert asked[0] == 0
    assert all(at <= seconds for at in asked)


async def test_together_waits_for_all_and_puts_the_unknown_outcome_first() -> None:
    ended = []

    async def work(name: str, error: Exception | None = None) -> str:
        await asyncio.sleep(0)
        ended.append(name)
        if error is not None:
            raise error
        return name

    assert await together(work("a"), work("b")) == ["a", "b"]
    ended.clear()
    with pytest.raises(DeadlineExceeded):
        await together(work("a", Refused("no")), work("b", DeadlineExceeded("?")), work("c"))
    assert sorted(ended) == ["a", "b", "c"]
    with pytest.raises(Refused):
        await together(work("a", Refused("no")), work("b"))
