"""Names in the inventory that must stand elsewhere in it: operators, sites, hosts, controllers, systems."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.inventory.checks_hosts import HostCheck
from monitor.inventory.vantage import PostPoint
from monitor.problem import did_you_mean
from monitor.yamlfile import shorten

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from monitor.inventory.model import Inventory
    from monitor.inventory.systems import System
    from monitor.problem import Problem
    from monitor.yamlfile import At, Document, Path

_NOUNS = {
    "sites": "site",
    "vcenters": "vCenter",
    "hosts": "host",
    "power_controllers": "power controller",
    "dns_servers": "DNS server",
    "database_kinds": "kind of database",
    "systems": "system",
    "operators": "operator",
    "sensors": "sensor",
    "snmp_users": "SNMP user",
    "crossings": "crossing",
}


def check(inventory: Inventory, known: Mapping[str, frozenset[str]], document: Document) -> Iterator[Problem]:
    """Yield a Problem for every name that is in no section; ``known`` has each section's keys as written."""
    for path, name, section in _named(inventory):
        if section in known and name not in known[section]:
            at: At = "key" if path[-1] == name else "value"
            message = f"unknown {_NOUNS[section]} '{shorten(name)}'"
            yield document.problem(path, message, did_you_mean(name[:100], known[section]), at)


def _named(inventory: Inventory) -> Iterator[tuple[Path, str, str]]:
    """Yield where a name stands, the name, and the section that must have it."""
    for section in ("vcenters", "hosts", "power_controllers", "dns_servers", "sensors", "votes"):
        for key, entry in getattr(inventory, section).items():
            yield (section, key, "site"), entry.site, "sites"
    for key, host in inventory.hosts.items():
        if host.vcenter is not None:
            yield ("hosts", key, "vcenter"), host.vcenter, "vcenters"
    yield from _named_by_checks(inventory)
    yield from _named_by_evidence(inventory)
    for key, system in inventory.systems.items():
        yield from _named_by_system(("systems", key), system)
    if inventory.vantage.site is not None:
        yield ("vantage", "site"), inventory.vantage.site, "sites"
    yield from _named_by_points(inventory)
    for key, links in inventory.links.items():
        yield ("links", key, "primary", "operator"), links.primary.operator, "operators"
        yield ("links", key, "backup", "operator"), links.backup.operator, "operators"
    yield from _named_by_sensors(inventory)
    yield from _named_by_the_calendar(inventory)


def _named_by_the_calendar(inventory: Inventory) -> Iterator[tuple[Path, str, str]]:
    for key, schedule in inventory.schedules.items():
        yield ("schedules", key, "system"), schedule.system, "systems"
    for key, response in inventory.responses.items():
        yield ("responses", key, "system"), response.system, "systems"
    for section in ("windows", "safety", "rights"):
        for key, entry in getattr(inventory, section).items():
            for index, name in enumerate(entry.systems):
                yield (section, key, "systems", index), name, "systems"


def _named_by_points(inventory: Inventory) -> Iterator[tuple[Path, str, str]]:
    for key, point in inventory.vantage.points.items():
        path = ("vantage", "points", key)
        if isinstance(point, PostPoint):
            yield (*path, "crossing"), point.crossing, "crossings"
            for site in point.sites:
                yield (*path, "sites", site), site, "sites"
        elif point.site is not None:
            yield (*path, "site"), point.site, "sites"


def _named_by_checks(inventory: Inventory) -> Iterator[tuple[Path, str, str]]:
    for key, check in inventory.checks.items():
        if isinstance(check, HostCheck):
            yield ("checks", key, "host"), check.host, "hosts"
        else:
            yield ("checks", key, "site"), check.site, "sites"


def _named_by_evidence(inventory: Inventory) -> Iterator[tuple[Path, str, str]]:
    for key, place in inventory.evidence.anchors.items() if inventory.evidence is not None else ():
        if place.place == "ssh":
            yield ("evidence", "anchors", key, "host"), place.host, "hosts"


def _named_by_sensors(inventory: Inventory) -> Iterator[tuple[Path, str, str]]:
    for key, sensor in inventory.sensors.items():
        if sensor.source.protocol == "snmp" and sensor.source.user is not None:
            yield ("sensors", key, "source", "user"), sensor.source.user, "snmp_users"
    for key, crossing in inventory.crossings.items():
        if crossing.router is not None and crossing.router.user is not None:
            yield ("crossings", key, "router", "user"), crossing.router.user, "snmp_users"
    for key, vote in inventory.votes.items():
        for index, voter in enumerate(vote.sensors):
            yield ("votes", key, "sensors", index), voter, "sensors"


def _named_by_system(path: Path, system: System) -> Iterator[tuple[Path, str, str]]:
    yield (*path, "protected_site"), system.protected_site, "sites"
    yield (*path, "recovery_site"), system.recovery_site, "sites"
    yield (*path, "database", "kind"), system.database.kind, "database_kinds"
    yield (*path, "backup", "vault"), system.backup.vault, "hosts"
    for index, other in enumerate(system.depends_on):
        yield (*path, "depends_on", index), other, "systems"
    for index, server in enumerate(system.service.dns):
        yield (*path, "service", "dns", index), server, "dns_servers"
    for site, place in system.vip.sites.items() if system.vip is not None else ():
        yield (*path, "vip", "sites", site), site, "sites"
        yield (*path, "vip", "sites", site, "host"), place.host, "hosts"
    for site, deployment in system.sites.items():
        yield (*path, "sites", site), site, "sites"
        yield (*path, "sites", site, "vcenter"), deployment.vcenter, "vcenters"
        yield (*path, "sites", site, "database_host"), deployment.database_host, "hosts"
        yield (*path, "sites", site, "fence", "controller"), deployment.fence.controller, "power_controllers"
