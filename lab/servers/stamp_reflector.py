"""The far end of a rented link: a STAMP Session-Reflector (RFC 8762), stateful and unauthenticated.

A link that is cut answers nothing; delay is added to the round trip, half on each way, so that the timestamps inside
the packet tell the same story as the clock outside; loss is drawn from a generator that the reflector's seed fixes.
"""

from __future__ import annotations

import asyncio
import random
import struct
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from lab import uplink
from lab.identity import Identity
from lab.presence import Presence
from lab.scenario import Estate, Server
from lab.servers.listener import Datagram, UdpListener
from lab.states import LinkState

NTP_EPOCH_OFFSET_S = 2_208_988_800  # from 1900 to 1970
PACKET_BYTES = 44
# RFC 8762 4.2.1: sequence, NTP timestamp, error estimate; the sender's remaining 30 bytes must be zero.
SENDER = struct.Struct("!IQH")
# RFC 8762 4.3.1: sequence, timestamp, error estimate, MBZ, receive timestamp, the sender's three, MBZ, its TTL, MBZ.
REFLECTED = struct.Struct("!IQH2xQIQH2xB3x")
MOST_SESSIONS = 1000
WAY_THERE = 0.5  # the part of what is lost that is lost on the way there
ERROR_ESTIMATE = 0x8001  # RFC 4656 4.1.2: synchronized, NTP format, scale 0, multiplier 1 (which must not be 0)


class StampReflector:
    """Reflects the test packets that ``link()`` lets through."""

    def __init__(self, address: str, port: int, link: Callable[[], LinkState], seed: str) -> None:
        self._link = link
        self._random = random.Random(seed)
        self._counts: dict[tuple[str, int], int] = {}  # RFC 8762 4.3: a stateful reflector numbers its packets itself
        self._listener = UdpListener(address, port, self._reflect)

    @property
    def port(self) -> int:
        """The UDP port in use."""
        return self._listener.port

    async def start(self) -> None:
        """Bind the port. Raises ``OSError`` when it is taken."""
        await self._listener.start()

    async def stop(self) -> None:
        """Close the port; replies still on their way are lost."""
        await self._listener.stop()

    def refresh(self) -> None:
        """Nothing to do: the link's state is asked at every packet."""

    def _reflect(self, datagram: Datagram) -> bytes | None:
        link = self._link()
        if link.cut or len(datagram.payload) < PACKET_BYTES:
            return None
        lost = self._random.random() * 100 < link.loss_percent
        delay_s = max(link.rtt_ms + self._random.uniform(-link.jitter_ms, link.jitter_ms), 0) / 1000
        if lost and self._random.random() < WAY_THERE:
            return None
        number = self._number(datagram.sender)
        if lost:
            return None
        reply = reflect(datagram.payload, datagram.ttl, time.time() + delay_s / 2, number)
        asyncio.get_running_loop().call_later(delay_s, self._deliver, reply, datagram)
        return None

    def _number(self, sender: tuple[str, int]) -> int:
        """Return the number of the next packet to ``sender``; the oldest sessions are forgotten."""
        number = self._counts.pop(sender, 0)
        self._counts[sender] = (number + 1) % 2**32
        if len(self._counts) > MOST_SESSIONS:
            del self._counts[next(iter(self._counts))]
        return number

    def _deliver(self, reply: bytes, datagram: Datagram) -> None:
        if not self._link().cut:
            self._listener.send(reply, datagram.sender)


def _seen(estate: Estate, key: str) -> LinkState:
    """Return how a link treats packets of the monitor's."""
    return replace(estate.link(key), cut=estate.link(key).cut or uplink.presence(estate) is Presence.DEAD)


def servers(estate: Estate, identity: Identity) -> list[Server]:  # noqa: ARG001 - a link has no secrets
    """Build the far ends of all links."""
    return [
        StampReflector(link.far_end, link.port, partial(_seen, estate, key), f"{estate.seed}/{key}")
        for key, link in estate.plan.links.items()
    ]


def reflect(packet: bytes, ttl: int, now: float, number: int) -> bytes:
    """Build the reflected packet for ``packet`` (44 bytes or more), received and sent back at Unix time ``now``.

    ``number`` is the reflector's own; what follows the base packet is returned unchanged.
    """
    sequence, sent_at, sender_estimate = SENDER.unpack_from(packet)
    stamp = ntp_timestamp(now)
    base = REFLECTED.pack(
        number, stamp, ERROR_ESTIMATE, stamp, sequence, sent_at, sender_estimate, min(max(ttl, 0), 255)
    )
    return base + packet[PACKET_BYTES:]


def ntp_timestamp(unix_s: float) -> int:
    """Give the 64-bit NTP timestamp (RFC 5905 section 6) of a Unix time."""
    return int((unix_s + NTP_EPOCH_OFFSET_S) * 2**32) & 0xFFFF_FFFF_FFFF_FFFF
