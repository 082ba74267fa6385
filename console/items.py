"""The inventory as configuration items for a service desk: what there is, whose it is, what needs what, both ways.

An item's id is its subject's name (``link/tabanovce/primary``), stable for as long as the inventory's keys are;
operators are ``operator/KEY``. Credentials, users and commands are no part of an item. In CSV a cell that a spreadsheet
would take for a formula begins with an apostrophe (OWASP, "CSV Injection"); JSON has every text as it is.
"""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from monitor.inventory.checks import site_of
from monitor.inventory.dependencies import depends_on, parts
from monitor.inventory.model import Inventory
from monitor.inventory.subjects import SECTIONS

SCHEMA = 1
BETWEEN = " | "
FORMULA = ("=", "+", "-", "@", "\t", "\r")
CLASSES: Mapping[str, str] = {
    "site": "data centre",
    "system": "business service",
    "front": "application",
    "database": "database",
    "vip": "service address",
    "vm": "virtual machine",
    "vcenter": "virtualization manager",
    "host": "server",
    "dns": "name server",
    "power": "power controller",
    "crossing": "border crossing",
    "link": "network circuit",
    "sensor": "sensor",
    "vote": "vote of sensors",
    "check": "service check",
    "group": "redundancy group",
    "anchor": "reference point",
    "vantage": "vantage point",
    "operator": "supplier",
}


@dataclass(frozen=True, slots=True)
class Item:
    """One configuration item. ``kind`` is one of CLASSES; ``required_by`` is the other end of ``depends_on``."""

    id: str
    kind: str
    name: str
    site: str
    owner: str
    address: str
    depends_on: tuple[str, ...]
    required_by: tuple[str, ...]


def items(inventory: Inventory) -> list[Item]:
    """Return every item, sorted by id; each id that is named anywhere is there."""
    needs = _needs(inventory)
    needed: dict[str, list[str]] = defaultdict(list)
    for item, others in needs.items():
        for other in others:
            needed[other].append(item)
    return [
        Item(
            id=item,
            kind=CLASSES.get(item.partition("/")[0], item.partition("/")[0]),
            depends_on=tuple(sorted(needs[item])),
            required_by=tuple(sorted(needed[item])),
            **_described(item, inventory),
        )
        for item in sorted(needs)
    ]


def to_json(found: list[Item], estate: str) -> str:
    """Return the items as one JSON document."""
    listed = [{"class" if name == "kind" else name: each for name, each in asdict(item).items()} for item in found]
    return (
        json.dumps({"schema_version": SCHEMA, "estate": estate, "items": listed}, indent=2, ensure_ascii=False) + "\n"
    )


def to_csv(found: list[Item]) -> str:
    """Return the items as a table (RFC 4180): a header, one line an item, lists with `` | `` between."""
    names = [field.name for field in fields(Item)]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(["class" if name == "kind" else name for name in names])
    for item in found:
        writer.writerow([_cell(getattr(item, name)) for name in names])
    return out.getvalue()


def _cell(value: str | tuple[str, ...]) -> str:
    text = value if isinstance(value, str) else BETWEEN.join(each.replace("|", "%7C") for each in value)
    text = "".join(char if char.isprintable() else " " for char in text)
    return f"'{text}" if text.startswith(FORMULA) else text


def _needs(inventory: Inventory) -> dict[str, set[str]]:
    """Return what each item needs: what explains it, its parts, its supplier, the systems before it."""
    found: dict[str, set[str]] = {item: set(others) for item, others in depends_on(inventory).items()}
    for whole, made_of in parts(inventory).items():
        if not whole.startswith("site/"):  # what is at a site needs the site, not the other way round
            found.setdefault(whole, set()).update(made_of)
    for key, system in inventory.systems.items():
        found[f"system/{key}"] |= {f"system/{other}" for other in system.depends_on}
        found[f"system/{key}"] |= {f"dns/{server}" for server in system.service.dns}
        found[f"system/{key}"].add(f"host/{system.backup.vault}")
    for key, pair in inventory.links.items():
        for which, link in (("primary", pair.primary), ("backup", pair.backup)):
            found.setdefault(f"link/{key}/{which}", set()).add(f"operator/{link.operator}")
    for key in inventory.operators:
        found[f"operator/{key}"] = set()
    for named in [other for others in found.values() for other in others]:
        found.setdefault(named, set())
    return found


def _described(item: str, inventory: Inventory) -> dict[str, str]:
    kind, key, *rest = item.split("/", 2)
    entry = _entry(kind, key, rest[0] if rest else "", inventory)
    site = _text(entry, "site") or (rest[0] if kind in {"front", "database", "vip"} and rest else "")
    if kind == "check" and entry is not None:
        site = site_of(entry, inventory.hosts)
    if kind == "vm":
        site = inventory.vcenters[key].site if key in inventory.vcenters else ""
    return {
        "name": _text(entry, "name") or item.partition("/")[2],
        "site": site or (key if kind == "site" else ""),
        "owner": _owner(kind, key, rest[0] if rest else "", site, inventory),
        "address": _text(entry, "address")
        or _text(entry, "far_end")
        or _text(getattr(entry, "source", None), "address"),
    }


def _entry(kind: str, key: str, rest: str, inventory: Inventory) -> Any:
    if kind == "link":
        return getattr(inventory.links.get(key), rest, None)
    if kind == "front":
        return inventory.systems[key].sites[rest].front
    if kind == "vip":
        return inventory.systems[key].vip
    if kind in {"database", "vm"}:
        return None
    section = "operators" if kind == "operator" else SECTIONS.get(kind, "")
    return getattr(inventory, section, {}).get(key)


def _owner(kind: str, key: str, rest: str, site: str, inventory: Inventory) -> str:
    """Return who answers for an item: a system's owner, an operator's contact (of a link too), else the site's."""
    if kind in {"system", "front", "database", "vip"}:
        return inventory.systems[key].owner
    if kind == "link":
        key = _text(_entry(kind, key, rest, inventory), "operator")
    if kind in {"operator", "link"}:
        return inventory.operators[key].contact
    place = inventory.sites.get(key if kind == "site" else site)
    return place.contact if place is not None else ""


def _text(entry: Any, name: str) -> str:
    value = getattr(entry, name, None)
    return value if isinstance(value, str) else ""
