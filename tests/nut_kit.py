"""Network UPS Tools' own upsd with its driver dummy-ups, in a folder of the test's."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

from real_kit import free_port, need

from monitor.clients.nut import variables
from monitor.errors import TargetError

LONG_S = 60.0
UPS = "ups-a"


class Nut:
    """upsd and one driver; ``say`` changes what the UPS reports (the driver reads its file within two seconds)."""

    def __init__(self, folder: Path, address: str, *, max_age_s: int = 15, port: int = 0) -> None:
        self.folder = folder
        self.address = address
        self.port = port or free_port(address)
        self.daemon: subprocess.Popen[bytes] | None = None
        self.driver: subprocess.Popen[bytes] | None = None
        (folder / "ups.conf").write_text(f"[{UPS}]\ndriver = dummy-ups\nport = {UPS}.dev\nmode = dummy-loop\n")
        (folder / "upsd.conf").write_text(f"LISTEN {address} {self.port}\nMAXAGE {max_age_s}\n")
        (folder / "upsd.users").touch()
        self.say(charge=87, load=23, status="OL CHRG")

    def say(self, **said: object) -> None:
        names = {"charge": "battery.charge", "load": "ups.load", "status": "ups.status"}
        lines = [f"{names[name]}: {value}" for name, value in said.items()]
        part = self.folder / "part"
        part.write_text("\n".join([*lines, "TIMER 1", ""]))
        part.replace(self.folder / f"{UPS}.dev")

    async def start(self) -> None:
        """Start both and wait until the UPS can be read."""
        folder = str(self.folder)
        environment = os.environ | dict.fromkeys(("NUT_CONFPATH", "NUT_STATEPATH", "NUT_ALTPIDPATH"), folder)
        commands = (
            [need("/lib/nut/dummy-ups", "nut-server"), "-a", UPS, "-u", "root", "-F"],
            [need("/lib/nut/upsd", "nut-server"), "-u", "root", "-F"],
        )
        with (self.folder / "log").open("ab") as log:
            self.driver, self.daemon = (
                subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder)  # noqa: ASYNC220 - returns at once
                for command in commands
            )
        async with asyncio.timeout(LONG_S):
            while True:
                assert self.daemon.poll() is None, (self.folder / "log").read_text()
                try:
                    found = await variables(self.address, self.port, UPS, 1.0)
                except TargetError:
                    found = {}
                if "battery.charge" in found:  # at first upsd knows the UPS, and of it only that it waits
                    return
                await asyncio.sleep(0.1)

    def processes(self) -> list[subprocess.Popen[bytes]]:
        return [each for each in (self.daemon, self.driver) if each is not None]

    def stop(self) -> None:
        for process in self.processes():
            process.kill()
            process.wait()
        self.daemon = self.driver = None
