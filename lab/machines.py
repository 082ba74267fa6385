"""The virtual machines of a vCenter: power, clones, snapshots, network cards.

What SOAP says of them belongs to the vCenter server.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

PRODUCTION, REPLICATION = "production", "replication"
FIRST_CARD = 4000  # the device key of a machine's first network card, as vSphere numbers them


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot of a machine's disks, taken at a Unix time; its ``number`` is never used again by that machine."""

    number: int
    name: str
    taken_at: float


@dataclass(slots=True)
class Card:
    """A network card of a machine, plugged into ``network``; ``key`` is its device key."""

    key: int
    mac: str
    network: str
    start_connected: bool = True


@dataclass(slots=True)
class Machine:
    """A VM.

    ``powered`` is what vCenter has been told (and what autostart repeats); ``started_at`` the Unix time when it last
    began to boot, None while it has no electricity or is off.
    ``source`` is the name of the VM it was cloned from, ``run`` the clone's name without that. ``tags`` are category
    and name of each. A ``placeholder`` keeps the place of a VM that is replicated by Site Recovery Manager.
    """

    number: int
    name: str
    vcenter: str
    system: str
    tier: str
    powered: bool = True
    started_at: float | None = None
    source: str = ""
    run: str = ""
    instance_uuid: str = ""
    placeholder: bool = False
    tags: tuple[tuple[str, str], ...] = ()
    snapshots: list[Snapshot] = field(default_factory=list)
    snapshots_taken: int = 0
    cards: list[Card] = field(default_factory=list)

    @property
    def moid(self) -> str:
        """The managed object id."""
        return f"vm-{self.number}"

    @property
    def host_moid(self) -> str:
        """The id of the ESXi host, of which there is one for each system (it hangs on the system's outlet group)."""
        return f"host-{self.system}"

    def snapshot_moid(self, snapshot: Snapshot) -> str:
        """Return the managed object id of one of its snapshots."""
        return f"snapshot-{self.number}-{snapshot.number}"


class Inventory:
    """The machines of one vCenter, by moid; numbers are never used again."""

    def __init__(self, vcenter: str, site: str, bubble_network: str) -> None:
        """Begin empty, with production's networks and one that leads nowhere."""
        self.vcenter = vcenter
        self.site = site
        self.bubble_network = bubble_network
        self.networks = (PRODUCTION, REPLICATION, bubble_network)
        self.datastores = (f"san-{site}-1", f"san-{site}-2")
        self.machines: dict[str, Machine] = {}
        self._number = 100

    def add(
        self, name: str, system: str, tier: str, *, powered: bool, source: str = "", now: float | None = None
    ) -> Machine:
        """Create a VM; ``now`` is when it begins to boot. A database machine has a second card, for replication."""
        self._number += 1
        run = name.removesuffix(source).rstrip("-") if source else ""
        identity = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{self.vcenter}/{self._number}/{name}"))
        machine = Machine(
            self._number, name, self.vcenter, system, tier, powered, now if powered else None, source, run, identity
        )
        networks = (PRODUCTION, REPLICATION) if tier == "database" else (PRODUCTION,)
        machine.cards = self._cards(machine, [Card(FIRST_CARD + at, "", one) for at, one in enumerate(networks)])
        self.machines[machine.moid] = machine
        return machine

    def copy_cards(self, source: Machine, clone: Machine) -> None:
        """Give ``clone`` cards of its own, plugged in where those of ``source`` are, as vCenter does."""
        clone.cards = self._cards(clone, source.cards)

    def isolated(self, machine: Machine) -> bool:
        """Tell whether every card of the machine is on the network that leads nowhere."""
        return all(card.network == self.bubble_network for card in machine.cards)

    @staticmethod
    def _cards(machine: Machine, like: Sequence[Card]) -> list[Card]:
        high, low = divmod(machine.number, 256)
        return [replace(card, mac=f"00:50:56:{high:02x}:{low:02x}:{at:02x}") for at, card in enumerate(like)]

    def by_name(self, name: str) -> Machine | None:
        """Return the machine called ``name``."""
        return next((machine for machine in self.machines.values() if machine.name == name), None)
