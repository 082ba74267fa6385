"""The Probe protocol: a batch of targets in, observations out, each as soon as it is known.

The poller measures time-outs and fills in what a probe left unanswered; a probe only asks and reports.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from monitor.errors import KaraulaError, TargetError, Untrusted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence

    from monitor.burst import Burst
    from monitor.clock import Clock

log = logging.getLogger(__name__)

OWN_MISTAKE = "own mistake"  # the fact ``error`` of what the probe itself broke on
FEW = 5  # targets of a device that the log names


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


Asked = TypeVar("Asked", bound="Target | Sequence[Target]")


def own_mistake(target: Target, at: float, error: Exception) -> Observation:
    """Return the observation of a target on whose answer the probe itself broke: nothing is known of it."""
    reason = f"the {target.probe} probe itself failed: {type(error).__name__}"
    return Observation(target.subject, target.probe, at, Answer.UNKNOWN, reason, facts={"error": OWN_MISTAKE})


async def each(
    items: Iterable[Asked],
    ask: Callable[[Asked], Awaitable[Observation | Sequence[Observation]]],
    limit: int,
    clock: Clock,
) -> AsyncIterator[Observation]:
    """Run ``ask`` for every item, at most ``limit`` at a time, and yield what each has seen as it comes.

    For probes that ask one target (or one device with several targets) at a time. A cancelled iteration cancels
    what still runs. What comes from outside may break what reads it in a way that nobody thought of: that costs the
    one target or device its answer, and no neighbour anything.
    """
    gate = asyncio.Semaphore(limit)

    async def bounded(item: Asked) -> Sequence[Observation]:
        async with gate:
            try:
                found = await ask(item)
            except Exception as error:  # a probe's own mistake: the border between one item and its neighbours
                asked: Sequence[Target] = (item,) if isinstance(item, Target) else item
                log.exception("the %s probe broke on %s", asked[0].probe, ", ".join(one.subject for one in asked[:FEW]))
                return [own_mistake(target, clock.now(), error) for target in asked]
        return (found,) if isinstance(found, Observation) else found

    tasks = [asyncio.ensure_future(bounded(item)) for item in items]
    try:
        for done in asyncio.as_completed(tasks):
            for observation in await done:
                yield observation
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
