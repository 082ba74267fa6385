"""What a vCenter's folder holds, read live: each VM that reports an address becomes a host to be reached by SSH."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from console.intake.entry import Entry, Found, doubled, key_of
from monitor.clients.vsphere import VcenterSession
from monitor.clients.vsphere_inventory import VcenterSnapshot
from monitor.clock import Clock
from monitor.credential import Credentials
from monitor.inventory.model import Inventory
from monitor.problem import Problem
from monitor.yamlfile import Place, shorten

DEADLINE_S = 60.0


async def snapshot(
    inventory: Inventory, vcenter: str, folder: str, credentials: Credentials, clock: Clock
) -> VcenterSnapshot:
    """Read the VMs below ``folder`` (an inventory path: ``DC0/vm/Customs``; empty: all). Raises TargetError leaves."""
    entry = inventory.vcenters[vcenter]
    session = VcenterSession(
        entry.address,
        entry.port,
        entry.user,
        credentials.secret(entry.credential),
        credentials.path(inventory.trust.tls_ca),
        deadline_s=DEADLINE_S,
        clock=clock,
        datacenter=folder or entry.datacenter,
    )
    try:
        return await session.refresh()
    finally:
        await session.close()


def entries(found: VcenterSnapshot, vcenter: str, site: str, fixed: Mapping[str, Any]) -> Found:
    """Return a host for each VM; templates and VMs without an address are notes."""
    made: list[Entry] = []
    problems: list[Problem] = []
    notes: list[str] = []
    where, place = f"vCenter {vcenter}", Place(1, 1)
    for vm in sorted(found.vms.values(), key=lambda vm: (vm.name, vm.moref)):
        key = key_of(vm.name)
        if vm.template:
            notes.append(f"{vm.name} is a template")
        elif not vm.ip:
            notes.append(f"{vm.name} reports no address (powered {vm.power}, VMware Tools {vm.tools or 'not there'})")
        elif not key:
            problems.append(Problem(where, 1, 1, "", f"no key can be made of the name '{shorten(vm.name)}'"))
        else:
            data = {"site": site, "address": vm.ip, **fixed, "vcenter": vcenter, "vm": vm.name}
            made.append(Entry("hosts", key, data, where, place))
    return Found(tuple(made), tuple(sorted([*problems, *doubled(made)])), tuple(notes))
