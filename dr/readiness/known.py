"""What readiness is judged by: everything that is known of one system at one moment, as plain values. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from dr.backups.proof import Proof as BackupProof
from dr.journal.run import Run
from dr.loss import Loss
from dr.readiness.lights import Light
from dr.readiness.proven import Verified
from monitor.inventory.model import Inventory
from monitor.inventory.systems import Deployment, System
from monitor.status.state import Health


@dataclass(frozen=True, slots=True)
class Sight:
    """What is held true of a subject, and what it said of itself when it last answered well (``seen_at``)."""

    health: Health
    reason: str = ""
    seen_at: float | None = None
    values: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)


LIGHTS: Mapping[Health, Light] = MappingProxyType(
    {
        Health.OK: Light.GREEN,
        Health.DEGRADED: Light.AMBER,
        Health.DOWN: Light.RED,
        Health.UNKNOWN: Light.UNKNOWN,
    }
)
UNSEEN = Sight(Health.UNKNOWN, "was not asked yet")


@dataclass(frozen=True, slots=True)
class Known:
    """``key`` is active at ``active`` and stands by at ``standby``. ``runs`` are its own, in any order.

    ``sights`` has what is watched at the standby, by subject; ``loss`` what a promotion there would lose; ``verified``
    its playbooks, or ``unreadable`` why the record of proofs cannot be read; ``withheld`` says why playbooks that move
    it cannot be run at all, for want of an action.
    """

    inventory: Inventory
    key: str
    active: str
    standby: str
    now: float
    sights: Mapping[str, Sight]
    loss: Loss
    runs: Sequence[Run]
    backups: BackupProof
    verified: Sequence[Verified] = ()
    unreadable: str = ""
    withheld: Mapping[str, str] = field(default_factory=dict)

    @property
    def system(self) -> System:
        """The system's entry in the inventory."""
        return self.inventory.systems[self.key]

    @property
    def place(self) -> Deployment:
        """The system where it stands by."""
        return self.system.sites[self.standby]

    @property
    def machines(self) -> tuple[str, ...]:
        """The VMs, as subjects, that a recovery starts where it stands by."""
        tiers = self.place.vms
        return tuple(f"vm/{self.place.vcenter}/{name}" for name in (*tiers.database, *tiers.application, *tiers.web))

    def see(self, subject: str) -> Sight:
        """Return what is held true of ``subject``."""
        return self.sights.get(subject, UNSEEN)

    def inside(self, kind: str) -> Mapping[str, Sight]:
        """Return the things of that kind (``esx``, ``datastore``) in the vCenter where it stands by, by subject."""
        prefix = f"{kind}/{self.place.vcenter}/"
        return {subject: sight for subject, sight in self.sights.items() if subject.startswith(prefix)}
