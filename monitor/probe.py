"""The Probe protocol: a batch of targets in, observations out, each as soon as it is known.

The poller measures time-outs and fills in what a probe left unanswered; a probe only asks and reports.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from monitor.errors import KaraulaError, TargetError, Untrusted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence

    from monitor.burst import Burst


class Answer(StrEnum):
    """What a probe found; UNKNOWN is for what could not be found out, never for a failure that was seen."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Target:
    """One thing to ask.

    ``subject`` is the key of what is asked about (``link/tabanovce/primary``, ``sensor/main-rack-1-temperature``).
    ``params`` is the probe's own frozen parameter type; ``deadline_s`` bounds one ask.
    """

    subject: str
    probe: str
    params: Any
    interval_s: float
    deadline_s: float


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen of one subject at one moment.

    ``at`` is wall time in Unix seconds. ``values`` are numbers in base units (seconds, bytes, ratios), keyed by
    the names of ``monitor.metrics.catalog``; ``facts`` are short texts. ``reason`` says why it is not OK. ``samples``
    are the single measurements behind the values: every round trip in seconds.
    """

    subject: str
    probe: str
    at: float
    answer: Answer
    reason: str = ""
    values: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    samples: tuple[float, ...] = ()


class Probe(Protocol):
    """One kind of question."""

    def observe(self, targets: Sequence[Target]) -> AsyncIterator[Observation]:
        """Ask all ``targets`` and yield observations as they become known.

        Raises nothing for a target's failure: that is an Observation. A subject may yield several observations
        (a vCenter yields one for itself and one for each VM).
        """
        ...

    async def close(self) -> None:
        """Give back sessions, sockets and threads."""
        ...


def failed(target: Target, at: float, error: KaraulaError) -> Observation:
    """Return the observation of a target that could not be asked well.

    What the target did is FAILED, with the fact ``error: untrusted`` when it is not who it should be; a mistake on
    our side (a missing credential) is UNKNOWN.
    """
    answer = Answer.FAILED if isinstance(error, TargetError) else Answer.UNKNOWN
    facts = {"error": "untrusted"} if isinstance(error, Untrusted) else {}
    return Observation(target.subject, target.probe, at, answer, str(error), facts=facts)


def verdict(burst: Burst) -> tuple[Answer, str]:
    """Return what a burst of echoes says of its far end, and why; silence that may be this machine's is UNKNOWN."""
    if not burst.trouble:
        return Answer.OK, burst.doubt
    return (Answer.UNKNOWN, burst.doubt) if burst.doubt else (Answer.FAILED, burst.trouble)


Asked = TypeVar("Asked")
Found = TypeVar("Found")


async def each(items: Iterable[Asked], ask: Callable[[Asked], Awaitable[Found]], limit: int) -> AsyncIterator[Found]:
    """Run ``ask`` for every item, at most ``limit`` at a time, and yield each result as it comes.

    For probes that ask one target (or one device with several targets) at a time. A cancelled iteration cancels
    what still runs.
    """
    gate = asyncio.Semaphore(limit)

    async def bounded(item: Asked) -> Found:
        async with gate:
            return await ask(item)

    tasks = [asyncio.ensure_future(bounded(item)) for item in items]
    try:
        for done in asyncio.as_completed(tasks):
            yield await done
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
