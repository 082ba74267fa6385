"""The clients that belong to no probe: the recovery half's own, and the notifier's; made, renewed by a reload, closed.

A client stays for as long as what it was made of stays: address, user, the secret's content, the CA. One that is
replaced is closed once no run is under way that may still use it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from console.files import Files
from dr.backups.catalog import Backup, newest_kept
from dr.loss import NOT_SEEN, Loss
from dr.proof import Proof
from dr.readiness.lights import Readiness
from dr.world import Marker, World
from monitor.clients import ansible
from monitor.clients.http import HttpClient
from monitor.clients.redfish import RedfishClient
from monitor.clients.ssh import SshPool
from monitor.clients.vsphere import VcenterSession
from monitor.clock import Clock
from monitor.credential import Credentials
from monitor.inventory.vcenters import Vcenter
from monitor.status.votes import Poll

log = logging.getLogger(__name__)

VCENTER_DEADLINE_S = 5.0
LONGEST_CLOSE_S = 5.0


class Closing(Protocol):
    """Anything that is closed in the end."""

    async def close(self) -> None:
        """Give back what it holds."""
        ...


C = TypeVar("C", bound=Closing)


@dataclass(frozen=True, slots=True)
class Made:
    """What ``Clients.make`` returned: the world, the notifier's client, and all clients with what each is made of."""

    world: World
    notices: HttpClient
    parts: Mapping[str, tuple[Hashable, Closing]]


async def _closed(client: Closing) -> None:
    try:
        async with asyncio.timeout(LONGEST_CLOSE_S):
            await client.close()
    except Exception:  # what cannot be closed must not keep the others open: the border of the closing
        log.exception("a %s did not close", type(client).__name__)


class Clients:
    """Owns the clients. ``make`` first, then ``take`` or ``drop`` what was made."""

    def __init__(
        self,
        credentials: Credentials,
        clock: Clock,
        *,
        backups: Callable[[str], Sequence[Backup]],
        isolated: Callable[[], str] = str,
        newest_marker: Callable[[str], Marker | None] = lambda _system: None,
        health: Callable[[str], str] = lambda _subject: "unknown",
        poll: Callable[[str, str], Poll | None] = lambda _system, _site: None,
        observed: Callable[[str], Mapping[str, str]] = lambda _subject: {},
        proof: Callable[[str], Proof | None] = lambda _fingerprint: None,
        expected_loss: Callable[[str, str, str], Loss] = lambda _system, _from_site, _to_site: NOT_SEEN,
        readiness: Callable[[str], Readiness | None] = lambda _system: None,
    ) -> None:
        """Begin with none; the functions are what a World has of these names."""
        self._credentials = credentials
        self._clock = clock
        self._backups = backups
        self._isolated = isolated
        self._newest_marker = newest_marker
        self._health = health
        self._poll = poll
        self._observed = observed
        self._proof = proof
        self._expected_loss = expected_loss
        self._readiness = readiness
        self._parts: Mapping[str, tuple[Hashable, Closing]] = {}
        self._retired: list[Closing] = []

    def make(self, files: Files) -> Made:
        """Return clients for ``files``, new only where they must be. Nothing changes yet. Raises CredentialError.

        The recovery half has clients of its own: a probe that hangs must not hold up a failover.
        """
        ansible.sweep()  # what a daemon before this one may have left
        parts: dict[str, tuple[Hashable, Closing]] = {}

        def kept(name: str, made_of: Hashable, make: Callable[[], C], kind: type[C]) -> C:
            before = self._parts.get(name)
            client = before[1] if before is not None and before[0] == made_of else make()
            parts[name] = (made_of, client)
            if not isinstance(client, kind):
                raise TypeError(f"{name} is a {type(client).__name__}")
            return client

        watched, trust, prints = files.watched, files.watched.trust, files.prints
        ca_file, hosts_file = self._credentials.path(trust.tls_ca), self._credentials.path(trust.known_hosts)
        ca = (str(ca_file), prints[trust.tls_ca])
        hosts = tuple((key, str(host), prints[host.credential]) for key, host in watched.hosts.items())
        ssh_of = (str(hosts_file), prints[trust.known_hosts], hosts)
        with contextlib.ExitStack() as undo:
            undo.callback(self._discard, parts)
            ssh = kept("ssh", ssh_of, lambda: SshPool(self._credentials, hosts_file, self._clock), SshPool)
            http = kept("http", ca, lambda: HttpClient(ca_file, clock=self._clock), HttpClient)
            notices = kept("notices", ca, lambda: HttpClient(ca_file, clock=self._clock), HttpClient)
            vcenters = {
                key: kept(
                    f"vcenter {key}",
                    (ca, str(entry), prints[entry.credential]),
                    lambda entry=entry: self._vcenter(entry, trust.tls_ca),  # type: ignore[misc]  # a lambda with a default
                    VcenterSession,
                )
                for key, entry in watched.vcenters.items()
            }
            undo.pop_all()
        world = World(
            inventory=files.inventory,
            credentials=self._credentials,
            clock=self._clock,
            ssh=ssh,
            vcenters=vcenters,
            http=http,
            redfish=RedfishClient(http),
            newest_backup=lambda system: newest_kept(self._backups(system)),
            backups=self._backups,
            isolated=self._isolated,
            newest_marker=self._newest_marker,
            health=self._health,
            poll=self._poll,
            observed=self._observed,
            proof=self._proof,
            expected_loss=self._expected_loss,
            readiness=self._readiness,
        )
        return Made(world, notices, parts)

    def take(self, made: Made) -> None:
        """Go on with ``made``; what it replaces waits to be closed."""
        before, self._parts = self._parts, made.parts
        stays = {id(client) for _, client in made.parts.values()}
        self._retired += [client for _, client in before.values() if id(client) not in stays]

    def drop(self, made: Made) -> None:
        """Go on as before; what was made for nothing waits to be closed."""
        self._discard(made.parts)

    async def close_retired(self) -> None:
        """Close what was replaced; to be called while nobody can be using it. One that hangs holds nobody up."""
        retired, self._retired = self._retired, []
        await asyncio.gather(*(_closed(client) for client in retired))

    async def close(self) -> None:
        """Close everything."""
        self._retired += [client for _, client in self._parts.values()]
        self._parts = {}
        await self.close_retired()

    def _discard(self, parts: Mapping[str, tuple[Hashable, Closing]]) -> None:
        held = {id(client) for _, client in self._parts.values()}
        self._retired += [client for _, client in parts.values() if id(client) not in held]

    def _vcenter(self, entry: Vcenter, tls_ca: str) -> VcenterSession:
        return VcenterSession(
            entry.address,
            entry.port,
            entry.user,
            self._credentials.secret(entry.credential),
            self._credentials.path(tls_ca),
            deadline_s=VCENTER_DEADLINE_S,
            clock=self._clock,
            datacenter=entry.datacenter,
        )
