"""How is a link: round trip, loss and jitter to a STAMP reflector at its far end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from monitor.clients.stamp import StampClient
from monitor.echo import FarEnd
from monitor.probe import Observation, verdict

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from monitor.clock import Clock
    from monitor.credential import Credentials
    from monitor.inventory.estate import Trust
    from monitor.probe import Target

SHARE = 0.9  # of the deadline is waited for replies; the rest is for us


@dataclass(frozen=True, slots=True)
class StampParams:
    """The reflector at the far end."""

    address: str
    port: int


class StampProbe:
    """Measures every link of a batch at the same time, over one socket."""

    def __init__(self, credentials: Credentials, trust: Trust, clock: Clock) -> None:  # noqa: ARG002 - as every probe is made
        """Prepare; the protocol's unauthenticated mode needs no secret."""
        self._client = StampClient(clock)
        self._clock = clock

    async def observe(self, targets: Sequence[Target]) -> AsyncIterator[Observation]:
        """Yield one observation a link; FAILED only when nothing came back, what part was lost is a value."""
        asked: dict[FarEnd, list[Target]] = {}
        for target in targets:
            asked.setdefault(FarEnd(target.params.address, target.params.port), []).append(target)
        within_s = SHARE * min((target.deadline_s for target in targets), default=0.0)
        async for end, burst in self._client.measure(asked, within_s=within_s):
            answer, reason = verdict(burst)
            for target in asked[end]:
                seen = (target.subject, target.probe, self._clock.now(), answer, reason)
                yield Observation(*seen, burst.values(), samples=burst.rtts_s)

    async def close(self) -> None:
        """Close the socket."""
        await self._client.close()
