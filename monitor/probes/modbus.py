"""What does a sensor in a Modbus device's register or bit read."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from monitor.clients.modbus import BITS, Place, Table, read
from monitor.errors import NotFound, TargetError
from monitor.probe import Answer, Observation, each, failed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from monitor.clock import Clock
    from monitor.credential import Credentials
    from monitor.inventory.estate import Trust
    from monitor.probe import Target

AT_ONCE = 64
DIGITS = 9  # 209 * 0.1 shall read 20.9
FORMATS = {"uint16": "!H", "int16": "!h", "uint32": "!I", "int32": "!i", "float32": "!f"}
TWO_REGISTERS = frozenset({"uint32", "int32", "float32"})


@dataclass(frozen=True, slots=True)
class ModbusParams:
    """One value; ``scale`` multiplies the number, ``sentinels`` are numbers before it that are no measurements."""

    address: str
    port: int
    unit_id: int
    register_address: int
    table: Table = "input"
    encoding: Literal["uint16", "int16", "uint32", "int32", "float32"] = "uint16"
    word_order: Literal["high-first", "low-first"] = "high-first"
    scale: float = 1.0
    sentinels: frozenset[float] = field(default_factory=frozenset)

    @property
    def place(self) -> Place:
        """What to read for it."""
        return Place(self.table, self.register_address, 2 if self.encoding in TWO_REGISTERS else 1)


class ModbusProbe:
    """Asks each device over one connection for all its sensors."""

    def __init__(self, credentials: Credentials, trust: Trust, clock: Clock) -> None:  # noqa: ARG002 - as every probe is made
        """Prepare; Modbus knows no secrets."""
        self._clock = clock

    async def observe(self, targets: Sequence[Target]) -> AsyncIterator[Observation]:
        """Yield one observation a sensor, with its ``value`` in the sensor's unit whatever the value is."""
        devices: dict[tuple[str, int], list[Target]] = {}
        for target in targets:
            devices.setdefault((target.params.address, target.params.port), []).append(target)
        async for observation in each(devices.values(), self._ask, AT_ONCE, self._clock):
            yield observation

    async def close(self) -> None:
        """Nothing is kept."""

    async def _ask(self, targets: Sequence[Target]) -> Sequence[Observation]:
        """Ask a device's units one after the other: behind one address they share a line."""
        units: dict[int, list[Target]] = {}
        for target in targets:
            units.setdefault(target.params.unit_id, []).append(target)
        each_s = min(target.deadline_s for target in targets) / len(units)
        observations: list[Observation] = []
        for unit_id, sensors in units.items():
            first: ModbusParams = sensors[0].params
            places = dict.fromkeys(sensor.params.place for sensor in sensors)
            try:
                found = await read(first.address, first.port, unit_id, places, each_s)
            except TargetError as error:
                observations += [failed(sensor, self._clock.now(), error) for sensor in sensors]
                continue
            observations += [self._observation(sensor, found[sensor.params.place]) for sensor in sensors]
        return observations

    def _observation(self, target: Target, found: tuple[int, ...] | TargetError) -> Observation:
        params: ModbusParams = target.params
        if isinstance(found, TargetError):
            return failed(target, self._clock.now(), found)
        number = decoded(params, found)
        if not math.isfinite(number) or number in params.sentinels:
            error = NotFound(f"the {params.place} holds {number:g}, the device's word for no measurement")
            return failed(target, self._clock.now(), error)
        values = {"value": round(number * params.scale, DIGITS)}
        return Observation(target.subject, target.probe, self._clock.now(), Answer.OK, values=values)


def decoded(params: ModbusParams, found: tuple[int, ...]) -> float:
    """Return the number in a bit or in registers; within one the upper byte is first (MAP V1.1b3, section 4.2)."""
    if params.table in BITS:
        return float(found[0])
    words = found if params.word_order == "high-first" else found[::-1]
    return float(struct.unpack(FORMATS[params.encoding], struct.pack(f"!{len(words)}H", *words))[0])
