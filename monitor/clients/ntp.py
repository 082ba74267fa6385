"""One question to an NTP server: client mode 3 of RFC 5905 (SNTP, section 14), IPv4 and IPv6, unauthenticated.

A question carries a random number where the time of departure would stand, and nothing else of this machine; only an
answer that gives the number back is taken, so that who does not see the question cannot forge the answer. It is sent up
to three times in its deadline, because one datagram may be lost. What the answer means is left to others.
"""

from __future__ import annotations

import asyncio
import secrets
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from monitor.errors import GarbledReply, Refused, TargetError, Unreachable, in_words

if TYPE_CHECKING:
    from monitor.clock import Clock

EPOCH_S = 2_208_988_800  # 1 January 1900 to 1970
ERA_S = 1 << 32
PACKET = struct.Struct("!BBbbII4sQQQQ")
QUESTION = 4 << 3 | 3  # leap 0, version 4, mode 3
SERVER_MODE = 4
VERSIONS = range(1, 5)
TRIES = 3
OUR_CLOCK_SET_S = 0.05
ROUNDING_S = 0.01
UNSYNCHRONIZED = 16
KISSES = frozenset({"RATE", "DENY", "RSTR"})  # other codes (INIT, STEP) only say why it is not synchronized


@dataclass(frozen=True, slots=True)
class NtpReply:
    """What a server said, and how its clock stands to ours.

    ``offset_s`` is positive when the server is ahead; the round trip ``delay_s`` leaves half of itself either way open.
    ``distance_s`` is how far the server itself may be from its source of time (root delay / 2 + root dispersion).
    ``leap`` is the indicator: 0 none, 1 and 2 a leap second comes, 3 not synchronized. Stratum 0, as which a server
    that is not synchronized goes over the wire (RFC 5905, figure 11), is 16 here.
    """

    leap: int
    stratum: int
    offset_s: float
    delay_s: float
    distance_s: float


class KissOfDeath(Refused):
    """The server answers that it will not (RFC 5905, section 7.4); ``code`` is its four letters (RATE, DENY, …)."""

    def __init__(self, where: str, code: str) -> None:
        """Say so."""
        self.code = code
        super().__init__(f"{where}: the server sends a kiss-o'-death, {code}")


async def ask(address: str, port: int, clock: Clock, timeout_s: float) -> NtpReply:
    """Return the server's answer.

    Raises Unreachable (no answer, port closed), KissOfDeath, GarbledReply (answers that are none, or our clock was set
    meanwhile).
    """
    where = f"{address}:{port}"
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout_s
    try:
        async with asyncio.timeout_at(end):
            transport, inbox = await loop.create_datagram_endpoint(_Inbox, remote_addr=(address, port))
    except (OSError, TimeoutError) as error:
        said = in_words(error) if isinstance(error, OSError) and not isinstance(error, TimeoutError) else "no address"
        raise Unreachable(f"{where}: {said}") from error
    conversation = _Conversation(where, clock)
    try:
        for attempt in range(1, TRIES + 1):
            transport.sendto(conversation.question())
            until = end - timeout_s * (TRIES - attempt) / TRIES
            while True:
                try:
                    async with asyncio.timeout_at(until):
                        came = await inbox.packets.get()
                except TimeoutError:
                    break
                if isinstance(came, OSError):
                    raise Unreachable(f"{where}: {in_words(came)}") from came
                reply = conversation.answer(came)
                if reply is not None:
                    return reply
        raise conversation.complaint or Unreachable(f"{where}: no NTP answer within {timeout_s:g} s")
    finally:
        transport.close()


class _Inbox(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.packets: asyncio.Queue[bytes | OSError] = asyncio.Queue(64)

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002 - the socket is connected
        if not self.packets.full():
            self.packets.put_nowait(data)

    def error_received(self, exc: Exception) -> None:
        if isinstance(exc, OSError) and not self.packets.full():
            self.packets.put_nowait(exc)


class _Conversation:
    """What was sent when, by the number in it."""

    def __init__(self, where: str, clock: Clock) -> None:
        self._where = where
        self._clock = clock
        self._sent: dict[int, tuple[float, float]] = {}
        self.complaint: TargetError | None = None

    def question(self) -> bytes:
        number = secrets.randbits(64) | 1  # never zero, which some servers leave there
        self._sent[number] = (self._clock.now(), self._clock.monotonic())
        return PACKET.pack(QUESTION, 0, 0, 0, 0, 0, bytes(4), 0, 0, 0, number)

    def answer(self, packet: bytes) -> NtpReply | None:
        """Return what ``packet`` says; None when it is not an answer to us. Raises KissOfDeath, GarbledReply."""
        now, came = self._clock.now(), self._clock.monotonic()
        if len(packet) < PACKET.size:
            self.complaint = GarbledReply(f"{self._where}: answered what is not NTP")
            return None
        first, stratum, _, _, root_delay, dispersion, name, _, origin, received, left = PACKET.unpack_from(packet)
        if first & 7 != SERVER_MODE or first >> 3 & 7 not in VERSIONS or origin not in self._sent:
            self.complaint = GarbledReply(f"{self._where}: answered what does not belong to our question")
            return None
        code = name.decode("ascii", "replace") if stratum == 0 else ""
        if code in KISSES:
            raise KissOfDeath(self._where, code)
        sent_at, sent = self._sent[origin]
        took_s = came - sent
        if abs(now - sent_at - took_s) > OUR_CLOCK_SET_S:
            raise GarbledReply(f"{self._where}: our own clock was set while the server was asked")
        there_s, away_s = unix(received, now), unix(left, now)
        held_s = away_s - there_s
        if received == 0 or left == 0 or not -ROUNDING_S <= held_s <= took_s + ROUNDING_S:
            raise GarbledReply(f"{self._where}: the server's times contradict one another")
        return NtpReply(
            leap=first >> 6,
            stratum=stratum or UNSYNCHRONIZED,
            offset_s=((there_s - sent_at) + (away_s - (sent_at + took_s))) / 2,
            delay_s=max(0.0, took_s - held_s),
            distance_s=root_delay / 131_072 + dispersion / 65_536,
        )


def unix(stamp: int, near: float) -> float:
    """Return a 64-bit NTP time stamp as Unix seconds, in the era that is nearest to ``near``."""
    seconds = stamp / ERA_S - EPOCH_S
    return seconds + ERA_S * round((near - seconds) / ERA_S)
