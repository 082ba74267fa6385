"""The lab's truth as the checker's world, and the proof that what is about to be broken is the lab and nothing else."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from dr.checker.world import World
from dr.errors import RunRefused
from dr.playbook.foreign import TIERS
from monitor.inventory.model import Inventory
from monitor.inventory.systems import Deployment

PLACES = frozenset({"address", "url", "host", "server"})
Ask = Callable[[str], Any]


def refuse_unless_lab(inventory: Inventory, control: str, ask: Ask) -> None:
    """Raise RunRefused unless every address of ``inventory`` is on loopback and the lab at ``control`` has its estate.

    ``ask`` asks the lab's control port for a path.
    """
    if not _on_loopback(urlsplit(control).hostname or ""):
        raise RunRefused("lab", f"{control} is not on loopback: a replay breaks things, on the lab alone")
    named = set(_addresses(inventory.model_dump(mode="json"))) - inventory.hosts.keys()  # a check's host is a key
    outside = sorted(where for where in named if not _on_loopback(where))
    if outside:
        raise RunRefused(
            "lab",
            f"the inventory names {outside[0]}, which is not on loopback, and a replay breaks things: it is run on the "
            "lab alone, with the inventory that the lab was started with",
        )
    state = ask("/state")
    theirs = {key: set(one["roles"]) for key, one in state.get("systems", {}).items()}
    ours = {key: set(system.sites) for key, system in inventory.systems.items()}
    if theirs != ours or not isinstance(state.get("outlets"), dict):
        raise RunRefused("lab", f"what answers at {control} is not the lab of this inventory; start it anew: ./do run")


def world_of(inventory: Inventory, system: str, ask: Ask) -> World:
    """Return how the system stands in truth, in the checker's terms."""
    state, truth = ask("/state"), ask(f"/truth/{system}")
    values: dict[tuple[str, str], str] = {}
    for site, deployment in inventory.systems[system].sites.items():
        subject = f"system/{system}/{site}"
        outlet = state["outlets"][f"{deployment.fence.controller}/{deployment.fence.outlet_group}"]
        values[subject, "role"] = str(truth["roles"][site])
        values[subject, "fence"] = "off" if outlet["on"] else "on"
        for tier in TIERS:
            values[subject, f"power {tier}"] = "on" if _powered(deployment, tier, state) else "off"
        if truth["bubbles"][site]:
            values[subject, "bubble"] = "present"
        if deployment.front.address in truth["addresses"].values():
            values[f"system/{system}", "traffic"] = site
    return World(MappingProxyType(values), frozenset(), MappingProxyType({}))


def _powered(deployment: Deployment, tier: str, state: Any) -> bool:
    machines = (state["machines"].get(f"{deployment.vcenter}/{vm}") for vm in getattr(deployment.vms, tier))
    return all(machine is not None and machine["powered"] for machine in machines)


def _addresses(value: Any, key: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _addresses(item, str(name))
    elif isinstance(value, list):
        for item in value:
            yield from _addresses(item, key)
    elif isinstance(value, str) and value and (key in PLACES or key.endswith("_address") or "://" in value):
        yield (urlsplit(value).hostname or "") if "://" in value else value


def _on_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"
