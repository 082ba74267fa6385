"""What states a crossing's router shows: interfaces, BGP sessions, VRRP. What they mean is judged in the status.

Source: IF-MIB (RFC 2863), BGP4-MIB (RFC 4273), VRRP-MIB (RFC 2787).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from monitor.clients import snmp
from monitor.errors import CredentialError, TargetError
from monitor.probe import Answer, Observation, each, failed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from monitor.clock import Clock
    from monitor.credential import Credentials
    from monitor.inventory.estate import Trust
    from monitor.probe import Target

AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class RouterParams:
    """A router and the objects to ask it for, by the names that the values then have."""

    address: str
    port: int
    community: str
    oids: tuple[tuple[str, str], ...]


class RouterProbe:
    """Asks each router once for all its states."""

    def __init__(self, credentials: Credentials, trust: Trust, clock: Clock) -> None:  # noqa: ARG002 - as every probe is made
        """Prepare; communities are read at each question, so that a corrected file works at once."""
        self._credentials = credentials
        self._clock = clock

    async def observe(self, targets: Sequence[Target]) -> AsyncIterator[Observation]:
        """Yield one observation a router, a whole number a state; UNKNOWN when the router has not all of them."""
        async for observation in each(targets, self._ask, AT_ONCE, self._clock):
            yield observation

    async def close(self) -> None:
        """Nothing is kept."""

    async def _ask(self, target: Target) -> Observation:
        params: RouterParams = target.params
        try:
            community = self._credentials.secret(params.community)
            oids = [oid for _, oid in params.oids]
            found = await snmp.get(params.address, params.port, community, oids, target.deadline_s)
        except (TargetError, CredentialError) as error:
            return failed(target, self._clock.now(), error)
        states = {name: found[oid] for name, oid in params.oids}
        values = {name: float(state) for name, state in states.items() if isinstance(state, int)}
        missing = [oid for name, oid in params.oids if name not in values]
        reason = f"the router has no number at {', '.join(missing)}" if missing else ""
        answer = Answer.UNKNOWN if missing else Answer.OK
        return Observation(target.subject, target.probe, self._clock.now(), answer, reason, values)
