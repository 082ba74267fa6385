"""net-snmp's snmpd in the fault matrix."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path
from typing import ClassVar

from matrix_kit import LONG_S, NotApplicable, Said, Stand
from real_kit import need

from monitor.clients.snmp import get
from monitor.clock import RealClock
from monitor.credential import Credentials, Secret
from monitor.errors import DeadlineExceeded, Unreachable
from monitor.inventory.estate import Trust
from monitor.inventory.profiles import Point
from monitor.inventory.sensors import SnmpUser
from monitor.probe import Probe
from monitor.probes.router import RouterParams, RouterProbe
from monitor.probes.snmp import SnmpParams, SnmpProbe

INTERFACES = "1.3.6.1.2.1.2.1.0"  # IF-MIB::ifNumber
UP = "1.3.6.1.2.1.2.2.1.8.1"  # IF-MIB::ifOperStatus.1, the loopback
COUNT = Point("power", INTERFACES, (0, 1000))


class SnmpV2c(Stand):
    source = "snmp v2c"
    probe_name = "snmp"
    transport = "udp"
    address = "127.94.7.62"
    expected: ClassVar[dict[str, Said | NotApplicable]] = {
        "slow": Said("no SNMP answer"),
        "hung": Said("no SNMP answer"),
        "garbage": Said("no SNMP answer|garbled|not"),
        "half-open": Said("no SNMP answer"),
        "wrong credentials": Said("wrong community"),
        "restarted": Said("refused|no SNMP answer"),
    }

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.process: subprocess.Popen[bytes] | None = None
        lines = [
            "rocommunity k-read 127.0.0.0/8",
            'createUser reader SHA-256 "k-auth-it" AES "k-priv-it"',
            "rouser reader priv",
        ]
        (folder / "snmpd.conf").write_text("\n".join(lines) + "\n")
        (folder / "good").write_text("k-read\n")
        (folder / "bad").write_text("public\n")

    async def start(self) -> None:
        environment = os.environ | {"SNMP_PERSISTENT_DIR": str(self.folder / "persistent"), "MIBS": ""}
        command = [need("snmpd", "snmpd"), "-f", "-C", "-c", self.folder / "snmpd.conf", "-Lf", self.folder / "log"]
        command += ["-p", self.folder / "pid", f"udp:{self.address}:{self.port}"]
        self.process = subprocess.Popen(command, env=environment)  # noqa: ASYNC220 - it returns at once
        async with asyncio.timeout(LONG_S):
            while True:
                assert self.process.poll() is None, (self.folder / "log").read_text()
                try:
                    await get(self.address, self.port, Secret("k-read"), [INTERFACES], 0.5)
                except (Unreachable, DeadlineExceeded):
                    await asyncio.sleep(0.05)
                else:
                    return

    async def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def probe(self) -> Probe:
        return SnmpProbe(Credentials(self.folder), Trust(tls_ca="ca.pem", known_hosts="known_hosts"), RealClock())

    def params(self, port: int) -> SnmpParams:
        return SnmpParams(self.address, port, "good", COUNT)

    def wrong_params(self, port: int) -> SnmpParams:
        return SnmpParams(self.address, port, "bad", COUNT)


class Router(SnmpV2c):
    """The same agent, asked as a border router is for the state of its interface."""

    source = "router"
    probe_name = "router"
    address = "127.94.7.64"
    expected: ClassVar[dict[str, Said | NotApplicable]] = SnmpV2c.expected

    def probe(self) -> Probe:
        return RouterProbe(Credentials(self.folder), Trust(tls_ca="ca.pem", known_hosts="known_hosts"), RealClock())

    def params(self, port: int) -> RouterParams:  # type: ignore[override]  # another probe's
        return RouterParams(self.address, port, "good", (("primary", UP),))

    def wrong_params(self, port: int) -> RouterParams:  # type: ignore[override]  # likewise
        return RouterParams(self.address, port, "bad", (("primary", UP),))


class SnmpV3(SnmpV2c):
    """The same agent, asked by a user whose questions and answers are signed and encrypted."""

    source = "snmp v3"
    address = "127.94.7.63"
    expected: ClassVar[dict[str, Said | NotApplicable]] = SnmpV2c.expected | {
        "garbage": Said("not an SNMP answer"),
        "wrong credentials": Said("does not accept the authentication password"),
    }

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        for name, text in (("auth", "k-auth-it"), ("priv", "k-priv-it"), ("wrong", "not-that-one")):
            (folder / name).write_text(f"{text}\n")

    def params(self, port: int) -> SnmpParams:
        return SnmpParams(self.address, port, _user("auth"), COUNT)

    def wrong_params(self, port: int) -> SnmpParams:
        return SnmpParams(self.address, port, _user("wrong"), COUNT)


def _user(password: str) -> SnmpUser:
    return SnmpUser(name="reader", authentication_credential=password, privacy_credential="priv")
