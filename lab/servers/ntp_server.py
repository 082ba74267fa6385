"""A time server (RFC 5905, mode 4): tells the lab's own clock, as a receiver of stratum 1 would.

A datagram that is no question of a client is not answered; a site without power answers nothing. The fault
``skew-time`` sets the clock of a site's time server off.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial

from lab.identity import Identity
from lab.presence import Presence
from lab.scenario import Estate, Server
from lab.servers.listener import Datagram, UdpListener
from lab.servers.stamp_reflector import ntp_timestamp

# RFC 5905 7.3: leap, version and mode; stratum, poll, precision; root delay and dispersion; reference; four times.
PACKET = struct.Struct("!BBbbII4sQQQQ")
CLIENT, SERVER = 3, 4
VERSION = 4
STRATUM = 1
POLL, PRECISION = 6, -20  # 64 s; about a microsecond, as powers of two
DISPERSION = 0x0000_0010  # a quarter of a millisecond, in 1/65536 s
REFERENCE = b"GPS\0"


class NtpServer:
    """Answers while ``presence()`` says so, by ``now()``."""

    def __init__(self, address: str, port: int, presence: Callable[[], Presence], now: Callable[[], float]) -> None:
        self._now = now
        self._listener = UdpListener(address, port, self._answer, presence)

    async def start(self) -> None:
        """Bind the port. Raises ``OSError`` when it is taken."""
        await self._listener.start()

    async def stop(self) -> None:
        """Close the port."""
        await self._listener.stop()

    def refresh(self) -> None:
        """Follow the truth."""
        self._listener.refresh()

    def _answer(self, datagram: Datagram) -> bytes | None:
        if len(datagram.payload) < PACKET.size or datagram.payload[0] & 7 != CLIENT:
            return None
        now = ntp_timestamp(self._now())
        (sent,) = struct.unpack_from("!Q", datagram.payload, PACKET.size - 8)
        first = VERSION << 3 | SERVER
        return PACKET.pack(first, STRATUM, POLL, PRECISION, 0, DISPERSION, REFERENCE, now, sent, now, now)


def told(estate: Estate, site: str) -> float:
    """Return what the time server of ``site`` takes for the time (Unix seconds)."""
    skew = estate.faults.get("skew-time", site)
    return estate.now() + (skew.number("seconds") if skew else 0.0)


def servers(estate: Estate, identity: Identity) -> list[Server]:  # noqa: ARG001 - time is no secret
    """Return the time servers that checks ask."""
    return [
        NtpServer(plan.address, plan.port, partial(estate.time_presence, plan.site), partial(told, estate, plan.site))
        for plan in estate.plan.time_servers
    ]
