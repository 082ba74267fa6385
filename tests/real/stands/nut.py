"""NUT's upsd with dummy-ups in the fault matrix."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from matrix_kit import NotApplicable, Said, Stand
from nut_kit import UPS, Nut

from monitor.clock import RealClock
from monitor.credential import Credentials
from monitor.inventory.estate import Trust
from monitor.probe import Probe
from monitor.probes.nut import NutParams, NutProbe


class NutUps(Stand):
    source = "nut"
    probe_name = "nut"
    transport = "tcp"
    address = "127.94.7.66"
    expected: ClassVar[dict[str, Said | NotApplicable]] = {
        "slow": Said("no answer in"),
        "hung": Said("no answer in"),
        "garbage": Said("not what upsd says|no answer in|hung up|upsd says"),
        "half-open": Said("no answer in"),
        "wrong credentials": NotApplicable("reading needs none"),
        "restarted": Said("refused|does not run|lost touch|not what upsd says"),
    }

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.nut = Nut(folder, self.address, port=self.port)

    async def start(self) -> None:
        await self.nut.start()

    async def stop(self) -> None:
        self.nut.stop()

    def signal(self, number: int) -> None:
        for process in self.nut.processes():
            process.send_signal(number)

    def probe(self) -> Probe:
        return NutProbe(Credentials(self.folder), Trust(tls_ca="ca.pem", known_hosts="known_hosts"), RealClock())

    def params(self, port: int) -> NutParams:
        return NutParams(self.address, port, UPS, "battery.charge")
