"""The rules of agreement for key systems: sites, VMs, fences, names, dependencies, database commands."""

from __future__ import annotations

import graphlib
import re
from typing import TYPE_CHECKING

from monitor.yamlfile import dotted, shorten

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from monitor.inventory.model import Inventory
    from monitor.inventory.systems import Deployment, System
    from monitor.problem import Problem
    from monitor.yamlfile import Document, Path

# Command: what must be filled in, what may be. A promote without an epoch could revive a site that was fenced off.
_PLACEHOLDERS: dict[str, tuple[set[str], set[str]]] = {
    "status": (set(), set()),
    "promote": ({"epoch"}, {"peer"}),
    "demote": ({"epoch"}, {"peer"}),
    "follow": ({"peer"}, {"epoch"}),
    "attach": ({"peer"}, {"epoch"}),
    "mark": (set(), set()),
    "backup": ({"backup"}, set()),
    "check": ({"backup"}, set()),
    "restore": ({"backup", "scratch"}, set()),
    "query": ({"scratch"}, set()),
    "discard": ({"scratch"}, set()),
}


def check(inventory: Inventory, document: Document) -> Iterator[Problem]:
    """Yield every disagreement about systems in ``inventory``."""
    for key, system in inventory.systems.items():
        yield from _sites(("systems", key), system, document)
        yield from _service(("systems", key), system, document)
        yield from _vip(("systems", key), system, inventory, document)
        for site, deployment in system.sites.items():
            yield from _deployment(("systems", key, "sites", site), site, deployment, inventory, document)
    yield from _shared(inventory, document)
    yield from _circles(inventory, document)
    yield from _commands(inventory, document)


def _sites(path: Path, system: System, document: Document) -> Iterator[Problem]:
    if system.protected_site == system.recovery_site:
        message = f"must differ from protected_site, found '{system.recovery_site}' for both"
        yield document.problem((*path, "recovery_site"), message)
    both = {system.protected_site, system.recovery_site}
    for site in sorted(both - system.sites.keys()):
        yield document.problem((*path, "sites"), f"'{site}' is missing", f"add '{site}: …'", "key")
    for site in system.sites.keys() - both:
        yield document.problem((*path, "sites", site), "is neither the protected nor the recovery site", at="key")


def _service(path: Path, system: System, document: Document) -> Iterator[Problem]:
    name, zone = system.service.fqdn.rstrip(".").lower(), system.service.zone.rstrip(".").lower()
    if not name.endswith(f".{zone}"):
        message = f"'{system.service.fqdn}' is not in the zone '{system.service.zone}'"
        yield document.problem((*path, "service", "fqdn"), message)


def _vip(path: Path, system: System, inventory: Inventory, document: Document) -> Iterator[Problem]:
    if system.vip is None:
        return
    for site in sorted({system.protected_site, system.recovery_site} - system.vip.sites.keys()):
        yield document.problem((*path, "vip", "sites"), f"'{site}' is missing", f"add '{site}: …'", "key")
    for site, place in system.vip.sites.items():
        host = inventory.hosts.get(place.host)
        if host is not None and host.site != site and host.site in inventory.sites:
            where = (*path, "vip", "sites", site, "host")
            yield document.problem(where, f"the host '{place.host}' is at {host.site}, not at {site}")


def _deployment(
    path: Path, site: str, deployment: Deployment, inventory: Inventory, document: Document
) -> Iterator[Problem]:
    host = inventory.hosts.get(deployment.database_host)
    named = (
        ("vCenter", inventory.vcenters.get(deployment.vcenter), (*path, "vcenter"), deployment.vcenter),
        ("host", host, (*path, "database_host"), deployment.database_host),
        (
            "power controller",
            inventory.power_controllers.get(deployment.fence.controller),
            (*path, "fence", "controller"),
            deployment.fence.controller,
        ),
    )
    for noun, entry, where, name in named:
        if entry is not None and entry.site != site and entry.site in inventory.sites:
            yield document.problem(where, f"the {noun} '{name}' is at {entry.site}, not at {site}")
    if host is None or host.vm is None or host.vcenter not in inventory.vcenters:
        return
    if (host.vcenter, host.vm) not in {(deployment.vcenter, vm) for vm in deployment.vms.database}:
        message = f"the VM of host '{deployment.database_host}', '{host.vm}', is not a database VM here"
        yield document.problem((*path, "database_host"), message)


def _shared(inventory: Inventory, document: Document) -> Iterator[Problem]:
    """Yield what two systems have in common and must not: a VM, an outlet group, a database host, a name."""
    seen: dict[Hashable, Path] = {}
    for what, name, path in _owned(inventory):
        first = seen.setdefault((what, *name), path)
        if first != path:
            yield document.problem(path, f"the {what} '{name[-1]}' already belongs to {dotted(first)}")


def _owned(inventory: Inventory) -> Iterator[tuple[str, tuple[str, ...], Path]]:
    for key, system in inventory.systems.items():
        yield "name", (system.service.fqdn.rstrip(".").lower(),), ("systems", key, "service", "fqdn")
        for site, deployment in system.sites.items():
            path = ("systems", key, "sites", site)
            for tier in ("database", "application", "web"):
                for index, vm in enumerate(getattr(deployment.vms, tier)):
                    yield "VM", (deployment.vcenter, vm), (*path, "vms", tier, index)
            fence = deployment.fence
            yield "outlet group", (fence.controller, fence.outlet_group), (*path, "fence", "outlet_group")
            yield "database host", (deployment.database_host,), (*path, "database_host")


def _circles(inventory: Inventory, document: Document) -> Iterator[Problem]:
    graph = {key: list(system.depends_on) for key, system in inventory.systems.items()}
    while True:
        try:
            graphlib.TopologicalSorter(graph).prepare()
        except graphlib.CycleError as error:
            circle = list(reversed(error.args[1]))[:-1]
            begin = min(circle, key=list(graph).index)
            turn = circle.index(begin)
            circle = [*circle[turn:], *circle[:turn], begin]
            message = f"systems that depend on one another: {' → '.join(circle)}"
            itself = "a system cannot depend on itself"
            where = ("systems", begin, "depends_on", graph[begin].index(circle[1]))
            yield document.problem(where, message if circle[1] != begin else itself, "remove this one")
            graph[begin] = [other for other in graph[begin] if other != circle[1]]
        else:
            return


def _commands(inventory: Inventory, document: Document) -> Iterator[Problem]:
    for key, kind in inventory.database_kinds.items():
        for command, (needed, allowed) in _PLACEHOLDERS.items():
            path = ("database_kinds", key, "commands", command)
            found: set[str] = set()
            argv = getattr(kind.commands, command)
            if argv is None:
                continue
            for index, argument in enumerate(argv):
                names = set(re.findall(r"\{([^{}]*)\}", argument))
                found |= names
                for name in sorted(names - needed - allowed):
                    known = ", ".join(f"{{{one}}}" for one in sorted(needed | allowed))
                    hint = f"known here: {known}" if known else "nothing is filled in here"
                    yield document.problem((*path, index), f"nothing fills in '{{{shorten(name)}}}'", hint)
            for name in sorted(needed - found):
                yield document.problem(path, f"'{{{name}}}' is missing", f"{command} needs it as an argument")
