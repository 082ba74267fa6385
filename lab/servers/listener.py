"""The life of a listening socket: alive, hanging or dead, as the truth has it at this moment.

Every server of the lab stands on one of the two classes here, so that "the site lost power" means the same to all of
them. ``refresh`` is called whenever the truth changes and acts before it returns: a dead TCP server refuses and
resets, a hanging one is accepted by the kernel and answers nothing (not even the TLS handshake), a dead or hanging UDP
server is silent. What is said over the connection belongs to the servers.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from lab.presence import Presence

Conversation = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Address = tuple[str, int]
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
HANDSHAKE_S = 10.0
BACKLOG = 256
IP_RECVTTL = 12  # Linux's ip(7); Python 3.11 has no name for it
MOST_AT_ONCE = 64  # then the other sockets have their turn
MAX_DATAGRAM_BYTES = 65_535
ANCILLARY_BYTES = socket.CMSG_SPACE(struct.calcsize("i"))


def nobody(_peer: str) -> bool:
    """Refuse nobody."""
    return False


def always_alive() -> Presence:
    """Say that nothing ever happens to this server (the sinks outside both sites)."""
    return Presence.ALIVE


class TcpListener:
    """A TCP server whose connections each run ``serve`` in a task of their own.

    ``serve`` may end by any connection error; the connection is closed when it returns. ``presence`` is asked at the
    start and at every ``refresh``; whom ``refuses`` names is reset. A port of 0 lets the kernel choose; ``port`` then
    tells which.
    """

    def __init__(
        self,
        address: str,
        port: int,
        serve: Conversation,
        presence: Callable[[], Presence] = always_alive,
        tls: ssl.SSLContext | None = None,
        refuses: Callable[[str], bool] = nobody,
    ) -> None:
        self._refuses = refuses
        self.address = address
        self.port = port
        self._serve = serve
        self._presence = presence
        self._tls = tls
        self._running = False
        self._listening: socket.socket | None = None
        self._answering = asyncio.Event()
        self._conversations: set[asyncio.Task[None]] = set()
        self._transports: dict[asyncio.Transport, socket.socket] = {}

    async def start(self) -> None:
        """Begin to follow the truth. Raises ``OSError`` when the address cannot be bound."""
        self._running = True
        self.refresh()

    async def stop(self) -> None:
        """Close the listener, reset every connection and wait until all conversations have ended."""
        self._running = False
        ending = tuple(self._conversations)
        self._die()
        await asyncio.gather(*ending, return_exceptions=True)

    def refresh(self) -> None:
        """Become what the truth says now."""
        if not self._running:
            return
        presence = self._presence()
        if presence is Presence.DEAD:
            self._die()
            return
        if self._listening is None:
            self._listen()
        for transport in tuple(self._transports):
            peer = transport.get_extra_info("peername")  # None once it is lost
            if peer is not None and self._refuses(peer[0]):
                transport.abort()
        if presence is Presence.HANGING:
            self._answering.clear()
            for transport in self._transports:
                transport.pause_reading()
        elif not self._answering.is_set():
            self._answering.set()
            for transport in self._transports:
                transport.resume_reading()

    def _listen(self) -> None:
        listening = socket.create_server((self.address, self.port), backlog=BACKLOG)
        listening.settimeout(0)
        self.port = listening.getsockname()[1]
        self._listening = listening
        asyncio.get_running_loop().add_reader(listening.fileno(), self._accept, listening)

    def _accept(self, listening: socket.socket) -> None:
        try:
            connected, peer = listening.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # the client gave up before we came to it
        if self._refuses(peer[0]):
            _reset(connected)
            return
        connected.settimeout(0)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = asyncio.get_running_loop().create_task(self._converse(connected))
        self._conversations.add(task)
        task.add_done_callback(self._conversations.discard)

    async def _converse(self, connected: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        try:
            await self._answering.wait()
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol,
                connected,
                ssl=self._tls,
                ssl_handshake_timeout=HANDSHAKE_S if self._tls else None,
                ssl_shutdown_timeout=1.0 if self._tls else None,
            )
        except (OSError, asyncio.CancelledError) as error:  # ssl.SSLError is an OSError: a stranger's handshake
            _reset(connected)
            if isinstance(error, asyncio.CancelledError):
                raise
            return
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        self._transports[transport] = connected
        if not self._answering.is_set():
            transport.pause_reading()
        try:
            await self._answering.wait()  # it may have begun to hang during the handshake
            with contextlib.suppress(OSError, EOFError, asyncio.LimitOverrunError):  # the client went away
                await self._serve(reader, writer)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        finally:
            del self._transports[transport]
            if not transport.is_closing():
                transport.abort()

    def _die(self) -> None:
        if self._listening is not None:
            asyncio.get_running_loop().remove_reader(self._listening.fileno())
            self._listening.close()
            self._listening = None
        self._answering.clear()
        self.drop_connections()

    def drop_connections(self) -> None:
        """Reset every open connection; new ones are still accepted."""
        for transport, connected in self._transports.items():
            with contextlib.suppress(OSError):  # it is closed already
                connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            transport.abort()
        for task in tuple(self._conversations):
            task.cancel()


@dataclass(frozen=True, slots=True)
class Datagram:
    """What came in: its bytes, where from, and the IP TTL it arrived with."""

    payload: bytes
    sender: Address
    ttl: int


class UdpListener:
    """A UDP server: ``answer(datagram)`` gives the reply or None. Dead and hanging are both silence.

    The socket stays bound while dead, because a closed one would make the kernel answer "port unreachable", which no
    unpowered machine does.
    """

    def __init__(
        self,
        address: str,
        port: int,
        answer: Callable[[Datagram], bytes | None],
        presence: Callable[[], Presence] = always_alive,
        refuses: Callable[[str], bool] = nobody,
    ) -> None:
        self._refuses = refuses
        self.address = address
        self.port = port
        self._answer = answer
        self._presence = presence
        self._socket: socket.socket | None = None

    async def start(self) -> None:
        """Bind the address. Raises ``OSError`` when it cannot be bound."""
        bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            bound.settimeout(0)
            bound.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
            bound.bind((self.address, self.port))
        except OSError:
            bound.close()
            raise
        self.port = bound.getsockname()[1]
        self._socket = bound
        asyncio.get_running_loop().add_reader(bound.fileno(), self._receive, bound)

    async def stop(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def refresh(self) -> None:
        """Nothing to do: the truth is asked at every datagram."""

    def send(self, payload: bytes, receiver: Address) -> None:
        """Send ``payload`` unless stopped in the meantime (for servers that answer late)."""
        if self._socket is not None:
            with contextlib.suppress(OSError):  # a full buffer loses it, as UDP may
                self._socket.sendto(payload, receiver)

    def _receive(self, bound: socket.socket) -> None:
        for _ in range(MOST_AT_ONCE):
            try:
                payload, ancillary, _, sender = bound.recvmsg(MAX_DATAGRAM_BYTES, ANCILLARY_BYTES)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP error about an earlier reply
            if self._presence() is not Presence.ALIVE or self._refuses(sender[0]):
                continue
            ttl = next(
                (int.from_bytes(value, sys.byteorder) for _, kind, value in ancillary if kind == socket.IP_TTL), 0
            )
            reply = self._answer(Datagram(payload, sender, ttl))
            if reply is not None:
                self.send(reply, sender)


def _reset(connected: socket.socket) -> None:
    """Close a socket so that its peer sees a reset, also when a transport has closed it before."""
    with contextlib.suppress(OSError):
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    connected.close()
