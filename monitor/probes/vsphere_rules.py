"""VMs that belong to a tier by a rule (folder, custom attribute, tag), and what is wrong with what the rules find.

A tag that was read once stays as it was read when it cannot be read any more: silence takes no tag off. Of one that
was never read nothing is known, and neither is how a VM ought to be that is off and that no other rule has.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from monitor.clients.vsphere import VcenterSnapshot
    from monitor.clients.vsphere_tags import Tag, Tagged

NO_TAGS: Mapping[Tag, Tagged] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Rule:
    """VMs of a system's ``tier`` by ``folder`` (path and all below), a custom attribute's ``value`` or a ``tag``."""

    place: str  # system/site/tier, for people
    folder: str
    attribute: str
    value: str
    at_least: int
    tag: Tag | None = None

    def __str__(self) -> str:
        """Return what it goes by, for people."""
        if self.tag is not None:
            return f"tag {self.tag}"
        return f"folder '{self.folder}'" if self.folder else f"attribute '{self.attribute}' = '{self.value}'"


def found_by(rules: Sequence[Rule], snapshot: VcenterSnapshot, tagged: Mapping[Tag, Tagged]) -> dict[str, Rule]:
    """Return the VMs that a rule finds, by MoRef; the first rule has them."""
    if not rules:
        return {}
    keys = {name: key for key, name in snapshot.attributes.items()}
    paths: dict[str, str] = {}
    found = {}
    for vm in snapshot.vms.values():
        path = paths.get(vm.folder)
        if path is None:
            path = paths[vm.folder] = snapshot.folder_path(vm)
        for rule in rules:
            below = rule.folder and f"{path}/".startswith(f"{rule.folder.strip('/')}/")
            marked = rule.attribute and (keys.get(rule.attribute), rule.value) in vm.attributes
            if below or marked or (rule.tag and vm.moref in (tagged[rule.tag].vms or ())):
                found[vm.moref] = rule
                break
    return found


def shortfalls(
    rules: Sequence[Rule], ruled: Mapping[str, Rule], tagged: Mapping[Tag, Tagged], now: float, patience_s: float
) -> Iterator[str]:
    """Yield what is wrong with the rules: a tag not known, or not anew for ``patience_s``; fewer VMs than there are."""
    for rule in rules:
        known = tagged[rule.tag] if rule.tag is not None else None
        if known is not None and known.at is None:
            yield f"which VMs are of {rule.place} by {rule} is not known: {known.trouble}"
            continue
        if known is not None and known.at is not None and known.trouble and abs(now - known.at) > patience_s:
            yield f"VMs of {rule.place} by {rule} are those of {clock_time(known.at)}: {known.trouble}"
        count = sum(one is rule for one in ruled.values())
        if count < rule.at_least:
            yield f"{count} VMs of {rule.place} by {rule}, at least {rule.at_least} should be there"


def unread_of(rules: Sequence[Rule], tagged: Mapping[Tag, Tagged]) -> tuple[str, Tagged] | None:
    """Return the place of the first rule whose tag was never read, with what is known of the tag."""
    for rule in rules:
        if rule.tag is not None and tagged[rule.tag].vms is None:
            return rule.place, tagged[rule.tag]
    return None


def clock_time(at: float) -> str:
    """Return a Unix time as people read it."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
