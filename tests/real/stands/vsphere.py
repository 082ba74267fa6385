"""govmomi's vCenter simulator in the fault matrix."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar

from matrix_kit import NotApplicable, Said, Stand
from real_kit import need, need_folder
from tls_kit import ThrowawayCa
from vcsim.beside import PASSWORD
from vcsim.build import CACHE, GOVMOMI, PACKAGE, Simulator, build, running

from monitor.clock import RealClock
from monitor.credential import Credentials
from monitor.inventory.estate import Trust
from monitor.probe import Probe
from monitor.probes.vsphere import VsphereParams, VsphereProbe

SILENT = "did not answer in time|did not accept a connection in time|has not answered the poll|no answer within"
GARBLED = "broke the connection off|cannot be reached|not SOAP"


class VcenterSimulator(Stand):
    source = "vSphere"
    probe_name = "vsphere"
    transport = "tcp"
    address = "127.0.0.1"
    deadline_s = 1.5  # the simulator lets every poll wait for a quarter of a second
    expected: ClassVar[dict[str, Said | NotApplicable]] = {
        "slow": Said(SILENT),
        "hung": Said(SILENT),
        "garbage": Said(f"{GARBLED}|{SILENT}"),
        "half-open": Said(SILENT),
        "wrong credentials": Said("does not accept user 'karaula' with this password"),
        "restarted": Said("refused|broke the connection off"),
    }

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.binary = build(need("go", PACKAGE), CACHE) if need_folder(GOVMOMI, PACKAGE) else Path()
        ca = ThrowawayCa(folder)
        self.certificate = ca.server(self.address)
        (folder / "lab-ca.pem").write_bytes(ca.bundle.read_bytes())
        (folder / "good").write_text(f"{PASSWORD}\n")
        (folder / "bad").write_text("guess\n")
        self.simulator: Simulator | None = None
        self._running = ExitStack()

    async def start(self) -> None:
        context = running(self.binary, *self.certificate, port=self.port)
        self.simulator = await asyncio.to_thread(self._running.enter_context, context)

    async def stop(self) -> None:
        self._running.close()
        self.simulator = None

    def signal(self, number: int) -> None:
        assert self.simulator is not None
        self.simulator.process.send_signal(number)

    def probe(self) -> Probe:
        return VsphereProbe(Credentials(self.folder), Trust(tls_ca="lab-ca.pem", known_hosts="none"), RealClock())

    def params(self, port: int) -> VsphereParams:
        return VsphereParams("vc", self.address, port, "karaula", "good", counters=("cpu-usage",))

    def wrong_params(self, port: int) -> VsphereParams:
        return VsphereParams("vc", self.address, port, "karaula", "bad")
