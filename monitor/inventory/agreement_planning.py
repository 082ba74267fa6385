"""The rules of agreement for planned downtimes, groups, rights, the vantage point and flapping.

Subjects must exist, and windows, members, anchors and marks must make sense together.
"""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from cronsim import CronSim

from monitor.inventory import subjects
from monitor.inventory.crossings import RouterLink
from monitor.inventory.dependencies import depends_on
from monitor.inventory.recovery import EVERYBODY, filled
from monitor.inventory.vantage import ObserverPoint
from monitor.yamlfile import shorten

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from monitor.inventory.model import Inventory
    from monitor.problem import Problem
    from monitor.yamlfile import Document, Path

MOST_LOWS = 4  # as in monitor.status.flapping: two half-lives to settle
_FROM = datetime(2024, 1, 1, tzinfo=UTC)  # any day: gaps between due times are the same every few years
NEEDED = ("failover", "failback")
_LOOKED_AT = 400  # due times; more than a year of a daily line


def check(inventory: Inventory, known: Mapping[str, frozenset[str]], document: Document) -> Iterator[Problem]:
    """Yield every disagreement; ``known`` has each section's keys as written."""
    watched = frozenset(depends_on(inventory))
    for path, subject in _named(inventory):
        found = subjects.wrong(subject, known, watched)
        if found is not None:
            yield document.problem(path, *found)
    yield from _rules(inventory, known, watched, document)
    yield from _lease(inventory, document)
    yield from _windows(inventory, document)
    yield from _groups(inventory, document)
    yield from _rights(inventory, document)
    yield from _vantage(inventory, document)
    yield from _flapping(inventory, document)


def _lease(inventory: Inventory, document: Document) -> Iterator[Problem]:
    lease = inventory.lease
    least_s = lease.loop_wait_s + 2 * lease.retry_timeout_s
    if lease.ttl_s < least_s:
        message = f"must be at least loop_wait_s + 2 * retry_timeout_s ({least_s:g}), found {lease.ttl_s:g}"
        yield document.problem(("lease", "ttl_s"), message, "or a single slow renewal ends the right to act")


def _rules(
    inventory: Inventory, known: Mapping[str, frozenset[str]], watched: frozenset[str], document: Document
) -> Iterator[Problem]:
    """Demand that what a safety rule asks about is watched, for every system and direction that it is asked for."""
    for key, rule in inventory.safety.items():
        word, conditions = rule.conditions
        for index, condition in enumerate(conditions):
            path: Path = ("safety", key, word, index, "subject")
            names = rule.systems or tuple(inventory.systems)
            found = (_wrong(condition.subject, name, inventory, known, watched) for name in names)
            if problem := next((each for each in found if each is not None), None):
                yield document.problem(path, *problem)
                continue
            if condition.wanted[0] != "status" and not condition.subject.startswith(("front/", "database/")):
                message = f"{condition.wanted[0]} is known of fronts and databases only"
                yield document.problem(path, message, "write front/{system}/{from}, or ask for its status")


def _wrong(
    subject: str, system: str, inventory: Inventory, known: Mapping[str, frozenset[str]], watched: frozenset[str]
) -> tuple[str, str] | None:
    entry = inventory.systems.get(system)
    sites = tuple(entry.sites) if entry is not None else tuple(inventory.sites)
    for site in sites or ("",):
        found = subjects.wrong(filled(subject, system, site, site), known, watched)
        if found is not None:
            return found
    return None


def _named(inventory: Inventory) -> Iterator[tuple[Path, str]]:
    for key, planned in inventory.downtimes.items():
        yield ("downtimes", key, "subject"), planned.subject
    for key, group in inventory.groups.items():
        for name in ("members", "needed_by"):
            for index, subject in enumerate(getattr(group, name)):
                yield ("groups", key, name, index), subject


def _windows(inventory: Inventory, document: Document) -> Iterator[Problem]:
    for key, planned in inventory.downtimes.items():
        shortest_s = _shortest_gap_s(planned.cron)
        if shortest_s is not None and planned.duration_s >= shortest_s:
            message = (
                f"lasts until the next one begins: it comes every {shortest_s:g} s and lasts {planned.duration_s:g}"
            )
            yield document.problem(("downtimes", key, "duration_s"), message, "what is always down is not planned")


@lru_cache(maxsize=256)  # the same few lines are looked at in every reading, and each takes longer than all the rest
def _shortest_gap_s(cron: str) -> float | None:
    """Return how soon a line is due again at the soonest; None when it is not due twice."""
    due = itertools.islice(CronSim(cron, _FROM.astimezone(ZoneInfo("UTC"))), _LOOKED_AT)
    return min(((later - sooner).total_seconds() for sooner, later in itertools.pairwise(due)), default=None)


def _groups(inventory: Inventory, document: Document) -> Iterator[Problem]:
    for key, group in inventory.groups.items():
        path = ("groups", key)
        if group.need > len(group.members):
            message = f"needs {group.need} of {len(group.members)} members, so it could never be up"
            yield document.problem((*path, "need"), message)
        for index, member in enumerate(group.members):
            if member in group.members[:index]:
                yield document.problem((*path, "members", index), f"'{shorten(member)}' is a member twice")
            if member.startswith("group/"):
                yield document.problem((*path, "members", index), "a group cannot be a member of a group")
            if member in group.needed_by:
                message = f"'{shorten(member)}' is a member and also needs the group"
                yield document.problem((*path, "members", index), message)


def _rights(inventory: Inventory, document: Document) -> Iterator[Problem]:
    """Demand that what a disaster needs can be asked for and approved, by two people, and steered when it stands still.

    Not found out in that night.
    """
    for key, right in inventory.rights.items():
        if right.proven and EVERYBODY in right.people:
            message = "everybody cannot be proven to be themselves"
            hint = "name them, or leave 'proven' out"
            yield document.problem(("rights", key, "proven"), message, hint)
    if not all(name in inventory.systems for right in inventory.rights.values() for name in right.systems):
        return
    for kind in NEEDED if inventory.rights else ():
        found: dict[str, list[str]] = {}
        for system in inventory.systems:
            if lack := _people_lacking(inventory, kind, system):
                found.setdefault(lack, []).append(system)
        for lack, systems in found.items():
            hint = "what is given to some is taken from all others"
            yield document.problem(("rights",), f"{lack} a {kind} of {', '.join(systems)}", hint, "key")
        if found:
            return


def _people_lacking(inventory: Inventory, kind: str, system: str) -> str:
    who: dict[str, set[str]] = {}
    for deed in ("request", "approve"):
        covering = (right for right in inventory.rights.values() if right.covers(deed, kind, system))
        who[deed] = {name.casefold() for right in covering for name in right.people}
        if not who[deed]:
            return f"nobody may {deed}"
    everyone = who["request"] | who["approve"]
    if len(everyone) == 1 and EVERYBODY not in everyone:
        return "one person alone may both request and approve"
    steered = any(right.covers("steer", kind, system) for right in inventory.rights.values())
    return "" if steered else "nobody may steer (retry, resume, cancel)"


def _vantage(inventory: Inventory, document: Document) -> Iterator[Problem]:
    vantage = inventory.vantage
    for key, anchor in vantage.anchors.items():
        path = ("vantage", "anchors", key)
        if anchor.probe == "tcp" and anchor.port is None:
            yield document.problem(path, "'port' is missing", "an anchor by tcp needs it", "key")
        if anchor.probe == "icmp" and anchor.port is not None:
            yield document.problem((*path, "port"), "an anchor by icmp has no port", "remove it, or write probe: tcp")
    if vantage.anchors and vantage.need > len(vantage.anchors):
        message = f"needs {vantage.need} of {len(vantage.anchors)} anchors, so the daemon would always be isolated"
        yield document.problem(("vantage", "need"), message)
    yield from _points(inventory, document)


def _points(inventory: Inventory, document: Document) -> Iterator[Problem]:
    vantage = inventory.vantage
    voters = len(vantage.points) + 1
    if vantage.points and vantage.quorum > voters:
        message = (
            f"needs {vantage.quorum} of {voters} vantage points (this daemon is one), so it could never be reached"
        )
        yield document.problem(("vantage", "quorum"), message)
    seen: dict[str, str] = {}
    for key, point in vantage.points.items():
        path = ("vantage", "points", key)
        if isinstance(point, ObserverPoint):
            if (first := seen.setdefault(point.url, key)) != key:
                yield document.problem((*path, "url"), f"is '{first}' too: one observer has one vote")
            continue
        crossing = inventory.crossings.get(point.crossing)
        if crossing is not None and crossing.router is None:
            message = f"the crossing '{point.crossing}' has no router to ask"
            yield document.problem((*path, "crossing"), message, "add it in crossings")
        if (first := seen.setdefault(point.crossing, key)) != key:
            yield document.problem((*path, "crossing"), f"is that of '{first}' too: one post has one vote")
        for site, links in point.sites.items():
            if not links or any(link == RouterLink() for link in links):
                hint = "give each bgp_peer, interface or both"
                yield document.problem((*path, "sites", site), "a session of it is not named", hint)


def _flapping(inventory: Inventory, document: Document) -> Iterator[Problem]:
    flapping = inventory.flapping
    if not flapping.low < flapping.high <= MOST_LOWS * flapping.low:
        message = (
            f"must be more than low ({flapping.low:g}) and at most {MOST_LOWS} times that, found {flapping.high:g}"
        )
        yield document.problem(("flapping", "high"), message)
