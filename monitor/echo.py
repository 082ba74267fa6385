"""One socket, many far ends: probes paced out, replies gathered with the kernel's time stamps, round trips summed up.

Knows no protocol: a codec writes the packets and reads the replies (``monitor.clients.stamp``, ``.icmp``). What a loss
or a delay means is judged elsewhere. IPv4.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import struct
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from monitor.clock import Clock

SO_TIMESTAMPNS = 35  # socket(7), <asm-generic/socket.h>; Python has no name for it
IP_RECVTTL = 12  # ip(7), likewise
TIMESPEC = struct.Struct("@ll")
INT = struct.Struct("@i")
RECEIVE_BUFFER_BYTES = 1 << 20
PACKET_LIMIT_BYTES = 2048
READ_BATCH = 256
SEND_BATCH = 32
BATCH_GAP_S = 0.002
FULL_BUFFER_WAIT_S = 0.01


@dataclass(frozen=True, slots=True)
class FarEnd:
    """Where a probe goes; the port is 0 where the protocol has none."""

    address: str
    port: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """A decoded reply.

    ``token`` must equal what was sent with ``sequence``. ``held_s`` is how long the far end kept the probe.
    ``arrived_s`` and ``left_s`` are its own clock's word on how long after being sent the probe came and the reply
    went; None unless it says that its clock is synchronized.
    """

    sequence: int
    token: bytes
    held_s: float = 0.0
    arrived_s: float | None = None
    left_s: float | None = None


class Codec(Protocol):
    """How a protocol writes a probe and reads its reply."""

    sequence_limit: int

    def encode(self, sequence: int, at: float) -> tuple[bytes, bytes]:
        """Return the packet sent at ``at`` (Unix seconds), and the token that its reply must carry."""
        ...

    def decode(self, packet: bytes) -> Reply | None:
        """Return the reply, or None for a packet that is meant for others. Raises ValueError for garbage."""
        ...


@dataclass(frozen=True, slots=True)
class Burst:
    """What a few probes to one far end showed.

    ``rtts_s`` are the round-trip times without the far end's own, in sending order; ``forward_s`` and ``backward_s``
    the smallest one-way times, None unless both clocks allow it. ``error`` says why nothing could be sent.
    """

    sent: int
    duplicates: int
    garbled: int
    rtts_s: tuple[float, ...]
    forward_s: float | None = None
    backward_s: float | None = None
    ttl: int | None = None
    error: str = ""

    @property
    def loss_ratio(self) -> float:
        """Return the lost part of what was sent, 0 to 1."""
        return 1 - len(self.rtts_s) / self.sent if self.sent else 1.0

    @property
    def jitter_s(self) -> float | None:
        """Return the mean difference of neighbouring round-trip times (compare RFC 3393), None below two."""
        steps = [abs(later - earlier) for earlier, later in pairwise(self.rtts_s)]
        return sum(steps) / len(steps) if steps else None

    @property
    def trouble(self) -> str:
        """Say why nothing came back; empty when something did."""
        if self.rtts_s:
            return ""
        if self.error and not self.sent:
            return self.error
        return f"{self.garbled} garbled replies and no good one" if self.garbled else f"no reply to {self.sent} probes"

    def values(self) -> dict[str, float]:
        """Return what was measured, by the names of an Observation's values."""
        found = {
            "loss_ratio": self.loss_ratio,
            "probes_sent": float(self.sent),
            "duplicates": float(self.duplicates),
            "garbled": float(self.garbled),
            "jitter_seconds": self.jitter_s,
            "forward_seconds": self.forward_s,
            "backward_seconds": self.backward_s,
            "reply_ttl": None if self.ttl is None else float(self.ttl),
        }
        if self.rtts_s:
            found["rtt_seconds"] = sum(self.rtts_s) / len(self.rtts_s)
            found["rtt_min_seconds"], found["rtt_max_seconds"] = min(self.rtts_s), max(self.rtts_s)
        return {name: value for name, value in found.items() if value is not None}


@dataclass(slots=True, eq=False)
class _Round:
    """A burst under way; it puts itself into ``finished`` when nothing more can come of it."""

    end: FarEnd
    wanted: int
    finished: asyncio.Queue[_Round]
    sent: int = 0
    duplicates: int = 0
    garbled: int = 0
    rtts_s: dict[int, float] = field(default_factory=dict)
    forward_s: list[float] = field(default_factory=list)
    backward_s: list[float] = field(default_factory=list)
    ttl: int | None = None
    error: str = ""
    keys: list[tuple[FarEnd, int]] = field(default_factory=list)

    def result(self) -> Burst:
        return Burst(
            sent=self.sent,
            duplicates=self.duplicates,
            garbled=self.garbled,
            rtts_s=tuple(self.rtts_s[key] for key in sorted(self.rtts_s)),
            forward_s=min(self.forward_s, default=None),
            backward_s=min(self.backward_s, default=None),
            ttl=self.ttl,
            error=self.error,
        )


@dataclass(frozen=True, slots=True)
class _Shot:
    round: _Round
    number: int
    token: bytes
    at: float
    monotonic: float


class EchoSocket:
    """A socket that measures many far ends at a time; made on a running event loop."""

    def __init__(self, sock: socket.socket, codec: Codec, clock: Clock) -> None:
        """Own ``sock`` (a datagram or raw socket) from now on."""
        self.ignored = 0
        self._sock = sock
        self._codec = codec
        self._clock = clock
        self._next: dict[FarEnd, int] = {}
        self._shots: dict[tuple[FarEnd, int], _Shot] = {}
        self._rounds: dict[FarEnd, set[_Round]] = {}
        sock.settimeout(0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock, self._read)

    def close(self) -> None:
        """Close the socket."""
        self._loop.remove_reader(self._sock)
        self._sock.close()

    async def measure(
        self, ends: Iterable[FarEnd], *, count: int, spacing_s: float, within_s: float
    ) -> AsyncIterator[tuple[FarEnd, Burst]]:
        """Send ``count`` probes to each far end, ``spacing_s`` apart, and yield each burst when it is complete.

        What is not complete after ``within_s`` is yielded as it stands: what did not come back is lost.
        """
        end_at = self._clock.monotonic() + within_s
        finished: asyncio.Queue[_Round] = asyncio.Queue()
        rounds = [_Round(end, count, finished) for end in ends]
        numeric = [one for one in rounds if _is_numeric(one.end.address)]
        named = [one for one in rounds if not _is_numeric(one.end.address)]
        senders = [asyncio.create_task(self._send([(one, one.end) for one in numeric], spacing_s))]
        senders += [asyncio.create_task(self._send_by_name(one, spacing_s)) for one in named]
        left = set(rounds)
        try:
            while left:
                try:
                    done = await asyncio.wait_for(finished.get(), max(0.0, end_at - self._clock.monotonic()))
                except TimeoutError:
                    done = next(iter(left))
                if done in left:
                    left.remove(done)
                    yield done.end, self._close(done)
        finally:
            for sender in senders:
                sender.cancel()
            await asyncio.gather(*senders, return_exceptions=True)
            for one in rounds:
                self._close(one)

    def _close(self, one: _Round) -> Burst:
        for key in one.keys:
            self._shots.pop(key, None)
            self._rounds[key[0]].discard(one)
        return one.result()

    # -- sending ----------------------------------------------------------------------------------------------------

    async def _send(self, rounds: Sequence[tuple[_Round, FarEnd]], spacing_s: float) -> None:
        for number in range(max((one.wanted for one, _ in rounds), default=0)):
            if number:
                await self._clock.sleep(spacing_s)
            for index, (one, peer) in enumerate(rounds, 1):
                if not self._shoot(one, peer, number):
                    await self._clock.sleep(FULL_BUFFER_WAIT_S)
                    if not self._shoot(one, peer, number):
                        one.error = one.error or "this machine's send buffer is full"
                if index % SEND_BATCH == 0:
                    await self._clock.sleep(BATCH_GAP_S)
        for one, _ in rounds:
            if one.error and not one.sent:
                one.finished.put_nowait(one)

    async def _send_by_name(self, one: _Round, spacing_s: float) -> None:
        try:
            found = await self._loop.getaddrinfo(one.end.address, one.end.port, family=socket.AF_INET)
        except (socket.gaierror, UnicodeError) as error:
            one.error = f"no IPv4 address: {error}"
            one.finished.put_nowait(one)
            return
        await self._send([(one, FarEnd(str(found[0][4][0]), one.end.port))], spacing_s)

    def _shoot(self, one: _Round, peer: FarEnd, number: int) -> bool:
        """Send one probe; False when the send buffer is full."""
        sequence = self._next.get(peer, 0)
        at, monotonic = self._clock.now(), self._clock.monotonic()
        packet, token = self._codec.encode(sequence, at)
        try:
            self._sock.sendto(packet, (peer.address, peer.port))
        except BlockingIOError:
            return False
        except OSError as error:
            one.error = f"cannot be sent: {error.strerror}"
            return True
        self._next[peer] = (sequence + 1) % self._codec.sequence_limit
        self._shots[peer, sequence] = _Shot(one, number, token, at, monotonic)
        self._rounds.setdefault(peer, set()).add(one)
        one.keys.append((peer, sequence))
        one.sent += 1
        return True

    # -- receiving --------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        for _ in range(READ_BATCH):
            try:
                packet, extra, _flags, source = self._sock.recvmsg(PACKET_LIMIT_BYTES, 256)
            except BlockingIOError:
                return
            except OSError:
                self.ignored += 1  # an ICMP error about an earlier probe: that probe stays unanswered
                continue
            received_at, ttl = _notes(extra)
            self._take(packet, FarEnd(source[0], source[1]), received_at, ttl)

    def _take(self, packet: bytes, source: FarEnd, received_at: float | None, ttl: int | None) -> None:
        try:
            reply = self._codec.decode(packet)
        except ValueError:
            self.ignored += 1
            for one in self._rounds.get(source, ()):
                one.garbled += 1
            return
        if reply is None:
            return
        shot = self._shots.get((source, reply.sequence))
        if shot is None or shot.token != reply.token:
            self.ignored += 1
            return
        one = shot.round
        if shot.number in one.rtts_s:
            one.duplicates += 1
            return
        elapsed = self._clock.monotonic() - shot.monotonic
        raw = (received_at if received_at is not None else self._clock.now()) - shot.at
        if not 0 <= raw <= elapsed + 1e-4:
            raw, received_at = elapsed, None  # the wall clock was set meanwhile
        held = reply.held_s if 0 <= reply.held_s <= raw else 0.0
        one.rtts_s[shot.number] = raw - held
        one.ttl = ttl
        if received_at is not None and reply.arrived_s is not None and reply.left_s is not None:
            forward, backward = reply.arrived_s, raw - reply.left_s
            if forward >= 0 and backward >= 0:
                one.forward_s.append(forward)
                one.backward_s.append(backward)
        if len(one.rtts_s) == one.wanted:
            one.finished.put_nowait(one)


def _is_numeric(address: str) -> bool:
    try:
        ipaddress.IPv4Address(address)
    except ValueError:
        return False
    return True


def _notes(extra: Iterable[tuple[int, int, bytes]]) -> tuple[float | None, int | None]:
    """Return the kernel's receive time (Unix seconds) and the packet's TTL, where it gave them."""
    received_at, ttl = None, None
    for level, kind, data in extra:
        if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS) and len(data) >= TIMESPEC.size:
            seconds, nanoseconds = TIMESPEC.unpack_from(data)
            received_at = seconds + nanoseconds / 1e9
        elif (level, kind) == (socket.IPPROTO_IP, socket.IP_TTL) and len(data) >= INT.size:
            ttl = INT.unpack_from(data)[0]
    return received_at, ttl
