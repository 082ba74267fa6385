"""What does a sensor in a Modbus device's input register read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from monitor.clients.modbus import read_input_registers
from monitor.errors import TargetError
from monitor.probe import Answer, Observation, each, failed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from monitor.clock import Clock
    from monitor.credential import Credentials
    from monitor.inventory.estate import Trust
    from monitor.probe import Target

AT_ONCE = 64
SIGN = 0x8000
DIGITS = 9  # 209 * 0.1 shall read 20.9


@dataclass(frozen=True, slots=True)
class ModbusParams:
    """One input register; ``signed`` reads it as two's complement, ``scale`` multiplies the number."""

    address: str
    port: int
    unit_id: int
    register_address: int
    signed: bool = False
    scale: float = 1.0


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
        async for observations in each(devices.values(), self._ask, AT_ONCE):
            for observation in observations:
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
            registers = sorted({sensor.params.register_address for sensor in sensors})
            try:
                found = await read_input_registers(first.address, first.port, unit_id, registers, each_s)
            except TargetError as error:
                observations += [failed(sensor, self._clock.now(), error) for sensor in sensors]
                continue
            observations += [self._observation(sensor, found[sensor.params.register_address]) for sensor in sensors]
        return observations

    def _observation(self, target: Target, found: int | TargetError) -> Observation:
        params: ModbusParams = target.params
        if isinstance(found, TargetError):
            return failed(target, self._clock.now(), found)
        number = found - 2 * SIGN if params.signed and found & SIGN else found
        values = {"value": round(number * params.scale, DIGITS)}
        return Observation(target.subject, target.probe, self._clock.now(), Answer.OK, values=values)
