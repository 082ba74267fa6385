"""ICMP echo (RFC 792) to many far ends over one socket, IPv4.

An unprivileged ICMP socket is tried first (icmp(7), ``ping_group_range``), a raw one second.
"""

from __future__ import annotations

import secrets
import socket
import struct
from typing import TYPE_CHECKING

from monitor.echo import EchoSocket, FarEnd, Reply
from monitor.errors import Refused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from monitor.burst import Burst
    from monitor.clock import Clock

ECHO_REPLY = 0
ECHO_REQUEST = 8
HEADER = struct.Struct("!BBHHH")
MAGIC_BYTES = 8
TIME = struct.Struct("!d")
NOT_PERMITTED = (
    "this process may not send ICMP echo; allow it with: sysctl -w net.ipv4.ping_group_range='0 2147483647', "
    "or give it CAP_NET_RAW"
)


def checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071): a sum with end-around carry is a remainder of 65,535."""
    number = int.from_bytes(data if len(data) % 2 == 0 else data + b"\0", "big")
    total = number % 0xFFFF
    return ~(total or (0xFFFF if number else 0)) & 0xFFFF


class IcmpCodec:
    """Echo requests with a random identifier and a payload that only this socket's replies can carry."""

    sequence_limit = 1 << 16
    skips_one = False

    def __init__(self, *, raw: bool) -> None:
        """On a raw socket packets have their IP header, and everybody else's ICMP is seen too."""
        self._raw = raw
        self._identifier = secrets.randbelow(1 << 16)
        self._magic = secrets.token_bytes(MAGIC_BYTES)

    def encode(self, sequence: int, at: float) -> tuple[bytes, bytes]:
        """Return the request and its payload; on an unprivileged socket the kernel sets the identifier."""
        payload = self._magic + TIME.pack(at)
        header = HEADER.pack(ECHO_REQUEST, 0, 0, self._identifier, sequence)
        summed = HEADER.pack(ECHO_REQUEST, 0, checksum(header + payload), self._identifier, sequence)
        return summed + payload, payload

    def decode(self, packet: bytes) -> Reply | None:
        """Return the reply, or None for other ICMP traffic. Raises ValueError for what is cut short or damaged."""
        if self._raw:
            if not packet or len(packet) < (packet[0] & 0x0F) * 4:
                raise ValueError("shorter than its IP header")
            packet = packet[(packet[0] & 0x0F) * 4 :]
        if len(packet) < HEADER.size:
            raise ValueError("shorter than an ICMP header")
        kind, code, _sum, identifier, sequence = HEADER.unpack_from(packet)
        if kind != ECHO_REPLY or (self._raw and identifier != self._identifier):
            return None
        if code != 0 or checksum(packet) != 0:
            raise ValueError("a damaged echo reply")
        return Reply(sequence, packet[HEADER.size :])


class IcmpClient:
    """Pings hosts."""

    def __init__(self, clock: Clock) -> None:
        """Open the socket at the first use."""
        self._clock = clock
        self._echo: EchoSocket | None = None

    async def measure(
        self, addresses: Iterable[str], *, within_s: float, count: int = 5, spacing_s: float = 0.1
    ) -> AsyncIterator[tuple[str, Burst]]:
        """Ping every address ``count`` times and yield what came of it within ``within_s``.

        Raises Refused when the system permits neither kind of ICMP socket; the text says how to permit one.
        """
        if self._echo is None:
            sock, raw = _open()
            self._echo = EchoSocket(sock, IcmpCodec(raw=raw), self._clock)
        ends = [FarEnd(address) for address in addresses]
        async for end, burst in self._echo.measure(ends, count=count, spacing_s=spacing_s, within_s=within_s):
            yield end.address, burst

    async def close(self) -> None:
        """Close the socket."""
        if self._echo is not None:
            self._echo.close()
            self._echo = None


def _open() -> tuple[socket.socket, bool]:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            return socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP), kind is socket.SOCK_RAW
        except PermissionError:
            continue
    raise Refused(NOT_PERMITTED)
