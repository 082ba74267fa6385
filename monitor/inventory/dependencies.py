"""What each subject depends on: "A depends on B" means that B alone, when it is down, explains that A is.

The lists are complete (nobody needs to follow them further) and in the order in which a person would look. They serve
to hold back alarms that another alarm explains, and to name a probable cause; a status is never changed by them.

What is redundant explains nothing: of two web VMs, one alone cannot bring the front down, so a front depends on its
single VMs only. A power controller has its own network and battery, so the site's power does not explain it. Systems,
sites and crossings are judged from their parts and depend on nothing here: an alarm that starts a failover must
never be held back.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from monitor.inventory.model import Inventory
    from monitor.inventory.systems import Deployment


def depends_on(inventory: Inventory) -> Mapping[str, tuple[str, ...]]:
    """Return what each subject depends on; its keys are all the subjects of ``inventory``."""
    found = _equipment(inventory)
    for key, system in inventory.systems.items():
        found[f"system/{key}"] = ()
        for site, deployment in system.sites.items():
            found |= _deployment(key, site, deployment, inventory)
    for key in inventory.crossings:
        found[f"crossing/{key}"] = ()
        found[f"link/{key}/primary"] = ()
        found[f"link/{key}/backup"] = ()
    return MappingProxyType(found)


def _equipment(inventory: Inventory) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {f"site/{key}": () for key in inventory.sites}
    for key in inventory.power_controllers:
        found[f"power/{key}"] = ()
    at_sites = (
        ("vcenter", inventory.vcenters),
        ("dns", inventory.dns_servers),
        ("sensor", inventory.sensors),
        ("check", inventory.checks),
    )
    for kind, entries in at_sites:
        found |= {f"{kind}/{key}": (f"site/{entry.site}",) for key, entry in entries.items()}
    for key, host in inventory.hosts.items():
        found[f"host/{key}"] = (f"site/{host.site}",)
        if host.vcenter and host.vm:
            vm = f"vm/{host.vcenter}/{host.vm}"
            found[vm] = (f"site/{host.site}", f"vcenter/{host.vcenter}")
            found[f"host/{key}"] += (vm,)
    return found


def _deployment(system: str, site: str, deployment: Deployment, inventory: Inventory) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    vcenter, tiers = deployment.vcenter, deployment.vms
    for vm in (*tiers.database, *tiers.application, *tiers.web):
        found[f"vm/{vcenter}/{vm}"] = (f"site/{site}", f"vcenter/{vcenter}")
    host = inventory.hosts[deployment.database_host]
    vm_of_host = (f"vm/{host.vcenter}/{host.vm}",) if host.vcenter and host.vm else ()
    found[f"database/{system}/{site}"] = (f"site/{site}", *vm_of_host, f"host/{deployment.database_host}")
    single = tuple(
        f"vm/{vcenter}/{tier[0]}" for tier in (tiers.database, tiers.application, tiers.web) if len(tier) == 1
    )
    found[f"front/{system}/{site}"] = (f"site/{site}", *single)
    return found
