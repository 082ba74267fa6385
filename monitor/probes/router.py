"""What states a crossing's router shows: interfaces, BGP sessions, VRRP. What they mean is judged in the status.

An object that a router denies to who asks for it is looked for by going through its column: keepalived tells of VRRP
in no other way. Source: IF-MIB (RFC 2863), BGP4-MIB (RFC 4273), VRRP-MIB (RFC 2787).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from monitor.clients import snmp
from monitor.clients.snmp_usm import access_of
from monitor.errors import CredentialError, TargetError
from monitor.inventory.crossings import column_of
from monitor.probe import Answer, Observation, each, failed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from monitor.clock import Clock
    from monitor.credential import Credentials
    from monitor.inventory.estate import Trust
    from monitor.inventory.sensors import SnmpUser
    from monitor.probe import Target

AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class RouterParams:
    """A router and the objects to ask it for, by the names that the values then have.

    ``access`` names the credential of a community (v2c), or is a user (v3).
    """

    address: str
    port: int
    access: str | SnmpUser
    oids: tuple[tuple[str, str], ...]


class RouterProbe:
    """Asks each router once for all its states."""

    def __init__(self, credentials: Credentials, trust: Trust, clock: Clock) -> None:  # noqa: ARG002 - as every probe is made
        """Prepare; communities and passwords are read at each question, so that a corrected file works at once."""
        self._credentials = credentials
        self._clock = clock
        self._agents = snmp.Agents()

    async def observe(self, targets: Sequence[Target]) -> AsyncIterator[Observation]:
        """Yield one observation a router, a whole number a state; UNKNOWN when the router has not all of them."""
        async for observation in each(targets, self._ask, AT_ONCE, self._clock):
            yield observation

    async def close(self) -> None:
        """Nothing is kept."""

    async def _ask(self, target: Target) -> Observation:
        params: RouterParams = target.params
        try:
            found = await self._found(params, self._clock.monotonic() + target.deadline_s)
        except (TargetError, CredentialError) as error:
            return failed(target, self._clock.now(), error)
        states = {name: found[oid] for name, oid in params.oids}
        values = {name: float(state) for name, state in states.items() if isinstance(state, int)}
        missing = [oid for name, oid in params.oids if name not in values]
        reason = f"the router has no number at {', '.join(missing)}" if missing else ""
        answer = Answer.UNKNOWN if missing else Answer.OK
        return Observation(target.subject, target.probe, self._clock.now(), answer, reason, values)

    async def _found(self, params: RouterParams, expires: float) -> dict[str, snmp.Value]:
        """Return what each object holds: by asking for all at once, and what is denied by going through its column."""
        access = access_of(params.access, self._credentials)
        place = params.address, params.port
        oids = [oid for _, oid in params.oids]
        denied: snmp.Denied | None = None
        try:
            found = await self._agents.get(*place, access, oids, expires - self._clock.monotonic())
        except snmp.Denied as error:
            denied, found = error, dict.fromkeys(oids)
        for oid in [oid for oid, held in found.items() if held is None]:
            try:
                left_s = expires - self._clock.monotonic()
                found[oid] = await self._agents.find(*place, access, column_of(oid), oid, left_s)
            except snmp.Denied as error:
                denied = error
        if denied is not None and all(held is None for held in found.values()):
            raise denied
        return found
