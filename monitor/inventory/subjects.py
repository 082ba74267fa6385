"""What the inventory calls a subject, where one entry names another thing that is watched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.problem import did_you_mean
from monitor.yamlfile import shorten

if TYPE_CHECKING:
    from collections.abc import Mapping

# kind of subject -> the section that holds its key
SECTIONS = {
    "site": "sites",
    "vcenter": "vcenters",
    "vm": "vcenters",
    "host": "hosts",
    "power": "power_controllers",
    "dns": "dns_servers",
    "system": "systems",
    "front": "systems",
    "database": "systems",
    "vip": "systems",
    "crossing": "crossings",
    "link": "links",
    "router": "crossings",
    "path": "crossings",
    "sensor": "sensors",
    "vote": "votes",
    "check": "checks",
    "group": "groups",
}
_SECOND: Mapping[str, str] = {
    "front": "sites",
    "database": "sites",
    "vip": "sites",
}  # the section of the key behind the first
LINKS = ("primary", "backup")


def wrong(subject: str, known: Mapping[str, frozenset[str]], watched: frozenset[str]) -> tuple[str, str] | None:
    """Return what is wrong with a subject's name, and a hint; None when there is such a thing.

    ``known`` has each section's keys as written, so that an entry with a mistake in it still counts as there;
    ``watched`` are the subjects of what could be read. A VM is known by its vCenter: it need not be listed.
    """
    if subject in watched:
        return None
    kind, _, rest = subject.partition("/")
    first, _, second = rest.partition("/")
    if kind not in SECTIONS:
        kinds = sorted({*SECTIONS, *(each.partition("/")[0] for each in watched)})
        return f"there is no kind of subject '{shorten(kind)}'", did_you_mean(kind[:100], kinds)
    keys = known.get(SECTIONS[kind], frozenset())
    if first not in keys:
        names = [each for each in watched if each.startswith(f"{kind}/")] or [f"{kind}/{key}" for key in keys]
        return f"unknown subject '{shorten(subject)}'", did_you_mean(subject[:100], names)
    if not _second_fits(kind, second, known):
        names = [each for each in watched if each.startswith(f"{kind}/{first}/")]
        return f"unknown subject '{shorten(subject)}'", did_you_mean(subject[:100], names)
    return None


def _second_fits(kind: str, second: str, known: Mapping[str, frozenset[str]]) -> bool:
    if kind == "link":
        return second in LINKS
    if kind == "vm":
        return bool(second)
    if kind in _SECOND:
        return second in known.get(_SECOND[kind], frozenset())
    return not second
