"""One socket, many far ends: probes paced out, replies gathered with the kernel's time stamps, round trips summed up.

Knows no protocol: a codec writes the packets and reads the replies (``monitor.clients.stamp``, ``.icmp``). What a loss
or a delay means is judged elsewhere. IPv4.

No probe is sent so late that its reply would have no time; a reply after its burst is counted as late, and never as the
reply to another probe. What this machine itself threw away is said (``Burst.unread``), not counted as lost.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import socket
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from monitor.burst import Burst, Numbering
from monitor.datagrams import BATCH, Datagrams, place

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from monitor.clock import Clock

READ_BATCHES = 8
SEND_BATCH = 32
BATCH_GAP_S = 0.002
FULL_BUFFER_WAIT_S = 0.01
FULL_BUFFER_TRIES = 20
SEND_SHARE = 0.6  # of the time for a burst; what is sent has at least the rest of it to come back
LATE_S = 30.0  # so long a reply is known as a late one
WRONG_CLOCK_S = 1e-4


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
    went; None unless it says that its clock is synchronized. ``number`` is its own number of the reply, None where the
    protocol has none.
    """

    sequence: int
    token: bytes
    held_s: float = 0.0
    arrived_s: float | None = None
    left_s: float | None = None
    number: int | None = None


class Codec(Protocol):
    """How a protocol writes a probe and reads its reply; ``skips_one``: the second number of a far end is not used."""

    sequence_limit: int
    skips_one: bool

    def encode(self, sequence: int, at: float) -> tuple[bytes, bytes]:
        """Return the packet sent at ``at`` (Unix seconds), and the token that its reply must carry."""
        ...

    def decode(self, packet: bytes) -> Reply | None:
        """Return the reply, or None for a packet that is meant for others. Raises ValueError for garbage."""
        ...


@dataclass(slots=True, eq=False)
class _Peer:
    """What is remembered of a far end between bursts."""

    place: bytes
    next: int = 0
    rounds: int = 0
    shots: dict[int, _Shot] = field(default_factory=dict)
    late: int = 0
    doubles: int = 0
    garbled: int = 0
    numbering: Numbering = field(default_factory=Numbering)


@dataclass(slots=True, eq=False)
class _Round:
    """A burst under way; it puts itself into ``finished`` when nothing more can come of it."""

    end: FarEnd
    wanted: int
    finished: asyncio.Queue[_Round]
    peer: _Peer | None = None
    sent: int = 0
    rtts_s: dict[int, float] = field(default_factory=dict)
    forward_s: list[float] = field(default_factory=list)
    backward_s: list[float] = field(default_factory=list)
    ttl: int | None = None
    error: str = ""
    closed: bool = False
    sequences: list[int] = field(default_factory=list)

    def result(self, *, unread: bool) -> Burst:
        """Sum up, and take what the far end is known by since the burst before."""
        peer = self.peer or _Peer(b"")
        late, peer.late = peer.late, 0
        doubles, peer.doubles = peer.doubles, 0
        garbled, peer.garbled = peer.garbled, 0
        return Burst(
            sent=self.sent,
            duplicates=doubles,
            garbled=garbled,
            rtts_s=tuple(self.rtts_s[key] for key in sorted(self.rtts_s)),
            forward_s=min(self.forward_s, default=None),
            backward_s=min(self.backward_s, default=None),
            ttl=self.ttl,
            error=self.error,
            late=late,
            lost=None if unread else peer.numbering.count(),
            unread=unread,
        )


class _Shot:
    """One probe: whose, which of the burst, what its reply must carry, when it went."""

    __slots__ = ("answered", "at", "monotonic", "number", "round", "token")

    def __init__(self, one: _Round, number: int, token: bytes, at: float, monotonic: float) -> None:
        self.round = one
        self.number = number
        self.token = token
        self.at = at
        self.monotonic = monotonic
        self.answered = False


class EchoSocket:
    """A socket that measures many far ends at a time; made on a running event loop."""

    def __init__(self, sock: socket.socket, codec: Codec, clock: Clock) -> None:
        """Own ``sock`` (a datagram or raw socket) from now on."""
        self.ignored = 0
        self._sock = sock
        self._wire = Datagrams(sock)
        self._codec = codec
        self._clock = clock
        self._peers: dict[bytes, _Peer] = {}
        self._past: deque[tuple[float, _Peer, list[int]]] = deque()
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

        What is not complete after ``within_s`` is yielded as it stands: what did not come back is lost. Where there is
        no time for all of them, fewer probes are sent.
        """
        begun = self._clock.monotonic()
        self._forget(begun)
        dropped = self._wire.dropped()
        finished: asyncio.Queue[_Round] = asyncio.Queue()
        rounds = [_Round(end, count, finished) for end in ends]
        numeric = [one for one in rounds if _is_numeric(one.end.address)]
        named = [one for one in rounds if not _is_numeric(one.end.address)]
        for one in numeric:
            self._meet(one, one.end.address)
        until = begun + SEND_SHARE * within_s
        senders = [asyncio.create_task(self._send(numeric, spacing_s, until))]
        senders += [asyncio.create_task(self._send_by_name(one, spacing_s, until)) for one in named]
        left = dict.fromkeys(rounds)
        try:
            while left:
                try:
                    wait_s = max(0.0, begun + within_s - self._clock.monotonic())
                    done = finished.get_nowait() if finished.qsize() else await asyncio.wait_for(finished.get(), wait_s)
                except TimeoutError:
                    self._read()  # what is here already came in time, however busy this process is
                    done = finished.get_nowait() if finished.qsize() else next(iter(left))
                if done in left:
                    del left[done]
                    yield done.end, self._close(done, dropped)
        finally:
            for sender in senders:
                sender.cancel()
            for one in left:
                self._close(one, dropped)
            await asyncio.gather(*senders, return_exceptions=True)

    def _meet(self, one: _Round, address: str) -> None:
        where = place(address, one.end.port)
        peer = one.peer = self._peers.setdefault(where, _Peer(where))
        peer.rounds += 1
        peer.shots = {key: shot for key, shot in peer.shots.items() if not (shot.answered and shot.round.closed)}

    def _close(self, one: _Round, dropped: int) -> Burst:
        """End a burst; its probes are known for a while, so that what comes late is known as late."""
        one.closed = True
        if one.peer is not None:
            one.peer.rounds -= 1
            self._past.append((self._clock.monotonic() + LATE_S, one.peer, one.sequences))
        missing = one.sent > len(one.rtts_s)
        return one.result(unread=missing and self._wire.dropped() != dropped)

    def _forget(self, now: float) -> None:
        """Drop the probes whose reply nobody would know any more."""
        while self._past and self._past[0][0] <= now:
            _, peer, sequences = self._past.popleft()
            for sequence in sequences:
                peer.shots.pop(sequence, None)
            if not peer.shots and not peer.rounds:
                self._peers.pop(peer.place, None)

    # -- sending ----------------------------------------------------------------------------------------------------

    async def _send(self, rounds: Sequence[_Round], spacing_s: float, until: float) -> None:
        clock = self._clock
        for number in range(max((one.wanted for one in rounds), default=0)):
            if number:
                await clock.sleep(spacing_s)
            for index, one in enumerate(rounds, 1):
                await self._shoot_surely(one, number)
                if index % SEND_BATCH == 0:
                    await clock.sleep(BATCH_GAP_S)
                    if number and clock.monotonic() > until:
                        break
            if clock.monotonic() > until:
                break
        for one in rounds:
            one.wanted = one.sent
            if len(one.rtts_s) == one.sent and not one.closed:
                one.finished.put_nowait(one)

    async def _shoot_surely(self, one: _Round, number: int) -> None:
        for _ in range(FULL_BUFFER_TRIES):
            if one.closed or self._shoot(one, number):
                return
            await self._clock.sleep(FULL_BUFFER_WAIT_S)
        one.error = one.error or "this machine's send buffer is full"

    async def _send_by_name(self, one: _Round, spacing_s: float, until: float) -> None:
        try:
            found = await self._loop.getaddrinfo(one.end.address, one.end.port, family=socket.AF_INET)
        except (socket.gaierror, UnicodeError) as error:
            one.error = f"no IPv4 address: {error}"
            one.finished.put_nowait(one)
            return
        if one.closed:
            return
        self._meet(one, str(found[0][4][0]))
        await self._send([one], spacing_s, until)

    def _shoot(self, one: _Round, number: int) -> bool:
        """Send one probe; False when the send buffer is full."""
        peer = one.peer
        if peer is None:
            return True
        sequence = peer.next
        at, monotonic = self._clock.now(), self._clock.monotonic()
        packet, token = self._codec.encode(sequence, at)
        failure = self._wire.send(packet, peer.place)
        if failure:
            if failure in (errno.EAGAIN, errno.ENOBUFS):
                return False
            one.error = f"cannot be sent: {os.strerror(failure)}"
            return True
        peer.next = (sequence + (2 if sequence == 0 and self._codec.skips_one else 1)) % self._codec.sequence_limit
        peer.shots[sequence] = _Shot(one, number, token, at, monotonic)
        one.sequences.append(sequence)
        one.sent += 1
        return True

    # -- receiving --------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        for _ in range(READ_BATCHES):
            count = 0
            try:
                for packet, source, received_at, ttl in self._wire.receive():
                    count += 1
                    self._take(packet, source, received_at, ttl)
            except OSError:
                self.ignored += 1  # an ICMP error about an earlier probe: that probe stays unanswered
                continue
            if count < BATCH:
                return

    def _take(self, packet: bytes, source: bytes, received_at: float | None, ttl: int | None) -> None:
        peer = self._peers.get(source)
        if peer is None:
            self.ignored += 1
            return
        try:
            reply = self._codec.decode(packet)
        except ValueError:
            self.ignored += 1
            peer.garbled += 1
            return
        if reply is None:
            return
        shot = peer.shots.get(reply.sequence)
        if shot is None or shot.token != reply.token:
            self.ignored += 1
            return
        if reply.number is not None:
            peer.numbering.take(reply.sequence, reply.number)
        if shot.answered:
            peer.doubles += 1
            return
        shot.answered = True
        if shot.round.closed:
            peer.late += 1
            return
        self._time(shot, reply, received_at, ttl)

    def _time(self, shot: _Shot, reply: Reply, received_at: float | None, ttl: int | None) -> None:
        """Take in the times of a reply that came in time."""
        one = shot.round
        elapsed = self._clock.monotonic() - shot.monotonic
        raw = (received_at if received_at is not None else self._clock.now()) - shot.at
        if not 0 <= raw <= elapsed + WRONG_CLOCK_S:
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
