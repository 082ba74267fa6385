"""The rules of agreement for vCenters: limits in their order, counters named once, rules that say one thing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from monitor.inventory.model import Inventory
    from monitor.inventory.vcenters import VmRule
    from monitor.problem import Problem
    from monitor.yamlfile import Document, Path

WAYS = ({"folder"}, {"attribute", "value"}, {"category", "tag"})
MARKS = ("folder", "attribute", "value", "category", "tag")


def check(inventory: Inventory, document: Document) -> Iterator[Problem]:
    """Yield every disagreement about vCenters and the VMs in them."""
    for key, vcenter in inventory.vcenters.items():
        limits, path = vcenter.limits, ("vcenters", key)
        warn, alarm = limits.datastore_warn_free_percent, limits.datastore_alarm_free_percent
        if alarm >= warn:
            message = f"must be less than datastore_warn_free_percent ({warn:g}), found {alarm:g}"
            yield document.problem((*path, "limits", "datastore_alarm_free_percent"), message)
        seen: set[str] = set()
        for index, counter in enumerate(vcenter.performance.counters):
            if counter in seen:
                yield document.problem((*path, "performance", "counters", index), f"'{counter}' stands here twice")
            seen.add(counter)
    for key, system in inventory.systems.items():
        for site, deployment in system.sites.items():
            for index, rule in enumerate(deployment.vms.rules):
                yield from _rule(("systems", key, "sites", site, "vms", "rules", index), rule, document)


def _rule(path: Path, rule: VmRule, document: Document) -> Iterator[Problem]:
    """Yield a problem unless the rule says exactly one thing, in full."""
    given = {name for name in MARKS if getattr(rule, name) is not None}
    if given not in WAYS:
        yield document.problem(path, "needs either 'folder', or 'attribute' and 'value', or 'category' and 'tag'")
