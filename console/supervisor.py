"""Tells systemd that the daemon serves, and that it is alive, for as long as every part of it turns.

Without a supervisor nothing is told. Source: sd_notify(3); the socket's address is ``NOTIFY_SOCKET``, how often to say
that we live ``WATCHDOG_USEC`` (for the process ``WATCHDOG_PID``).
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

log = logging.getLogger(__name__)


class Supervisor:
    """The line to who started us; silent when nobody listens."""

    def __init__(self, environment: Mapping[str, str], pid: int) -> None:
        """Read what systemd says in the environment of process ``pid``."""
        self._address = environment.get("NOTIFY_SOCKET", "")
        usec = environment.get("WATCHDOG_USEC", "")
        ours = environment.get("WATCHDOG_PID", str(pid)) == str(pid)
        self.within_s = int(usec) / 1e6 if ours and usec.isdecimal() and self._address else 0.0

    def tell(self, *lines: str) -> None:
        """Send ``lines``; a supervisor that cannot be reached is logged and does no harm."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as line:
                line.sendto("\n".join(lines).encode(), address)
        except OSError as error:
            log.warning("the supervisor at %s cannot be told: %s", self._address, os.strerror(error.errno or 0))

    async def feed(self, stopped: Callable[[], list[str]]) -> None:
        """Say four times in the time allowed that we live, unless ``stopped`` names a part that does not turn."""
        before: list[str] = []
        while self.within_s:
            found = stopped()
            if not found:
                self.tell("WATCHDOG=1", "STATUS=watching")
            else:
                self.tell(f"STATUS={'; '.join(found)}")
                if not before:
                    log.error("the supervisor is not told any more that the daemon lives: %s", "; ".join(found))
            before = found
            await asyncio.sleep(self.within_s / 4)


def of_this_process() -> Supervisor:
    """Return the line of this process."""
    return Supervisor(os.environ, os.getpid())
