"""What a power controller's outlet groups are set to and draw: by that the fence of a system stands or falls.

Only read, never switched. A controller counts as well only while every group that systems name there can be read: a
fence whose group does not exist, or whose password is refused, would be found out in the disaster.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from monitor.clients.http import HttpClient
from monitor.clients.redfish import OutletGroup, RedfishClient, noted
from monitor.errors import CredentialError, Refused, TargetError
from monitor.inventory.equipment import PowerController
from monitor.probe import Answer, Observation, each, failed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from monitor.clock import Clock
    from monitor.credential import Credentials, Secret
    from monitor.errors import KaraulaError
    from monitor.inventory.estate import Trust
    from monitor.probe import Target

AT_ONCE = 32
TOGETHER = 4  # connections to one controller, which is a small computer
AFTER_REFUSAL_S = 60.0  # many lock a user who is refused again and again


@dataclass(frozen=True, slots=True)
class OutletsParams:
    """A controller, and the outlet groups that systems have there: at least one."""

    controller: PowerController
    groups: tuple[str, ...]


class OutletsProbe:
    """Asks each controller for its groups over TLS that is verified against the estate's CA."""

    def __init__(self, credentials: Credentials, trust: Trust, clock: Clock) -> None:
        """Prepare. Raises CredentialError when the CA bundle cannot be used."""
        self._credentials = credentials
        self._http = HttpClient(credentials.path(trust.tls_ca), clock=clock)
        self._redfish = RedfishClient(self._http)
        self._clock = clock
        self._refused: dict[OutletsParams, tuple[float, str]] = {}

    async def observe(self, targets: Sequence[Target]) -> AsyncIterator[Observation]:
        """Yield one observation a controller, of the moment before it was asked; ``recalled`` reads it.

        What could be read is in it also when something else could not.
        """
        async for observation in each(targets, self._ask, AT_ONCE, self._clock):
            yield observation

    async def close(self) -> None:
        """Break off what still runs."""
        await self._http.close()

    async def _ask(self, target: Target) -> Observation:
        params: OutletsParams = target.params
        began, began_at = self._clock.monotonic(), self._clock.now()
        until, refusal = self._refused.get(params, (began, ""))
        if began < until:
            return failed(target, began_at, Refused(refusal))
        found: dict[str, OutletGroup] = {}
        wrong: list[KaraulaError] = []
        gate = asyncio.Semaphore(TOGETHER)

        async def read(group: str, password: Secret) -> None:
            async with gate:
                left_s = target.deadline_s - (self._clock.monotonic() - began)
                try:
                    found[group] = await self._redfish.outlet_group(params.controller, password, group, left_s)
                except TargetError as error:
                    wrong.append(error)

        try:
            password = self._credentials.secret(params.controller.credential)
        except CredentialError as error:
            return failed(target, began_at, error)
        await read(params.groups[0], password)  # alone, so that a wrong password is tried once
        if not wrong:
            await asyncio.gather(*(read(group, password) for group in params.groups[1:]))
        if wrong and isinstance(wrong[0], Refused):
            refusal = f"{wrong[0]}; asked again once a minute"
            self._refused[params] = (began + AFTER_REFUSAL_S, refusal)
            wrong[0] = Refused(refusal)
        return _told(target, began_at, found, wrong)


def _told(target: Target, at: float, found: Mapping[str, OutletGroup], wrong: Sequence[KaraulaError]) -> Observation:
    facts: dict[str, str] = {}
    values: dict[str, float] = {}
    for name, group in found.items():
        more_facts, more_values = noted(name, group)
        facts |= more_facts
        values |= more_values
    if not wrong:
        return Observation(target.subject, target.probe, at, Answer.OK, "", values, facts)
    said = failed(target, at, wrong[0])
    return replace(said, values=values, facts={**facts, **said.facts})
