"""pymodbus's own server in the fault matrix."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

from matrix_kit import LONG_S, NotApplicable, Said, Stand

from monitor.clock import RealClock
from monitor.credential import Credentials
from monitor.inventory.estate import Trust
from monitor.probe import Probe
from monitor.probes.modbus import ModbusParams, ModbusProbe

SERVED = Path(__file__).with_name("served.py")


async def listening(process: subprocess.Popen[bytes], address: str, port: int) -> None:
    """Wait until the process accepts connections."""
    async with asyncio.timeout(LONG_S):
        while True:
            assert process.poll() is None, "the server ended by itself"
            try:
                _, writer = await asyncio.open_connection(address, port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


class ModbusServer(Stand):
    source = "modbus"
    probe_name = "modbus"
    transport = "tcp"
    address = "127.94.7.65"
    expected: ClassVar[dict[str, Said | NotApplicable]] = {
        "slow": Said("no answer in"),
        "hung": Said("no answer in"),
        "garbage": Said("not a Modbus answer"),
        "half-open": Said("no answer in"),
        "wrong credentials": NotApplicable("Modbus knows none"),
        "restarted": Said("refused|hung up"),
    }

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        command = [sys.executable, SERVED, "modbus", self.address, str(self.port)]
        self.process = subprocess.Popen(command)  # noqa: ASYNC220 - it returns at once
        await listening(self.process, self.address, self.port)

    async def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def probe(self) -> Probe:
        return ModbusProbe(Credentials(self.folder), Trust(tls_ca="ca.pem", known_hosts="known_hosts"), RealClock())

    def params(self, port: int) -> ModbusParams:
        return ModbusParams(self.address, port, 1, 0, table="holding", scale=0.1)
