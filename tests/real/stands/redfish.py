"""A Redfish tree over HTTPS in the fault matrix."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

from matrix_kit import NotApplicable, Said, Stand
from tls_kit import ThrowawayCa

from monitor.clock import RealClock
from monitor.credential import Credentials
from monitor.inventory.equipment import PowerController
from monitor.inventory.estate import Trust
from monitor.probe import Probe
from monitor.probes.outlets import OutletsParams, OutletsProbe
from monitor.probes.redfish import RedfishParams, RedfishProbe
from stands.modbus import SERVED, listening
from stands.served import PASSWORD, USER

INLET = {
    "@odata.type": "#Sensor.v1_2_0.Sensor",
    "Id": "Inlet",
    "Reading": 21.5,
    "ReadingUnits": "Cel",
    "ReadingRangeMin": -20,
    "ReadingRangeMax": 80,
    "Status": {"State": "Enabled", "Health": "OK"},
}


class RedfishService(Stand):
    source = "redfish"
    probe_name = "redfish"
    transport = "tcp"
    address = "127.94.7.68"
    deadline_s = 2.0
    expected: ClassVar[dict[str, Said | NotApplicable]] = {
        "slow": Said("in time"),
        "hung": Said("in time"),
        "garbage": Said("cannot be reached|broke the connection off|not HTTP"),
        "half-open": Said("in time"),
        "wrong credentials": Said("does not accept user 'karaula'"),
        "restarted": Said("refused|broke the connection off|reset"),
    }

    tree: ClassVar[dict[str, object]] = {"/redfish/v1/Chassis/1/Sensors/Inlet": INLET}

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.process: subprocess.Popen[bytes] | None = None
        ca = ThrowawayCa(folder / "ca")
        self.pair = ca.server(self.address)
        (folder / "ca.pem").write_bytes(ca.bundle.read_bytes())
        (folder / "tree.json").write_text(json.dumps(self.tree))
        (folder / "good").write_text(PASSWORD)
        (folder / "bad").write_text("calvin")

    async def start(self) -> None:
        command = [sys.executable, SERVED, "redfish", self.address, str(self.port), *self.pair]
        self.process = subprocess.Popen([*command, self.folder / "tree.json"])  # noqa: ASYNC220 - it returns at once
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
        return RedfishProbe(Credentials(self.folder), Trust(tls_ca="ca.pem", known_hosts="known_hosts"), RealClock())

    def params(self, port: int) -> RedfishParams:
        return RedfishParams(self.address, port, USER, "good", "1", "sensors", "Inlet", "celsius")

    def wrong_params(self, port: int) -> RedfishParams:
        return RedfishParams(self.address, port, USER, "bad", "1", "sensors", "Inlet", "celsius")


GROUPS = "/redfish/v1/PowerEquipment/RackPDUs/1/OutletGroups"


class PduOutlets(RedfishService):
    """A switched PDU's outlet groups."""

    source = "redfish outlets"
    probe_name = "outlets"
    deadline_s = 1.5
    address = "127.94.7.69"
    tree: ClassVar[dict[str, object]] = {
        f"{GROUPS}/{name}": {"Id": name, "PowerState": "On", "PowerWatts": {"Reading": 410}} for name in ("a", "b")
    }

    def probe(self) -> Probe:
        return OutletsProbe(Credentials(self.folder), Trust(tls_ca="ca.pem", known_hosts="known_hosts"), RealClock())

    def _outlets(self, port: int, password: str) -> OutletsParams:
        place = {"address": self.address, "port": port, "site": "main", "pdu": "1"}
        return OutletsParams(PowerController(**place, user=USER, credential=password), ("a", "b"))

    def params(self, port: int) -> OutletsParams:
        return self._outlets(port, "good")

    def wrong_params(self, port: int) -> OutletsParams:
        return self._outlets(port, "bad")
