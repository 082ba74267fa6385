"""What actions may touch: the inventory, secrets, and one client for each kind of foreign system."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dr.backups.catalog import Backup
from dr.loss import NOT_SEEN, Loss
from dr.playbook.model import Plan
from dr.proof import Proof
from dr.readiness.lights import Readiness
from monitor.clients.http import HttpClient
from monitor.clients.redfish import RedfishClient
from monitor.clients.ssh import SshPool
from monitor.clients.vsphere import VcenterSession
from monitor.clock import Clock
from monitor.credential import Credentials
from monitor.inventory.equipment import SshHost
from monitor.inventory.model import Inventory
from monitor.inventory.systems import Deployment, System
from monitor.status.votes import Poll


@dataclass(frozen=True, slots=True)
class Marker:
    """A heartbeat that a primary has acknowledged as committed: its number, and when by that primary's clock."""

    marker: int
    at: float


@dataclass(frozen=True, slots=True)
class World:
    """Handed to every action; the clients are the daemon's own, shared with the probes.

    ``newest_backup`` and ``backups`` answer from the journal's catalogue; ``isolated`` says why the monitor takes
    itself for cut off; ``newest_marker`` is the last one that the system's primary acknowledged; ``health`` is what is
    held true of a subject (``ok``, ``degraded``, ``down``, ``unknown``).
    ``poll(system, site)`` is what every vantage point says of a side. ``unverified(plan)`` says why a plan may not
    begin by itself, empty where it may; without it ``proof`` decides.
    ``observed(subject)`` is the monitor's word on it: ``status``, and ``role`` while it is heard.
    ``proof(fingerprint)`` says what was proven of a plan, ``expected_loss(system, from, to)`` what the monitor
    has seen that a promotion would lose, ``readiness(system)`` how ready it is for a recovery, None where nobody looks.
    """

    inventory: Inventory
    credentials: Credentials
    clock: Clock
    ssh: SshPool
    vcenters: Mapping[str, VcenterSession]
    http: HttpClient
    redfish: RedfishClient
    newest_backup: Callable[[str], Backup | None]
    isolated: Callable[[], str] = str
    backups: Callable[[str], Sequence[Backup]] = lambda _system: ()
    newest_marker: Callable[[str], Marker | None] = lambda _system: None
    health: Callable[[str], str] = lambda _subject: "unknown"
    poll: Callable[[str, str], Poll | None] = lambda _system, _site: None
    unverified: Callable[[Plan], str] | None = None
    observed: Callable[[str], Mapping[str, str]] = lambda _subject: {}
    proof: Callable[[str], Proof | None] = lambda _fingerprint: None
    expected_loss: Callable[[str, str, str], Loss] = lambda _system, _from_site, _to_site: NOT_SEEN
    readiness: Callable[[str], Readiness | None] = lambda _system: None

    def loss(self, plan: Plan) -> Loss:
        """Return what a run of ``plan`` would lose now, by what the monitor has seen."""
        return self.expected_loss(plan.system, plan.from_site, plan.to_site)

    def system(self, key: str) -> System:
        """Return the system of that key. Raises KeyError."""
        return self.inventory.systems[key]

    def deployment(self, system: str, site: str) -> Deployment:
        """Return the system's deployment at the site. Raises KeyError."""
        return self.inventory.systems[system].sites[site]

    def database_host(self, system: str, site: str) -> SshHost:
        """Return the SSH host that answers for the system's database at the site. Raises KeyError."""
        return self.inventory.hosts[self.deployment(system, site).database_host]

    def peer(self, system: str, site: str) -> str:
        """Return the system's other site. Raises KeyError."""
        entry = self.inventory.systems[system]
        return entry.recovery_site if site == entry.protected_site else entry.protected_site
