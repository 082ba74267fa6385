"""Waiting within an attempt's time: deadlines, polling until something is so, and several asks side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from dr.errors import StepFailed
from monitor.errors import TargetError, Untrusted

if TYPE_CHECKING:
    from monitor.clock import Clock

T = TypeVar("T")
ASK_LIMIT_S = 10.0  # one question of a poll; a target that hangs must not eat the whole wait
SHORTEST_S = 0.05
HURRIED_S = 1.0  # a question with less time than that may fail for want of it alone


class Deadline:
    """A moment of the monotonic clock, a little before the engine's own: our better worded error comes first."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        """End a tenth of ``seconds`` early, at most one second."""
        self.clock = clock
        self.seconds = seconds
        self._end = clock.monotonic() + seconds - min(1.0, seconds / 10)

    def left(self, limit_s: float = float("inf")) -> float:
        """Return the seconds left, at most ``limit_s`` and never quite 0, which some clients take for "for ever"."""
        return max(SHORTEST_S, min(limit_s, self._end - self.clock.monotonic()))

    @property
    def over(self) -> bool:
        """Tell whether the time has come."""
        return self.clock.monotonic() >= self._end

    def within(self, seconds: float) -> Deadline:
        """Return a deadline ``seconds`` from now, not after this one."""
        sooner = Deadline(self.clock, seconds)
        sooner._end = min(self.clock.monotonic() + seconds, self._end)
        return sooner


async def until(
    ask: Callable[[], Awaitable[T]],
    lacks: Callable[[T], str],
    deadline: Deadline,
    say: Callable[[str], None],
    *,
    every_s: float = 0.5,
) -> T:
    """Ask until ``lacks`` says "" of the answer, and return it. It is asked at least once.

    An error counts as an answer that lacks something, except of the last question, which has hardly time for an
    answer: then what was seen before it is told. Raises StepFailed with what was seen last when the time is over, and
    Untrusted at once: a wrong key does not get right by waiting.
    """
    seen = ""
    while True:
        hurried = deadline.left() < HURRIED_S
        try:
            answer = await ask()
        except Untrusted:
            raise
        except (TargetError, StepFailed) as error:
            lack = seen if seen and hurried and isinstance(error, TargetError) else str(error)
        else:
            lack = lacks(answer)
            if not lack:
                return answer
        if lack != seen:
            say(f"not yet: {lack}")
            seen = lack
        if deadline.over:
            raise StepFailed(f"not within {deadline.seconds:g} s: {lack}", retry_helps=True)
        await deadline.clock.sleep(min(every_s, deadline.left()))


async def together(*works: Awaitable[T]) -> list[T]:
    """Await all side by side and to their end; return their results in order.

    Raises one of their errors, one that leaves an outcome unknown before all others.
    """
    results = await asyncio.gather(*works, return_exceptions=True)
    errors = [result for result in results if isinstance(result, BaseException)]
    for error in errors:
        if not isinstance(error, TargetError) or not error.outcome_known:
            raise error
    if errors:
        raise errors[0]
    return [result for result in results if not isinstance(result, BaseException)]
