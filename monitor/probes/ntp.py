"""Is an NTP server synchronized, and how does its clock stand to ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from monitor.clients.ntp import KissOfDeath, ask
from monitor.errors import TargetError
from monitor.probe import Answer, Observation, each, failed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from monitor.clock import Clock
    from monitor.credential import Credentials
    from monitor.inventory.estate import Trust
    from monitor.probe import Target

AT_ONCE = 256  # so many that hang at once hold up nobody else
KEEP_AWAY_S = 64.0  # after a kiss-o'-death, which asks for fewer questions or none (RFC 5905, section 7.4)
NOT_SYNCHRONIZED = 3
WORST_STRATUM = 15
LEAPS = ("none", "insert", "delete")


@dataclass(frozen=True, slots=True)
class NtpParams:
    """A server."""

    address: str
    port: int


class NtpProbe:
    """Asks servers; keeps away for a while from one that has asked for it."""

    def __init__(self, credentials: Credentials, trust: Trust, clock: Clock) -> None:  # noqa: ARG002 - as every probe is made
        """Prepare; nothing secret is needed."""
        self._clock = clock
        self._unwelcome: dict[NtpParams, tuple[float, TargetError]] = {}

    async def observe(self, targets: Sequence[Target]) -> AsyncIterator[Observation]:
        """Yield one observation a target.

        Values: ``duration_seconds``, ``ntp_offset_seconds`` (positive: the server is ahead), ``ntp_delay_seconds``,
        ``ntp_root_distance_seconds``, ``stratum``; fact ``leap``: ``none``, ``insert`` or ``delete``. A server that
        says it is not synchronized has FAILED.
        """
        async for observation in each(targets, self._ask, AT_ONCE, self._clock):
            yield observation

    async def close(self) -> None:
        """Nothing is kept open."""

    async def _ask(self, target: Target) -> Observation:
        params: NtpParams = target.params
        until, why = self._unwelcome.get(params, (0.0, None))
        if why is not None and self._clock.monotonic() < until:
            return failed(target, self._clock.now(), why)
        try:
            reply = await ask(params.address, params.port, self._clock, target.deadline_s)
        except KissOfDeath as error:
            self._unwelcome[params] = (self._clock.monotonic() + KEEP_AWAY_S, error)
            return failed(target, self._clock.now(), error)
        except TargetError as error:
            return failed(target, self._clock.now(), error)
        values = {"duration_seconds": reply.delay_s, "stratum": float(reply.stratum)}
        if reply.leap == NOT_SYNCHRONIZED or reply.stratum > WORST_STRATUM:
            reason = f"the server says that it is not synchronized (stratum {reply.stratum})"
            return Observation(target.subject, target.probe, self._clock.now(), Answer.FAILED, reason, values)
        values |= {
            "ntp_offset_seconds": reply.offset_s,
            "ntp_delay_seconds": reply.delay_s,
            "ntp_root_distance_seconds": reply.distance_s,
        }
        facts = {"leap": LEAPS[reply.leap]}
        return Observation(target.subject, target.probe, self._clock.now(), Answer.OK, values=values, facts=facts)
