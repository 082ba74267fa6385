"""The virtual machines of a vCenter: power, clones, snapshots. What SOAP says of them belongs to the vCenter server."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field


@dataclass(slots=True)
class Machine:
    """A VM.

    ``powered`` is what vCenter has been told (and what autostart repeats); ``started_at`` the Unix time when it last
    began to boot, None while it has no electricity or is off.
    ``source`` is the name of the VM it was cloned from, ``run`` the clone's name without that.
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
    snapshots: list[str] = field(default_factory=list)

    @property
    def moid(self) -> str:
        """The managed object id."""
        return f"vm-{self.number}"

    @property
    def host_moid(self) -> str:
        """The id of the ESXi host, of which there is one for each system (it hangs on the system's outlet group)."""
        return f"host-{self.system}"


class Inventory:
    """The machines of one vCenter, by moid; numbers are never used again."""

    def __init__(self, vcenter: str, site: str) -> None:
        """Begin empty."""
        self.vcenter = vcenter
        self.site = site
        self.machines: dict[str, Machine] = {}
        self._number = 100

    def add(
        self, name: str, system: str, tier: str, *, powered: bool, source: str = "", now: float | None = None
    ) -> Machine:
        """Create a VM; ``now`` is when it begins to boot."""
        self._number += 1
        run = name.removesuffix(source).rstrip("-") if source else ""
        identity = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{self.vcenter}/{self._number}/{name}"))
        machine = Machine(
            self._number, name, self.vcenter, system, tier, powered, now if powered else None, source, run, identity
        )
        self.machines[machine.moid] = machine
        return machine

    def by_name(self, name: str) -> Machine | None:
        """Return the machine called ``name``."""
        return next((machine for machine in self.machines.values() if machine.name == name), None)
