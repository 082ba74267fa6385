"""A switched PDU that really cuts: a Redfish OutletGroup (DSP0268) over HTTPS before what kills and starts servers."""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from https_kit import Request, Server, reply, serving


@dataclass
class Outlets:
    """The group that feeds one site's system; it draws nothing when the site itself has no power."""

    cut: Callable[[], None]
    boot: Callable[[], None]
    on: bool = True
    site_power: bool = True
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def watts(self) -> float:
        return 410.0 if self.on and self.site_power else 0.0

    def switch(self, *, on: bool) -> None:
        with self.lock:
            changed, self.on = on != self.on, on
            if changed and self.site_power:
                (self.boot if on else self.cut)()

    def restore(self) -> None:
        """The site's power comes back; what its outlets do not feed stays dark."""
        with self.lock:
            self.site_power = True
            if self.on:
                self.boot()


def power_controller(
    outlets: Outlets, certificate: tuple[Path, Path], address: str, port: int, password: str
) -> AbstractContextManager[Server]:
    """Serve one PDU with one outlet group."""
    allowed = "Basic " + base64.b64encode(f"karaula:{password}".encode()).decode()

    def answer(request: Request, connection: socket.socket) -> bytes:
        del connection
        if request.headers.get("authorization") != allowed:
            return reply(401, b"{}")
        if request.method == "POST":
            outlets.switch(on=json.loads(request.body)["PowerState"] == "On")
            return reply(204, b"")
        power = {"PowerState": "On" if outlets.on else "Off", "PowerWatts": {"Reading": outlets.watts}}
        return reply(200, json.dumps(power).encode())

    return serving(certificate, answer, address, port)
