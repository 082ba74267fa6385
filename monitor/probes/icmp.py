"""Does a host answer ICMP echo: round trip, loss and jitter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from monitor.clients.icmp import IcmpClient
from monitor.errors import Refused
from monitor.probe import Answer, Observation, verdict

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from monitor.clock import Clock
    from monitor.credential import Credentials
    from monitor.inventory.estate import Trust
    from monitor.probe import Target

SHARE = 0.9  # of the deadline is waited for replies; the rest is for us


@dataclass(frozen=True, slots=True)
class IcmpParams:
    """The host to ping."""

    address: str


class IcmpProbe:
    """Pings every host of a batch at the same time, over one socket."""

    def __init__(self, credentials: Credentials, trust: Trust, clock: Clock) -> None:  # noqa: ARG002 - as every probe is made
        """Prepare; whether the system permits ICMP is seen at the first question."""
        self._client = IcmpClient(clock)
        self._clock = clock

    async def observe(self, targets: Sequence[Target]) -> AsyncIterator[Observation]:
        """Yield one observation a host; UNKNOWN with what to permit when this process may not send ICMP."""
        asked: dict[str, list[Target]] = {}
        for target in targets:
            asked.setdefault(target.params.address, []).append(target)
        within_s = SHARE * min((target.deadline_s for target in targets), default=0.0)
        try:
            async for address, burst in self._client.measure(asked, within_s=within_s):
                answer, reason = verdict(burst)
                for target in asked[address]:
                    seen = (target.subject, target.probe, self._clock.now(), answer, reason)
                    yield Observation(*seen, burst.values(), samples=burst.rtts_s)
        except Refused as error:
            for target in targets:
                yield Observation(target.subject, target.probe, self._clock.now(), Answer.UNKNOWN, str(error))

    async def close(self) -> None:
        """Close the socket."""
        await self._client.close()
