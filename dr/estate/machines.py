"""A system's virtual machines at a site, and the names and the network of a drill's clones of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Literal

from dr.estate.waiting import together
from dr.world import World
from monitor.clients.vsphere import VcenterSession, Vm

Tier = Literal["database", "application", "web", "all"]
START_ORDER = ("database", "application", "web")
SHORT_CHARS = 8


def tiers(world: World, system: str, site: str, tier: Tier) -> list[list[str]]:
    """Return VM names, one list a tier, in the order in which they are started."""
    vms = world.deployment(system, site).vms
    return [list(getattr(vms, each)) for each in START_ORDER if tier in {each, "all"}]


def session(world: World, system: str, site: str) -> VcenterSession:
    """Return the session of the vCenter that the system's VMs at ``site`` live in."""
    return world.vcenters[world.deployment(system, site).vcenter]


async def look(vcenter: VcenterSession, names: Iterable[str]) -> dict[str, Vm | None]:
    """Ask for each VM afresh; None where the vCenter has none of that name. Raises TargetError."""
    wanted = list(names)
    found = await together(*(vcenter.vm(name) for name in wanted))
    return dict(zip(wanted, found, strict=True))


def bubble_network(world: World, system: str, site: str) -> str:
    """Return the name of the network that a drill's clones of the system run on at ``site``, and on no other."""
    return world.inventory.vcenters[world.deployment(system, site).vcenter].bubble_network


def production_names(world: World, system: str, site: str) -> frozenset[str]:
    """Return the names of all systems' VMs in the vCenter that the system's VMs at ``site`` live in."""
    key = world.deployment(system, site).vcenter
    return frozenset(
        name
        for other, entry in world.inventory.systems.items()
        for place, deployment in entry.sites.items()
        if deployment.vcenter == key
        for tier in tiers(world, other, place, "all")
        for name in tier
    )


def clone_names(world: World, system: str, site: str, run_id: str) -> list[tuple[str, str]]:
    """Return (VM, its clone in the drill ``run_id``), the same at every call, in the order in which they start."""
    short = hashlib.sha256(run_id.encode()).hexdigest()[:SHORT_CHARS]
    return [(name, f"drill-{short}-{name}") for tier in tiers(world, system, site, "all") for name in tier]
