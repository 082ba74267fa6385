"""What does a sensor behind an SNMP agent read."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from monitor.clients.snmp import Agents
from monitor.clients.snmp_usm import access_of
from monitor.errors import CredentialError, GarbledReply, NotFound, TargetError
from monitor.inventory.profiles import ENTITY, INDEX
from monitor.probe import Answer, Observation, each, failed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from monitor.clients.snmp import Value
    from monitor.clock import Clock
    from monitor.credential import Credentials
    from monitor.inventory.estate import Trust
    from monitor.inventory.profiles import Guard, Point
    from monitor.inventory.sensors import SnmpUser
    from monitor.probe import Target

    Values = Mapping[str, Value]

AT_ONCE = 64
LONGEST_NUMBER = 40
LARGEST = 2**64  # what SNMP's integers can hold
LONGEST_TEXT = 100
DIGITS = 9  # 209 * 0.1 shall read 20.9
# RFC 3433: columns of entPhySensorEntry, EntitySensorStatus, EntitySensorDataScale (units is 9, each step a thousand)
TYPE, SCALE, PRECISION, STATUS = 1, 2, 3, 5
OK = 1
NOT_OK = {2: "the agent cannot get the sensor's value", 3: "the agent calls the sensor broken"}
SCALES, UNITS = range(1, 18), 9
PRECISIONS = range(-8, 10)
ENTITY_TYPES = {6: "watts", 8: "celsius", 9: "percent", 12: "true or false"}
OVERFLOW = 1_000_000_000  # RFC 3433, EntitySensorValue: beyond what the agent can tell


@dataclass(frozen=True, slots=True)
class SnmpParams:
    """One point of an agent; ``access`` names the credential of a community (v2c), or is a user (v3)."""

    address: str
    port: int
    access: str | SnmpUser
    point: Point
    index: str = ""
    oids: tuple[str, ...] = field(init=False, repr=False, compare=False)
    plain: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Work out once what is asked for at every round (own objects first), and whether a number is all."""
        point = self.point
        object.__setattr__(self, "oids", asked(point, self.index))
        object.__setattr__(
            self, "plain", not (point.guards or point.flags or point.entity or point.sentinels or point.states)
        )


class SnmpProbe:
    """Asks each agent once for all its sensors."""

    def __init__(self, credentials: Credentials, trust: Trust, clock: Clock) -> None:  # noqa: ARG002 - as every probe is made
        """Prepare; communities and passwords are read at each question, so that a corrected file works at once."""
        self._credentials = credentials
        self._clock = clock
        self._agents = Agents()

    async def observe(self, targets: Sequence[Target]) -> AsyncIterator[Observation]:
        """Yield one observation a sensor: its ``value`` in the sensor's unit, or of a UPS's state ``ups_status``."""
        agents: dict[tuple[str, int, str | int], list[Target]] = {}
        for target in targets:
            params: SnmpParams = target.params
            access = params.access if isinstance(params.access, str) else id(params.access)  # its hash is slow
            agents.setdefault((params.address, params.port, access), []).append(target)
        async for observation in each(agents.values(), self._ask, AT_ONCE, self._clock):
            yield observation

    async def close(self) -> None:
        """Nothing is kept open."""

    async def _ask(self, targets: Sequence[Target]) -> Sequence[Observation]:
        first: SnmpParams = targets[0].params
        oids = sorted({oid for target in targets for oid in target.params.oids})
        timeout_s = min(target.deadline_s for target in targets)
        try:
            values = await self._agents.get(
                first.address, first.port, access_of(first.access, self._credentials), oids, timeout_s
            )
        except (TargetError, CredentialError) as error:
            return [failed(target, self._clock.now(), error) for target in targets]
        return [self._observation(target, values) for target in targets]

    def _observation(self, target: Target, found: Values) -> Observation:
        params: SnmpParams = target.params
        if params.plain and type(number := found[params.oids[0]]) is int:  # nearly all are; ``read`` says the same
            values = {"value": round(number * params.point.scale, DIGITS)}
            return Observation(target.subject, target.probe, self._clock.now(), Answer.OK, "", values)
        try:
            values, facts = read(params.point, params.index, params.oids, found)
        except TargetError as error:
            told = type(error)(f"{params.address}:{params.port}: {error}")
            return failed(target, self._clock.now(), told)
        return Observation(target.subject, target.probe, self._clock.now(), Answer.OK, "", values, facts)


def asked(point: Point, index: str) -> tuple[str, ...]:
    """Return every object that must be read for a point."""
    if point.entity:
        own = tuple(f"{ENTITY}.{column}.{index}" for column in range(TYPE, STATUS + 1))
    elif point.flags:
        own = tuple(oid for oid, _ in point.flags)
    else:
        own = (point.oid.replace(INDEX, index),)
    return (*own, *(guard.oid.replace(INDEX, index) for guard in point.guards))


def read(point: Point, index: str, oids: tuple[str, ...], found: Values) -> tuple[dict[str, float], dict[str, str]]:
    """Return values and facts of a point, for which ``oids`` were asked.

    Raises NotFound for what is not there or is no measurement, GarbledReply for what is no number.
    """
    for guard in point.guards:
        _believe(guard, guard.oid.replace(INDEX, index), found)
    if point.flags:
        words = [_word(oid, states, found) for oid, states in point.flags]
        return {}, {"ups_status": " ".join(dict.fromkeys(word for word in " ".join(words).split()))}
    if point.entity:
        _believe_entity(point.entity, index, found)
    oid = point.oid.replace(INDEX, index) if point.entity else oids[0]
    number = _number(oid, found)
    if number in point.sentinels:
        raise NotFound(f"{oid} is {number:g}: {point.sentinels[number]}")
    scale = _entity_scale(index, number, found) if point.entity else point.scale
    if point.states:
        if number not in point.states:
            raise GarbledReply(f"{oid} is {number:g}, which means nothing")
        return {"value": point.states[number]}, {}
    return {"value": round(number * scale, DIGITS)}, {}


def _believe(guard: Guard, oid: str, found: Values) -> None:
    held = found[oid]
    if held is None:
        raise NotFound(f"the agent has no object {oid} ({guard.what}), so the profile may not fit")
    if guard.filled:
        if not _text(held):
            raise NotFound(guard.filled)
    elif guard.version_from:
        if _version(held) < guard.version_from:
            wanted = ".".join(map(str, guard.version_from))
            raise NotFound(f"{guard.what} is {_text(held)}; the profile fits from {wanted} on")
    elif held not in guard.allowed and _text(held) not in guard.allowed:
        words = guard.words.get(held) if isinstance(held, int) else None
        raise NotFound(words or f"{guard.what} is '{_text(held)}', so the value is not to be believed")


def _word(oid: str, states: Mapping[int, str], found: Values) -> str:
    number = _number(oid, found)
    if number not in states:
        raise NotFound(f"{oid} is {number:g}: the UPS does not know its own state")
    return states[int(number)]


def _believe_entity(kind: int, index: str, found: Values) -> None:
    """Raise what speaks against a sensor of ENTITY-SENSOR-MIB: its status, or that it measures something else."""
    status = _number(f"{ENTITY}.{STATUS}.{index}", found)
    if status != OK:
        raise NotFound(NOT_OK.get(int(status), f"the agent gives the sensor the unknown status {status:g}"))
    said = _number(f"{ENTITY}.{TYPE}.{index}", found)
    if said != kind:
        shown = ENTITY_TYPES.get(int(said), f"values of type {said:g}")
        raise NotFound(f"the sensor measures {shown}, not {ENTITY_TYPES[kind]}")


def _entity_scale(index: str, number: float, found: Values) -> float:
    """Return what an entPhySensorValue is to be multiplied by; raises GarbledReply, and NotFound for an overflow.

    A negative precision tells how many digits are accurate, and moves no decimal point (RFC 3433).
    """
    scale, precision = (int(_number(f"{ENTITY}.{column}.{index}", found)) for column in (SCALE, PRECISION))
    if scale not in SCALES or precision not in PRECISIONS:
        raise GarbledReply(f"the sensor's scale {scale} or precision {precision} is none of RFC 3433's")
    if abs(number) >= OVERFLOW:
        raise NotFound(f"{ENTITY}.4.{index} is {number:g}: beyond what the agent can tell")
    return float(10.0 ** (3 * (scale - UNITS) - max(0, precision)))


def _number(oid: str, found: Values) -> float:
    held = found[oid]
    if held is None:
        raise NotFound(f"the agent has no object {oid}")
    number = as_number(held)
    if number is None:
        raise GarbledReply(f"{oid} is not a number")
    return number


def _text(held: Value) -> str:
    text = held.decode("utf-8", "replace") if isinstance(held, bytes) else str(held)
    return "".join(letter for letter in text if letter.isprintable()).strip()[:LONGEST_TEXT]


def _version(held: Value) -> tuple[int, ...]:
    """Return ``3.4.0`` as (3, 4, 0); what is no version is older than all."""
    parts = _text(held).split(".")
    return tuple(int(part) for part in parts) if all(part.isascii() and part.isdigit() for part in parts) else ()


def as_number(found: Value) -> float | None:
    """Return a finite number; agents also write numbers as text (``23.5``)."""
    if type(found) is int and -LARGEST <= found <= LARGEST:  # nearly all are
        return float(found)
    if isinstance(found, bytes):
        found = found.strip(b" \t\r\n\0").decode("ascii", "replace")
    if isinstance(found, str) and ("_" in found or len(found) > LONGEST_NUMBER):
        return None
    try:
        number = float(found) if found is not None else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None
