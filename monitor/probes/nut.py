"""What does a variable of a UPS behind upsd read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from monitor.clients.nut import variables
from monitor.errors import GarbledReply, NotFound, TargetError
from monitor.probe import Answer, Observation, each, failed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from monitor.clock import Clock
    from monitor.credential import Credentials
    from monitor.inventory.estate import Trust
    from monitor.probe import Target

AT_ONCE = 64
STATUS = "ups.status"
LONGEST_NUMBER = 40
LONGEST_FACT = 100


@dataclass(frozen=True, slots=True)
class NutParams:
    """One variable of one UPS. Of ``ups.status`` the flags are told, as a fact; others must be numbers."""

    address: str
    port: int
    ups: str
    variable: str


class NutProbe:
    """Asks upsd once for all variables of a UPS."""

    def __init__(self, credentials: Credentials, trust: Trust, clock: Clock) -> None:  # noqa: ARG002 - as every probe is made
        """Prepare; reading needs no log-in."""
        self._clock = clock

    async def observe(self, targets: Sequence[Target]) -> AsyncIterator[Observation]:
        """Yield one observation a sensor: ``value``, and the UPS's flags as the fact ``ups_status``."""
        devices: dict[tuple[str, int, str], list[Target]] = {}
        for target in targets:
            params: NutParams = target.params
            devices.setdefault((params.address, params.port, params.ups), []).append(target)
        async for observation in each(devices.values(), self._ask, AT_ONCE, self._clock):
            yield observation

    async def close(self) -> None:
        """Nothing is kept."""

    async def _ask(self, targets: Sequence[Target]) -> Sequence[Observation]:
        first: NutParams = targets[0].params
        timeout_s = min(target.deadline_s for target in targets)
        try:
            found = await variables(first.address, first.port, first.ups, timeout_s)
        except TargetError as error:
            return [failed(target, self._clock.now(), error) for target in targets]
        return [self._observation(target, found) for target in targets]

    def _observation(self, target: Target, found: Mapping[str, str]) -> Observation:
        params: NutParams = target.params
        where = f"{params.ups}@{params.address}:{params.port}"
        text = found.get(params.variable)
        if text is None:
            return failed(target, self._clock.now(), NotFound(f"{where}: the UPS has no variable {params.variable}"))
        facts = {STATUS: found[STATUS]} if STATUS in found else {}
        if "ALARM" in facts.get(STATUS, "").split() and "ups.alarm" in found:
            facts["ups.alarm"] = found["ups.alarm"]
        facts = {name.replace(".", "_"): _plain(told) for name, told in facts.items()}
        if params.variable == STATUS:
            return Observation(target.subject, target.probe, self._clock.now(), Answer.OK, facts=facts)
        number = as_number(text)
        if number is None:
            return failed(target, self._clock.now(), GarbledReply(f"{where}: {params.variable} is not a number"))
        return Observation(target.subject, target.probe, self._clock.now(), Answer.OK, "", {"value": number}, facts)


def _plain(told: str) -> str:
    """Return what a UPS says without what would move a screen."""
    return "".join(letter for letter in told if letter.isprintable())[:LONGEST_FACT]


def as_number(text: str) -> float | None:
    """Return a finite number or None."""
    if "_" in text or len(text) > LONGEST_NUMBER:
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
