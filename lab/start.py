"""Start and stop the whole estate: the literal list of servers, and time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from lab.identity import Identity
from lab.scenario import Estate, Server
from lab.servers import (
    dns,
    front,
    gateway,
    mail_sink,
    modbus_device,
    ntp_server,
    observer,
    power_controller,
    redfish_chassis,
    snmp_agent,
    ssh_host,
    stamp_reflector,
    ticket_sink,
    ups,
    vcenter,
)

# One line a file of lab/servers/; clients of the estate come last.
SERVERS: tuple[Callable[[Estate, Identity], list[Server]], ...] = (
    vcenter.servers,
    power_controller.servers,
    dns.servers,
    ntp_server.servers,
    front.servers,
    ssh_host.servers,
    stamp_reflector.servers,
    snmp_agent.servers,
    modbus_device.servers,
    ups.servers,
    redfish_chassis.servers,
    mail_sink.servers,
    ticket_sink.servers,
    observer.servers,
    gateway.servers,
)
TICK_S = 0.05


class Lab:
    """All servers of an estate."""

    def __init__(self, estate: Estate, identity: Identity) -> None:
        """Make the servers without starting them."""
        self.estate = estate
        self._servers = [server for make in SERVERS for server in make(estate, identity)]
        self._started: list[Server] = []
        self._time: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start every server; when one cannot, stop those that could. Raises OSError."""
        try:
            for server in self._servers:
                await server.start()
                self._started.append(server)
        except OSError:
            await self.stop()
            raise
        self.estate.subscribe(self._refresh)
        self._time = asyncio.create_task(self._tick())

    async def stop(self) -> None:
        """Stop every server, the last one first."""
        if self._time is not None:
            self._time.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._time
        while self._started:
            await self._started.pop().stop()

    def _refresh(self) -> None:
        for server in self._started:
            server.refresh()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self.estate.tick()
