"""What does a sensor of a chassis behind a Redfish service read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from monitor.clients.http import HttpClient
from monitor.clients.redfish_sensors import Reading, Resource, fetch, page, reading
from monitor.errors import CredentialError, NotFound, TargetError
from monitor.probe import Answer, Observation, each, failed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from monitor.clock import Clock
    from monitor.credential import Credentials
    from monitor.inventory.estate import Trust
    from monitor.probe import Target

AT_ONCE = 32
DIGITS = 9
SIGNS = {"celsius": "°C", "percent": "%", "watts": "W"}


@dataclass(frozen=True, slots=True)
class RedfishParams:
    """One reading of a chassis; it must come in ``unit``."""

    address: str
    port: int
    user: str
    credential: str
    chassis: str
    resource: Resource
    member: str
    unit: str

    @property
    def page(self) -> tuple[str, int, str, str, str]:
        """What is asked, and as whom: equal for readings that stand on one page."""
        path = page(self.resource, self.chassis, self.member)
        return self.address, self.port, self.user, self.credential, path


class RedfishProbe:
    """Asks each page once for all its readings, over TLS that is verified against the estate's CA."""

    def __init__(self, credentials: Credentials, trust: Trust, clock: Clock) -> None:
        """Prepare. Raises CredentialError when the CA bundle cannot be used."""
        self._credentials = credentials
        self._http = HttpClient(credentials.path(trust.tls_ca), clock=clock)
        self._clock = clock

    async def observe(self, targets: Sequence[Target]) -> AsyncIterator[Observation]:
        """Yield one observation a sensor: ``value``, and what the device says of it as the fact ``device_health``."""
        pages: dict[tuple[str, int, str, str, str], list[Target]] = {}
        for target in targets:
            pages.setdefault(target.params.page, []).append(target)
        async for observation in each(pages.values(), self._ask, AT_ONCE, self._clock):
            yield observation

    async def close(self) -> None:
        """Break off what still runs."""
        await self._http.close()

    async def _ask(self, targets: Sequence[Target]) -> Sequence[Observation]:
        address, port, user, credential, path = targets[0].params.page
        timeout_s = min(target.deadline_s for target in targets)
        try:
            access = (user, self._credentials.secret(credential))
            found = await fetch(self._http, address, port, path, access, timeout_s)
        except (TargetError, CredentialError) as error:
            return [failed(target, self._clock.now(), error) for target in targets]
        return [self._observation(target, found) for target in targets]

    def _observation(self, target: Target, found: Mapping[str, Any]) -> Observation:
        params: RedfishParams = target.params
        where = f"{params.address}:{params.port}{params.page[-1]}"
        try:
            read = reading(found, params.resource, params.member)
            _check(read, params.unit)
        except TargetError as error:
            return failed(target, self._clock.now(), type(error)(f"{where}: {error}"))
        facts = {"device_health": read.health} if read.health else {}
        values = {"value": round(read.value, DIGITS)}
        return Observation(target.subject, target.probe, self._clock.now(), Answer.OK, "", values, facts)


def _check(read: Reading, unit: str) -> None:
    """Raise NotFound for a reading of something else, or beyond what the device says that its sensor can measure."""
    if read.unit != unit:
        raise NotFound(f"the reading comes in {read.unit}, not in {unit}")
    sign = SIGNS.get(unit, "")
    if read.lowest is not None and read.value < read.lowest:
        raise NotFound(f"{read.value:g} {sign} is below the device's own range ({read.lowest:g})")
    if read.highest is not None and read.value > read.highest:
        raise NotFound(f"{read.value:g} {sign} is above the device's own range ({read.highest:g})")
