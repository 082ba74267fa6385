"""What each subject depends on: "A depends on B" means that B alone, when it is down, explains that A is.

The lists are complete (nobody needs to follow them further) and in the order in which a person would look. They serve
to hold back alarms that another alarm explains, and to name a probable cause; a status is never changed by them.

What is redundant explains nothing alone: of two web VMs, one cannot bring the front down, so a front depends on its
single VMs only, and on all VMs of another tier together (``any_of``). The inventory's ``groups`` say the same of other
things. A power controller has its own network and battery, so the site's power does not explain it. Systems, sites,
crossings and votes are judged from their ``parts`` and depend on nothing here.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from monitor.inventory.checks import TcpCheck
from monitor.inventory.checks_hosts import HostCheck
from monitor.inventory.checks_http import HttpCheck
from monitor.inventory.checks_services import TlsCheck
from monitor.inventory.vantage import PostPoint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from monitor.inventory.model import Inventory
    from monitor.inventory.systems import Deployment


@dataclass(frozen=True, slots=True)
class Ties:
    """What is tied to what; each mapping is explained by the function of its name."""

    depends_on: Mapping[str, tuple[str, ...]]
    parts: Mapping[str, tuple[str, ...]]
    any_of: Mapping[str, tuple[tuple[str, ...], ...]]


def ties(inventory: Inventory) -> Ties:
    """Return all ties of ``inventory``."""
    return Ties(depends_on(inventory), parts(inventory), any_of(inventory))


def depends_on(inventory: Inventory) -> Mapping[str, tuple[str, ...]]:
    """Return what each subject depends on; its keys are all the subjects of ``inventory``."""
    found = _equipment(inventory)
    for key, system in inventory.systems.items():
        found[f"system/{key}"] = ()
        for site, deployment in system.sites.items():
            found |= _deployment(key, site, deployment, inventory)
        for site, place in system.vip.sites.items() if system.vip is not None else ():
            found[f"vip/{key}/{site}"] = (f"site/{site}", f"host/{place.host}")
    for key, front in _fronts_of_checks(inventory).items():
        found[f"check/{key}"] = (*found.get(front, ()), front)
    for key, crossing in inventory.crossings.items():
        found[f"crossing/{key}"] = ()
        if crossing.router is not None:
            found[f"router/{key}"] = ()
        if crossing.path is not None:
            found[f"path/{key}"] = ()
        found[f"link/{key}/primary"] = ()
        found[f"link/{key}/backup"] = ()
    found |= {f"vote/{key}": () for key in inventory.votes}
    for key, group in inventory.groups.items():
        found[f"group/{key}"] = ()
        for subject in group.needed_by:
            found[subject] = (*found.get(subject, ()), f"group/{key}")
    return MappingProxyType(found)


def any_of(inventory: Inventory) -> Mapping[str, tuple[tuple[str, ...], ...]]:
    """Return the sets of subjects of which each subject needs one: all of a set, when down, explain that it is.

    These are the tiers of several VMs behind a front and the two links to a crossing's router; ``groups`` of the
    inventory are subjects of their own.
    """
    found: dict[str, tuple[tuple[str, ...], ...]] = {}
    for key, system in inventory.systems.items():
        for site, deployment in system.sites.items():
            tiers = [tier for tier in _tiers(deployment) if len(tier) > 1]
            found[f"front/{key}/{site}"] = tuple(
                tuple(f"vm/{deployment.vcenter}/{vm}" for vm in tier) for tier in tiers
            )
    for key in inventory.crossings:
        for subject in (f"router/{key}", f"path/{key}"):
            found[subject] = ((f"link/{key}/primary", f"link/{key}/backup"),)
    for key, point in inventory.vantage.points.items():
        if isinstance(point, PostPoint):
            found[f"vantage/{key}"] = found.get(f"router/{point.crossing}", ())
    return MappingProxyType(found)


def parts(inventory: Inventory) -> Mapping[str, tuple[str, ...]]:
    """Return what each whole (site, system, crossing, vote, group) is made of."""
    found: dict[str, list[str]] = {f"site/{key}": [] for key in inventory.sites}
    at_sites = (
        ("vcenter", inventory.vcenters),
        ("host", inventory.hosts),
        ("dns", inventory.dns_servers),
        ("power", inventory.power_controllers),
    )
    for kind, entries in at_sites:
        for key, entry in entries.items():
            found.setdefault(f"site/{entry.site}", []).append(f"{kind}/{key}")
    for key, system in inventory.systems.items():
        whole = found.setdefault(f"system/{key}", [])
        for site, deployment in system.sites.items():
            found.setdefault(f"site/{site}", []).append(f"front/{key}/{site}")
            whole += (f"front/{key}/{site}", f"database/{key}/{site}")
            whole += (f"vm/{deployment.vcenter}/{vm}" for tier in _tiers(deployment) for vm in tier)
        whole += (f"vip/{key}/{site}" for site in (system.vip.sites if system.vip is not None else ()))
    made = {whole: tuple(found_parts) for whole, found_parts in found.items()}
    made |= {f"crossing/{key}": (f"link/{key}/primary", f"link/{key}/backup") for key in inventory.crossings}
    made |= {f"vote/{key}": tuple(f"sensor/{one}" for one in vote.sensors) for key, vote in inventory.votes.items()}
    return MappingProxyType(made | {f"group/{key}": group.members for key, group in inventory.groups.items()})


def _tiers(deployment: Deployment) -> tuple[tuple[str, ...], ...]:
    return (deployment.vms.database, deployment.vms.application, deployment.vms.web)


def _fronts_of_checks(inventory: Inventory) -> dict[str, str]:
    """Return the front at whose door a check knocks, by the check's key: when it is down, the check is."""
    fronts = {
        (deployment.front.address, deployment.front.port): f"front/{key}/{site}"
        for key, system in inventory.systems.items()
        for site, deployment in system.sites.items()
    }
    doors = {
        key: check.door for key, check in inventory.checks.items() if isinstance(check, HttpCheck | TcpCheck | TlsCheck)
    }
    return {key: fronts[door] for key, door in doors.items() if door in fronts}


def _equipment(inventory: Inventory) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {f"site/{key}": () for key in inventory.sites}
    for key in inventory.power_controllers:
        found[f"power/{key}"] = ()
    for key in inventory.vantage.anchors:
        found[f"anchor/{key}"] = ()
    for key in inventory.vantage.points:
        found[f"vantage/{key}"] = ()
    at_sites = (
        ("vcenter", inventory.vcenters),
        ("dns", inventory.dns_servers),
        ("sensor", inventory.sensors),
    )
    for kind, entries in at_sites:
        found |= {f"{kind}/{key}": (f"site/{entry.site}",) for key, entry in entries.items()}
    for key, host in inventory.hosts.items():
        found[f"host/{key}"] = (f"site/{host.site}",)
        if host.vcenter and host.vm:
            vm = f"vm/{host.vcenter}/{host.vm}"
            found[vm] = (f"site/{host.site}", f"vcenter/{host.vcenter}")
            found[f"host/{key}"] += (vm,)
    for key, check in inventory.checks.items():
        if isinstance(check, HostCheck):
            of_host = f"host/{check.host}"
            found[f"check/{key}"] = (*found.get(of_host, ()), of_host)
        else:
            found[f"check/{key}"] = (f"site/{check.site}",)
    return found


def _deployment(system: str, site: str, deployment: Deployment, inventory: Inventory) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    vcenter, tiers = deployment.vcenter, _tiers(deployment)
    for vm in (vm for tier in tiers for vm in tier):
        found[f"vm/{vcenter}/{vm}"] = (f"site/{site}", f"vcenter/{vcenter}")
    host = inventory.hosts.get(deployment.database_host)  # while a file with mistakes is read, it may not be there
    vm_of_host = (f"vm/{host.vcenter}/{host.vm}",) if host is not None and host.vcenter and host.vm else ()
    found[f"database/{system}/{site}"] = (f"site/{site}", *vm_of_host, f"host/{deployment.database_host}")
    single = tuple(f"vm/{vcenter}/{tier[0]}" for tier in tiers if len(tier) == 1)
    found[f"front/{system}/{site}"] = (f"site/{site}", *single)
    return found
