"""A machine behind SSH (RFC 4251…4254): one public key may log in, and only to run a command; no shell, no forwarding.

The protocol is asyncssh's. Its bytes pass through a relay of ours, so that a host can die or hang as a machine does:
below SSH, without a goodbye. When ``change-host-key`` comes or goes the host drops its connections, like one that was
installed anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import socket
from functools import partial

import asyncssh

from lab.identity import Identity
from lab.plan import HostPlan
from lab.scenario import Estate, Server
from lab.servers.host_commands import READS_INPUT, USAGE, Outcome, run
from lab.servers.listener import TcpListener

CHUNK_BYTES = 65_536
LOGIN_S = 20.0


def servers(estate: Estate, identity: Identity) -> list[Server]:
    """Build the SSH hosts of the inventory."""
    return [SshHost(estate, identity, plan) for plan in estate.plan.hosts.values()]


class SshHost:
    """One host."""

    def __init__(self, estate: Estate, identity: Identity, plan: HostPlan) -> None:
        self._estate = estate
        self._plan = plan
        self._authorized = asyncssh.import_public_key(identity.authorized_key(plan.key))
        self._own_key = asyncssh.import_private_key(identity.host_key(plan.key))
        self._other_key = asyncssh.import_private_key(identity.other_host_key(plan.key))
        self._other_key_shown = False
        self._listener = TcpListener(plan.address, plan.port, self._converse, partial(estate.host_presence, plan.key))

    async def start(self) -> None:
        """Begin to follow the truth. Raises ``OSError`` when the port cannot be bound."""
        await self._listener.start()

    async def stop(self) -> None:
        """Close the port and every connection."""
        await self._listener.stop()

    def refresh(self) -> None:
        """Become what the truth says now."""
        changed = self._estate.faults.active("change-host-key", self._plan.key)
        if changed is not self._other_key_shown:
            self._other_key_shown = changed
            self._listener.drop_connections()
        self._listener.refresh()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Relay between the client and asyncssh until one of them has enough."""
        outside, inside = socket.socketpair()
        relay_reader, relay_writer = await asyncio.open_connection(sock=outside)
        speaking = [
            asyncio.create_task(_pump(reader, relay_writer)),
            asyncio.create_task(_pump(relay_reader, writer)),
            asyncio.create_task(self._speak(inside)),
        ]
        try:
            await asyncio.wait(speaking[:2], return_when=asyncio.FIRST_COMPLETED)
        finally:
            relay_writer.transport.abort()
            for task in speaking[:2]:
                task.cancel()
            await asyncio.gather(*speaking, return_exceptions=True)

    async def _speak(self, inside: socket.socket) -> None:
        """Serve SSH on one end of the relay until it closes."""
        key = self._other_key if self._other_key_shown else self._own_key
        try:
            connection = await asyncssh.run_server(
                inside,
                server_factory=partial(_Doorkeeper, self._plan.user, self._authorized),
                process_factory=self._perform,
                server_host_keys=[key],
                password_auth=False,
                kbdint_auth=False,
                allow_pty=False,
                agent_forwarding=False,
                login_timeout=LOGIN_S,
            )
            await connection.wait_closed()
        except (asyncssh.Error, OSError):
            inside.close()  # the client left, or could not log in

    async def _perform(self, process: asyncssh.SSHServerProcess[str]) -> None:
        outcome = await self._outcome(process)
        process.stdout.write(outcome.output)
        process.stderr.write(outcome.errors)
        process.exit(outcome.status)

    async def _outcome(self, process: asyncssh.SSHServerProcess[str]) -> Outcome:
        command = process.command
        if not command:
            return Outcome(USAGE, errors="this host runs single commands only\n")
        slow = self._estate.faults.get("slow-host", self._plan.key)
        if slow is not None:
            await asyncio.sleep(slow.number("seconds"))
        try:
            words = shlex.split(command)
        except ValueError as error:
            return Outcome(USAGE, errors=f"the command line cannot be read: {error}\n")
        if not words:
            return Outcome()
        given = await process.stdin.read() if words[0] in READS_INPUT else ""
        return run(self._estate, self._plan.key, words, given)


class _Doorkeeper(asyncssh.SSHServer):
    """Lets in one user with one key."""

    def __init__(self, user: str, key: asyncssh.SSHKey) -> None:
        self._user = user
        self._key = key

    def begin_auth(self, username: str) -> bool:  # noqa: ARG002 - asyncssh's signature; whoever it is must prove it
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return username == self._user and key == self._key


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):  # the other side is gone
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
