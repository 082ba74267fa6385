"""What kinds of subjects are called, and in which order people ask for them; the screen and the page say the same."""

from __future__ import annotations

from collections.abc import Iterable

# In the order in which people ask; kinds that are not here follow by name.
KINDS = (
    "system",
    "site",
    "crossing",
    "link",
    "vote",
    "sensor",
    "front",
    "database",
    "vip",
    "vcenter",
    "esx",
    "datastore",
    "host",
    "vm",
    "power",
    "dns",
    "check",
    "group",
    "anchor",
    "vantage",
)
PLURALS = {
    "vip": "VIPs",
    "vcenter": "vCenters",
    "power": "power controllers",
    "dns": "name servers",
    "vm": "VMs",
    "esx": "ESXi hosts",
    "vantage": "vantage points",
}
SINGULARS = {
    "vip": "VIP",
    "power": "power controller",
    "dns": "name server",
    "vm": "VM",
    "vcenter": "vCenter",
    "esx": "ESXi host",
    "vantage": "vantage point",
}


def ordered(kinds: Iterable[str]) -> list[str]:
    """Return kinds of subjects in the order in which people ask."""
    order = {kind: number for number, kind in enumerate(KINDS)}
    return sorted(kinds, key=lambda kind: (order.get(kind, len(KINDS)), kind))


def called(kind: str, count: int) -> str:
    """Return what ``count`` subjects of a kind are called: ``VM``, ``VMs``."""
    return SINGULARS.get(kind, kind) if count == 1 else PLURALS.get(kind, f"{kind}s")
