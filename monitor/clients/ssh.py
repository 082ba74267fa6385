"""Commands on hosts by SSH (RFC 4251-4254) through paramiko: kept connections, pinned host keys, hard deadlines.

Leaves to others what a command means and whether it may be repeated. paramiko blocks, so every command has a thread
of a bounded pool; a host that hangs can hold only its own few of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shlex
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from paramiko.pkey import UnknownKeyType

from monitor.clients.ssh_wire import SLICE_S, Acknowledged, ReadAhead, pump
from monitor.errors import CredentialError, DeadlineExceeded, Refused, SessionLost, Unreachable, Untrusted
from monitor.knownhosts import KnownKey, distrust, host_name, known_keys
from monitor.output import Output, relay

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from monitor.clock import Clock
    from monitor.credential import Credentials
    from monitor.inventory.equipment import SshHost

KEEPALIVE_S = 15.0
# How often a kept connection's thread looks up from its socket, also for the keep-alive. paramiko's own tenth of a
# second made a hundred idle connections cost more processor than the commands on them.
LOOK_UP_S = 2.0
UNACKNOWLEDGED_LIMIT_MS = 30_000  # so that a write to a dead host cannot block a thread for ever

# paramiko prints tracebacks for what is raised here as a typed error.
WIRE_LOG = "monitor.clients.ssh.wire"
logging.getLogger(WIRE_LOG).setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class SshResult:
    """What a command printed and its exit status (0..255).

    Output is decoded as UTF-8 with replacement; what came after the first 4 MiB is only counted, in ``dropped_bytes``.
    """

    exit_status: int
    stdout: str
    stderr: str
    elapsed_s: float
    dropped_bytes: int = 0


class _Deadline:
    """A moment of the monotonic clock, and a flag by which the waiting coroutine gives up earlier."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.seconds = seconds
        self.given_up = threading.Event()
        self._clock = clock
        self._end = clock.monotonic() + seconds

    def left(self) -> float:
        return 0.0 if self.given_up.is_set() else max(0.0, self._end - self._clock.monotonic())


def private_key(credentials: Credentials, reference: str) -> paramiko.PKey:
    """Return the private key that ``reference`` names. Raises CredentialError."""
    path = credentials.path(reference)
    try:
        return paramiko.PKey.from_path(path)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm, paramiko.SSHException, UnknownKeyType) as e:
        # Only the kind of the error: its text could quote the file.
        raise CredentialError(f"credential '{reference}' is not a usable private key: {type(e).__name__}") from e


class _Line:
    """One live connection and how many commands use it."""

    def __init__(self, transport: paramiko.Transport) -> None:
        self.transport = transport
        self.users = 0
        self.retired = False

    def close(self) -> None:
        """End the connection, and its thread at once: that sits in a read."""
        with contextlib.suppress(OSError):  # the other side was faster
            self.transport.sock.shutdown(socket.SHUT_RDWR)
        self.transport.close()


class _Session:
    """The kept connection to one host, shared by the worker threads that run commands there."""

    def __init__(self, host: SshHost, credentials: Credentials, known_hosts: Path) -> None:
        self.where = f"{host.user}@{host.address}:{host.port}"
        self._host = host
        self._credentials = credentials
        self._known_hosts = known_hosts
        self._connecting = threading.Lock()
        self._books = threading.Lock()  # guards _line and the counts in it; never held while waiting
        self._line: _Line | None = None

    def channel(self, deadline: _Deadline) -> tuple[_Line, paramiko.Channel]:
        """Return an open channel and its line, for which ``release`` must be called. Nothing has been run yet.

        A kept connection that proves dead is replaced once. Raises Unreachable, Refused, Untrusted, CredentialError.
        """
        kept = self._take()
        if kept is not None:
            try:
                # Half, so that a connection that died silently leaves time for a new one.
                return kept, kept.transport.open_session(timeout=deadline.left() / 2)
            except (paramiko.SSHException, EOFError, OSError):
                self.release(kept, retire=True)
        line = self._take_new(deadline)
        try:
            return line, line.transport.open_session(timeout=deadline.left())
        except paramiko.ChannelException as error:
            self.release(line)
            raise Refused(f"{self.where}: the host lets us log in but opens no session ({error.text})") from error
        except (paramiko.SSHException, EOFError, OSError) as error:
            self.release(line, retire=True)
            raise Unreachable(f"{self.where}: no session after log-in: {_said(error)}") from error

    def release(self, line: _Line, *, retire: bool = False) -> None:
        """Give back a line; a retired one takes no new commands and is closed when its last command ends."""
        with self._books:
            line.users -= 1
            line.retired |= retire
            if line.retired and self._line is line:
                self._line = None
            unused = line.retired and line.users == 0
        if unused:
            line.close()

    def close(self) -> None:
        """Cut the connection; running commands end with SessionLost."""
        with self._books:
            line, self._line = self._line, None
        if line is not None:
            line.retired = True
            line.close()

    def _take(self) -> _Line | None:
        with self._books:
            if self._line is not None and self._line.transport.is_active():
                self._line.users += 1
                return self._line
            return None

    def _take_new(self, deadline: _Deadline) -> _Line:
        if not self._connecting.acquire(timeout=deadline.left()):
            raise Unreachable(f"{self.where}: no connection within {deadline.seconds:g} s")
        try:
            made_meanwhile = self._take()
            if made_meanwhile is not None:
                return made_meanwhile
            line = _Line(self._connect(deadline))
            line.users = 1
            with self._books:
                self._line = line
            return line
        finally:
            self._connecting.release()

    def _connect(self, deadline: _Deadline) -> paramiko.Transport:
        host = self._host
        name = host_name(host.address, host.port)
        known = known_keys(self._known_hosts, name)
        key = private_key(self._credentials, host.credential)
        try:
            sock = socket.create_connection((host.address, host.port), timeout=max(deadline.left(), 0.001))
        except OSError as error:
            raise Unreachable(f"{self.where}: {_said(error)}") from error
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_LIMIT_MS)
        wire = ReadAhead(fileno=sock.detach())
        transport = None
        try:
            transport = paramiko.Transport(wire)
            self._log_in(transport, name, known, key, deadline)
        except BaseException:
            if transport is not None:
                transport.close()
            wire.close()
            raise
        transport.set_keepalive(KEEPALIVE_S)
        wire.settimeout(LOOK_UP_S)
        return transport

    def _log_in(
        self,
        transport: paramiko.Transport,
        name: str,
        known: tuple[KnownKey, ...],
        key: paramiko.PKey,
        deadline: _Deadline,
    ) -> None:
        transport.set_log_channel(WIRE_LOG)
        options = transport.get_security_options()
        wanted = {algorithm for host_key in known for algorithm in host_key.algorithms}
        options.key_types = sorted(options.key_types, key=lambda algorithm: algorithm not in wanted)
        # One operation a packet instead of two (cipher and MAC); both are as strong.
        options.ciphers = sorted(options.ciphers, key=lambda algorithm: "gcm" not in algorithm)
        transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = max(deadline.left(), 0.001)
        try:
            transport.start_client(timeout=deadline.left())
            offered = transport.get_remote_server_key()
        except (paramiko.SSHException, EOFError, OSError) as error:
            late = f"no SSH greeting within {deadline.seconds:g} s" if deadline.left() == 0 else _said(error)
            raise Unreachable(f"{self.where}: {late}") from error
        if doubt := distrust(name, known, offered.asbytes()):
            raise Untrusted(doubt)
        transport.auth_timeout = max(deadline.left(), 0.001)
        try:
            wants_more = transport.auth_publickey(self._host.user, key)
        except paramiko.AuthenticationException as error:
            if deadline.left() == 0 or not transport.is_active():
                raise Unreachable(f"{self.where}: the connection ended during log-in") from error
            shown = f"key {key.fingerprint} (credential '{self._host.credential}')"
            raise Refused(f"{self.where}: log-in refused: the host does not accept {shown} for this user") from error
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise Unreachable(f"{self.where}: log-in failed: {_said(error)}") from error
        if wants_more:
            raise Refused(f"{self.where}: the host wants more than a key: {', '.join(wants_more)}")


def _said(error: BaseException) -> str:
    text = str(error.strerror) if isinstance(error, OSError) and error.strerror else str(error)
    return "".join(c if c.isprintable() else " " for c in text)[:200] or type(error).__name__


class SshPool:
    """Runs commands on hosts; one connection a host, a few commands at a time on each.

    ``known_hosts`` is read at each new connection, so that a corrected file works at once.
    """

    def __init__(
        self, credentials: Credentials, known_hosts: Path, clock: Clock, *, threads: int = 16, per_host: int = 4
    ) -> None:
        """Use at most ``threads`` threads, and at most ``per_host`` of them for one host."""
        self._credentials = credentials
        self._known_hosts = known_hosts
        self._clock = clock
        self._per_host = per_host
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="ssh")
        self._slots = asyncio.Semaphore(threads)
        self._host_slots: dict[SshHost, asyncio.Semaphore] = {}
        self._sessions: dict[SshHost, _Session] = {}
        self._running: set[_Deadline] = set()

    async def run(
        self,
        host: SshHost,
        argv: Sequence[str] | str,
        *,
        timeout_s: float,
        stdin: bytes = b"",
        on_line: Callable[[str, str], None] | None = None,
        on_sent: Callable[[], None] = lambda: None,
    ) -> SshResult:
        """Run a command and return its result, whatever its exit status.

        ``argv`` is quoted for the remote shell; a str is sent as it is. ``on_line(stream, line)`` is called on the
        event loop for each line as it comes (stream: ``stdout`` or ``stderr``), always before ``run`` returns;
        ``on_sent()`` in a worker's thread, the moment before the command is sent over an open connection.
        Raises, with the command not run: Unreachable, Untrusted, Refused, CredentialError; with its effect unknown:
        DeadlineExceeded, SessionLost. It is never sent twice.
        """
        command = argv if isinstance(argv, str) else shlex.join(argv)
        deadline = _Deadline(self._clock, timeout_s)
        session = self._sessions.setdefault(host, _Session(host, self._credentials, self._known_hosts))
        host_slot = self._host_slots.setdefault(host, asyncio.Semaphore(self._per_host))
        await self._slot(host_slot, session, deadline)
        try:
            await self._slot(self._slots, session, deadline)
        except BaseException:
            host_slot.release()
            raise
        loop = asyncio.get_running_loop()
        output = Output(relay(loop, on_line))
        self._running.add(deadline)
        work = partial(self._perform, session, command, stdin, output, deadline, on_sent)
        future = loop.run_in_executor(self._executor, work)

        def give_back(done: asyncio.Future[SshResult]) -> None:
            # When the thread ends, which after a cancellation is later than the coroutine.
            self._running.discard(deadline)
            self._slots.release()
            host_slot.release()
            if not done.cancelled():
                done.exception()

        future.add_done_callback(give_back)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            deadline.given_up.set()
            raise

    async def close(self) -> None:
        """End what runs and close every connection."""
        for deadline in self._running:
            deadline.given_up.set()
        await asyncio.gather(*(asyncio.to_thread(session.close) for session in self._sessions.values()))
        await asyncio.to_thread(self._executor.shutdown, cancel_futures=True)
        await asyncio.gather(*(asyncio.to_thread(session.close) for session in self._sessions.values()))

    @staticmethod
    async def _slot(slot: asyncio.Semaphore, session: _Session, deadline: _Deadline) -> None:
        try:
            async with asyncio.timeout(deadline.left()):
                await slot.acquire()
        except TimeoutError as error:
            busy = f"not sent within {deadline.seconds:g} s: earlier commands still hold every slot"
            raise Unreachable(f"{session.where}: {busy}") from error

    def _perform(
        self,
        session: _Session,
        command: str,
        stdin: bytes,
        output: Output,
        deadline: _Deadline,
        on_sent: Callable[[], None],
    ) -> SshResult:
        """Run in a worker thread."""
        started = self._clock.monotonic()
        line, channel = session.channel(deadline)
        try:
            on_sent()
            _start(session.where, line, channel, command, deadline)
            pump(channel, stdin, output, deadline.left)
            while deadline.left() and not channel.status_event.wait(min(SLICE_S, deadline.left())):
                pass
            if not channel.exit_status_ready():
                late = f"no result within {deadline.seconds:g} s; whether the command took effect is not known"
                raise DeadlineExceeded(f"{session.where}: {late}")
            if channel.exit_status < 0:
                lost = "the command ended without an exit status (killed, or the connection was lost)"
                raise SessionLost(f"{session.where}: {lost}")
        finally:
            channel.close()
            session.release(line)
        output.finish()
        return SshResult(
            exit_status=channel.exit_status,
            stdout=output.text("stdout"),
            stderr=output.text("stderr"),
            elapsed_s=self._clock.monotonic() - started,
            dropped_bytes=output.dropped_bytes,
        )


def _start(where: str, line: _Line, channel: paramiko.Channel, command: str, deadline: _Deadline) -> None:
    """Send the command and wait until the host has taken it."""
    channel.event = Acknowledged(channel, deadline.left)
    try:
        channel.exec_command(command)
    except (paramiko.SSHException, EOFError, OSError) as error:
        if deadline.left() == 0:
            raise DeadlineExceeded(f"{where}: the command was not acknowledged in {deadline.seconds:g} s") from error
        if line.transport.is_active():
            raise Refused(f"{where}: the host refuses to run this command") from error
        raise SessionLost(f"{where}: the connection was lost as the command was sent: {_said(error)}") from error
