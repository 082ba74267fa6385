"""Entries of the inventory that must agree with one another, each rule a function.

Names that do not exist are left to ``references.py``; here they are passed over. Every rule yields Problems.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from monitor.inventory import agreement_sensors, agreement_systems, agreement_vcenters
from monitor.inventory.values import KEY
from monitor.yamlfile import dotted, shorten

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from monitor.inventory.crossings import PathMark, PathSignature, Router
    from monitor.inventory.model import Inventory
    from monitor.problem import Problem
    from monitor.yamlfile import Document, Path

# What moves production is started by a person or prepared by an alarm, never by the calendar.
OF_SYSTEMS = ("system-down", "system-degraded", "split-brain", "flapping", "unknown")  # alarms
MOVES = frozenset({"failover", "failback", "switchover"})

_MANY = 200  # orphans; comparing more of them with one another takes long and helps nobody
_CLEARLY = 1.5  # times: round trips closer to one another tell nothing


def check(inventory: Inventory, document: Document) -> Iterator[Problem]:
    """Yield every disagreement in ``inventory``."""
    yield from _polling(inventory, document)
    yield from _hosts(inventory, document)
    yield from agreement_systems.check(inventory, document)
    yield from agreement_vcenters.check(inventory, document)
    yield from _crossings(inventory, document)
    yield from _paths(inventory, document)
    yield from agreement_sensors.check(inventory, document)
    yield from _endpoints(inventory, document)
    yield from _calendar(inventory, document)
    yield from _notify(inventory, document)


def _polling(inventory: Inventory, document: Document) -> Iterator[Problem]:
    polling = inventory.polling
    if polling.deadline_s >= polling.interval_s:
        message = f"must be less than interval_s ({polling.interval_s:g}), found {polling.deadline_s:g}"
        yield document.problem(("polling", "deadline_s"), message)
    if polling.stale_after_s <= 2 * polling.interval_s:
        message = f"must be more than twice interval_s ({polling.interval_s:g}), found {polling.stale_after_s:g}"
        yield document.problem(("polling", "stale_after_s"), message, "or one late answer makes everything UNKNOWN")


def _hosts(inventory: Inventory, document: Document) -> Iterator[Problem]:
    seen: dict[Hashable, Path] = {}
    for key, host in inventory.hosts.items():
        path = ("hosts", key)
        if host.vcenter is not None and host.vm is None:
            yield document.problem(path, "'vm' is missing", "a host with a vcenter also names its VM there", "key")
        if host.vm is not None and host.vcenter is None:
            yield document.problem(path, "'vcenter' is missing", "a host with a vm also names its vCenter", "key")
        if host.vm is None or host.vcenter is None:
            continue
        vcenter = inventory.vcenters.get(host.vcenter)
        if vcenter is not None and vcenter.site != host.site and {vcenter.site, host.site} <= inventory.sites.keys():
            yield document.problem(
                (*path, "vcenter"), f"'{host.vcenter}' is at {vcenter.site}, the host at {host.site}"
            )
        first = seen.setdefault((host.vcenter, host.vm), path)
        if first != path:
            yield document.problem((*path, "vm"), f"the VM '{shorten(host.vm)}' already belongs to {dotted(first)}")


def _crossings(inventory: Inventory, document: Document) -> Iterator[Problem]:
    crossings, links = document.data.get("crossings"), document.data.get("links")
    if isinstance(crossings, dict) and isinstance(links, dict):
        yield from _unpaired(list(crossings.keys() - links.keys()), list(links.keys() - crossings.keys()), document)
    for key, pair in inventory.links.items():
        if pair.primary.operator == pair.backup.operator and not pair.same_operator_accepted:
            yield document.problem(
                ("links", key, "backup", "operator"),
                f"primary and backup are both rented from '{pair.backup.operator}', which fails as one",
                "choose another, or add 'same_operator_accepted: true'",
            )


def _unpaired(crossings: list[str], links: list[str], document: Document) -> Iterator[Problem]:
    """Crossings without links and links without a crossing; one misspelling makes one of each, and is told once."""
    lower = {crossing.lower(): crossing for crossing in sorted(crossings)}
    for link in sorted(links):
        close = difflib.get_close_matches(link.lower(), lower, n=1) if len(lower) <= _MANY else []
        partner = lower.pop(close[0]) if close else ""
        if all(re.fullmatch(KEY, key) for key in (link, partner) if key):  # else its form is the mistake
            hint = f"did you mean '{partner}'?" if partner else ""
            yield document.problem(("links", link), "links of a crossing that is not in crossings", hint, "key")
    for crossing in lower.values():
        if re.fullmatch(KEY, crossing):
            yield document.problem(
                ("crossings", crossing), "this crossing has no links", f"add '{crossing}:' to links", "key"
            )


def _endpoints(inventory: Inventory, document: Document) -> Iterator[Problem]:
    """One address and port belongs to one thing; only sensors share their agent, with sensors of their protocol."""
    seen: dict[tuple[str, str, int], tuple[str, Path]] = {}
    for transport, address, port, path in _listed(inventory):
        group = str(path[0]) if path[0] == "sensors" else ""
        other_group, other = seen.setdefault((transport, address.lower(), port), (group, path))
        if other != path and not (group and other_group):
            shown = f"{address}:{port}" if port else address
            yield document.problem(path, f"{shown} already belongs to {dotted(other[:-1])}")


def _listed(inventory: Inventory) -> Iterator[tuple[str, str, int, Path]]:
    for section in ("vcenters", "hosts", "power_controllers", "dns_servers"):
        for key, entry in getattr(inventory, section).items():
            yield "tcp", entry.address, entry.port, (section, key, "address")
    for key, system in inventory.systems.items():
        for site, deployment in system.sites.items():
            front, path = deployment.front, ("systems", key, "sites", site, "front")
            yield "tcp", front.address, front.port, (*path, "address")
            yield "tcp", front.address, front.bubble_port, (*path, "bubble_port")
    for key, pair in inventory.links.items():
        for name, link in (("primary", pair.primary), ("backup", pair.backup)):
            transport, port = ("udp", link.port) if link.probe == "stamp" else ("icmp", 0)
            yield transport, link.far_end, port, ("links", key, name, "far_end")
    for key, crossing in inventory.crossings.items():
        if crossing.router is not None:
            yield "udp", crossing.router.address, crossing.router.port, ("crossings", key, "router", "address")
    for key, sensor in inventory.sensors.items():
        source = sensor.source
        transport = "udp" if source.protocol == "snmp" else "tcp"
        yield transport, source.address, source.port, ("sensors", key, "source", "address")


def _calendar(inventory: Inventory, document: Document) -> Iterator[Problem]:
    slots: dict[Hashable, Path] = {}
    for key, schedule in inventory.schedules.items():
        path = ("schedules", key)
        if schedule.playbook in MOVES:
            message = f"a {schedule.playbook} cannot be put on a clock"
            yield document.problem((*path, "playbook"), message, "schedule a drill, or prepare it in responses")
        first = slots.setdefault((schedule.playbook, schedule.system, schedule.cron), path)
        if first != path:
            yield document.problem(path, f"the same as {dotted(first)}", at="key")
    answers: dict[Hashable, Path] = {}
    for key, response in inventory.responses.items():
        path = ("responses", key)
        if response.alarm and response.mode != "notify" and response.alarm not in OF_SYSTEMS:
            message = f"'{response.alarm}' is no alarm of a system's, and prepares nothing"
            hint = "a system's are system-down, system-degraded, split-brain, flapping, unknown; else mode: notify"
            yield document.problem((*path, "alarm"), message, hint)
        asked = response.alarm or tuple(sorted((response.alert or {}).items()))
        first = answers.setdefault((asked, response.system, response.playbook), path)
        if response.alert is not None and inventory.alertmanager is None:
            hint = "add 'alertmanager: { credential: … }'"
            yield document.problem((*path, "alert"), "no Alertmanager may send alerts here", hint)
        if first != path:
            yield document.problem(path, f"the same as {dotted(first)}", at="key")


def _notify(inventory: Inventory, document: Document) -> Iterator[Problem]:
    notify = inventory.notify
    if notify.mail_server is None and notify.morning is not None:
        yield document.problem(("notify",), "'mail_server' is missing", "morning needs it", "key")
    if notify.mail_server is None:
        return
    for name in ("mail_from", "mail_to"):
        if not getattr(notify, name):
            yield document.problem(("notify",), f"'{name}' is missing", "mail_server needs it", "key")


def _paths(inventory: Inventory, document: Document) -> Iterator[Problem]:
    """Each router or path of a crossing must be able to tell which link carries the traffic."""
    for key, crossing in inventory.crossings.items():
        if crossing.router is not None:
            yield from _router_tells(("crossings", key, "router"), crossing.router, document)
        if crossing.path is not None:
            yield from _path_tells(("crossings", key, "path"), crossing.path, document)


def _router_tells(path: Path, router: Router, document: Document) -> Iterator[Problem]:
    if (router.community is None) == (router.user is None):
        hint = "'community' for version 2c, 'user' for version 3"
        yield document.problem(path, "a router has either a community or a user", hint, "key")
    given = [name for name in ("primary", "backup") if getattr(router, name) is not None]
    if router.vrrp is not None and given:
        message = f"'{given[0]}' and 'vrrp' cannot stand together"
        hint = "either the links of one router, or who is VRRP master"
        yield document.problem((*path, given[0]), message, hint, "key")
        return
    if router.vrrp is None and len(given) < 2:  # noqa: PLR2004 - primary and backup
        missing = "backup" if given == ["primary"] else "primary"
        hint = "a router tells by primary and backup, or by vrrp"
        yield document.problem(path, f"'{missing}' is missing", hint, "key")
        return
    for name in given:
        link = getattr(router, name)
        if link.interface is None and link.bgp_peer is None:
            hint = "give its interface or its bgp_peer, or both"
            yield document.problem((*path, name), "nothing tells whether this link can be used", hint, "key")
    if router.primary is not None and router.primary == router.backup:
        yield document.problem((*path, "backup"), "the same as primary: they cannot be told apart", at="key")


def _path_tells(path: Path, signature: PathSignature, document: Document) -> Iterator[Problem]:
    for name in ("primary", "backup"):
        mark: PathMark = getattr(signature, name)
        if mark.reply_ttl is None and mark.rtt_ms is None:
            hint = "give its reply_ttl or its rtt_ms, or both"
            yield document.problem((*path, name), "nothing tells this path from another", hint, "key")
            return
    first, second = signature.primary, signature.backup
    if first.reply_ttl is not None and second.reply_ttl is not None and first.reply_ttl != second.reply_ttl:
        return
    if first.rtt_ms is not None and second.rtt_ms is not None:
        low, high = sorted((first.rtt_ms, second.rtt_ms))
        if high >= _CLEARLY * low:
            return
    hint = f"their reply_ttl must differ, or one rtt_ms be {_CLEARLY:g} times the other"
    yield document.problem((*path, "backup"), "too like primary: they cannot be told apart", hint, "key")
