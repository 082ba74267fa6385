"""What does a sensor behind an SNMP agent read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from monitor.clients import snmp
from monitor.errors import CredentialError, GarbledReply, NotFound, TargetError
from monitor.probe import Answer, Observation, each, failed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from monitor.clock import Clock
    from monitor.credential import Credentials
    from monitor.inventory.estate import Trust
    from monitor.probe import Target

AT_ONCE = 64
LONGEST_NUMBER = 40
DIGITS = 9  # 209 * 0.1 shall read 20.9


@dataclass(frozen=True, slots=True)
class SnmpParams:
    """One object of an agent; ``community`` names a credential, ``scale`` multiplies the number."""

    address: str
    port: int
    community: str
    oid: str
    scale: float = 1.0


class SnmpProbe:
    """Asks each agent once for all its sensors."""

    def __init__(self, credentials: Credentials, trust: Trust, clock: Clock) -> None:  # noqa: ARG002 - as every probe is made
        """Prepare; communities are read at each question, so that a corrected file works at once."""
        self._credentials = credentials
        self._clock = clock

    async def observe(self, targets: Sequence[Target]) -> AsyncIterator[Observation]:
        """Yield one observation a sensor, with its ``value`` in the sensor's unit whatever the value is."""
        agents: dict[tuple[str, int, str], list[Target]] = {}
        for target in targets:
            params: SnmpParams = target.params
            agents.setdefault((params.address, params.port, params.community), []).append(target)
        async for observations in each(agents.values(), self._ask, AT_ONCE):
            for observation in observations:
                yield observation

    async def close(self) -> None:
        """Nothing is kept."""

    async def _ask(self, targets: Sequence[Target]) -> Sequence[Observation]:
        first: SnmpParams = targets[0].params
        oids = sorted({target.params.oid for target in targets})
        timeout_s = min(target.deadline_s for target in targets)
        try:
            community = self._credentials.secret(first.community)
            values = await snmp.get(first.address, first.port, community, oids, timeout_s)
        except (TargetError, CredentialError) as error:
            return [failed(target, self._clock.now(), error) for target in targets]
        return [self._observation(target, values[target.params.oid]) for target in targets]

    def _observation(self, target: Target, found: snmp.Value) -> Observation:
        params: SnmpParams = target.params
        where = f"{params.address}:{params.port}"
        if found is None:
            missing = NotFound(f"{where}: the agent has no object {params.oid}")
            return failed(target, self._clock.now(), missing)
        number = as_number(found)
        if number is None:
            return failed(target, self._clock.now(), GarbledReply(f"{where}: {params.oid} is not a number"))
        values = {"value": round(number * params.scale, DIGITS)}
        return Observation(target.subject, target.probe, self._clock.now(), Answer.OK, values=values)


def as_number(found: snmp.Value) -> float | None:
    """Return a finite number; agents also write numbers as text (``23.5``)."""
    if isinstance(found, bytes):
        found = found.strip(b" \t\r\n\0").decode("ascii", "replace")
    if isinstance(found, str) and ("_" in found or len(found) > LONGEST_NUMBER):
        return None
    try:
        number = float(found) if found is not None else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None
