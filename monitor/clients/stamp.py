"""Session-Sender of the Simple Two-way Active Measurement Protocol (RFC 8762), unauthenticated mode, IPv4.

One UDP socket serves all far ends. Numbers of a far end begin at 0 as the RFC has it and leave out 1, as if that probe
had been lost on the way: a stateful reflector, which numbers its own packets, is known by it (``monitor.burst``).

This machine does not claim a synchronized clock; one-way times are reported only where the reflector claims one, and
are as good as the two clocks agree.
"""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

from monitor.echo import EchoSocket, FarEnd, Reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from monitor.burst import Burst
    from monitor.clock import Clock

PACKET_BYTES = 44
NTP_EPOCH_S = 2_208_988_800  # 1 January 1900 to 1970 (RFC 5905)
ERROR_ESTIMATE = 0x0001  # S=0 not synchronized, Z=0 NTP format, scale 0, multiplier 1 (RFC 8762, 4.2.1)
SYNCHRONIZED = 0x8000
PTP_FORMAT = 0x4000
SENDER = struct.Struct("!IQH30x")
REFLECTOR = struct.Struct("!IQHHQIQHHB3x")
DEFAULT_TTL = 255  # RFC 8762, 4.2.1


def ntp(at: float) -> int:
    """Return Unix seconds as a 64-bit NTP time stamp (32.32 fixed point, eras folded)."""
    return round((at + NTP_EPOCH_S) * (1 << 32)) & 0xFFFFFFFFFFFFFFFF


def seconds_between(earlier: int, later: int) -> float:
    """Return the signed seconds from one NTP time stamp to another, right across eras."""
    difference = (later - earlier) & 0xFFFFFFFFFFFFFFFF
    return (difference - (1 << 64) if difference >> 63 else difference) / (1 << 32)


class StampCodec:
    """RFC 8762, figures 2 (sender) and 5 (reflector)."""

    sequence_limit = 1 << 32
    skips_one = True

    def encode(self, sequence: int, at: float) -> tuple[bytes, bytes]:
        """Return the packet, and what the reflector copies of it: sequence number, time stamp, error estimate."""
        packet = SENDER.pack(sequence, ntp(at), ERROR_ESTIMATE)
        return packet, packet[:14]

    def decode(self, packet: bytes) -> Reply:
        """Return the reply; a longer packet's TLVs (RFC 8972) are not looked at. Raises ValueError."""
        if len(packet) < PACKET_BYTES:
            raise ValueError("shorter than a STAMP packet")
        fields = REFLECTOR.unpack_from(packet)
        number, sent, estimate, _ssid, received, sequence, echoed, echoed_estimate, _zero, _ttl = fields
        token = struct.pack("!IQH", sequence, echoed, echoed_estimate)
        if estimate & PTP_FORMAT:
            return Reply(
                sequence, token, number=number
            )  # seconds and nanoseconds: not what the sender's format asks for
        known = bool(estimate & SYNCHRONIZED)
        return Reply(
            sequence,
            token,
            held_s=seconds_between(received, sent),
            arrived_s=seconds_between(echoed, received) if known else None,
            left_s=seconds_between(echoed, sent) if known else None,
            number=number,
        )


class StampClient:
    """Measures links to STAMP reflectors."""

    def __init__(self, clock: Clock) -> None:
        """Open the socket at the first use."""
        self._clock = clock
        self._echo: EchoSocket | None = None

    async def measure(
        self, ends: Iterable[FarEnd], *, within_s: float, count: int = 5, spacing_s: float = 0.1
    ) -> AsyncIterator[tuple[FarEnd, Burst]]:
        """Probe every far end ``count`` times and yield what came of it within ``within_s``. Raises nothing."""
        if self._echo is None:
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, DEFAULT_TTL)
            self._echo = EchoSocket(sock, StampCodec(), self._clock)
        async for measured in self._echo.measure(ends, count=count, spacing_s=spacing_s, within_s=within_s):
            yield measured

    async def close(self) -> None:
        """Close the socket."""
        if self._echo is not None:
            self._echo.close()
            self._echo = None
