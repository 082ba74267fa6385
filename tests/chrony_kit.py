"""Debian's chronyd as an NTP server on a high port; it does not touch the machine's clock (-x)."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path

from real_kit import free_port, need, tell

LONG_S = 60.0


class Chronyd:
    """One server. ``local`` is what it calls its own clock; without it chronyd is not synchronized."""

    def __init__(self, folder: Path, address: str = "127.94.0.123", port: int | None = None) -> None:
        self.folder = folder
        self.address = address
        self.port = port or free_port(address, socket.SOCK_DGRAM)
        self.binary = need("chronyd", "chrony")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *lines: str) -> None:
        config = self.folder / "chrony.conf"
        config.write_text(
            "\n".join(
                [
                    f"port {self.port}",
                    f"bindaddress {self.address}",
                    "allow 127.0.0.0/8",
                    "cmdport 0",
                    f"bindcmdaddress {self.folder}/chronyd.sock",
                    f"pidfile {self.folder}/pid",
                    *lines,
                ]
            )
            + "\n"
        )
        (self.folder / "pid").unlink(missing_ok=True)
        with (self.folder / "log").open("ab") as log:
            command = [self.binary, "-d", "-x", "-u", "root", "-f", config]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        give_up = time.monotonic() + LONG_S
        while not self._answers():
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < give_up

    def _answers(self) -> bool:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
            line.settimeout(0.2)
            try:
                line.connect((self.address, self.port))
                line.send(b"\x23" + bytes(47))
                return len(line.recv(100)) == 48
            except OSError:
                time.sleep(0.05)
                return False

    def signal(self, number: int) -> None:
        assert self.process is not None
        tell(number, self.process.pid)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
