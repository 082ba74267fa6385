"""NetBox's JSON: what its REST API answers for devices, virtual machines and circuits (NetBox 2.10 to 4.x).

``/api/dcim/devices/?limit=0``, ``/api/virtualization/virtual-machines/?limit=0``, ``/api/circuits/circuits/?limit=0``,
each as it comes, or a list of such objects. Read are ``name``, ``site.slug``, ``primary_ip4`` (else ``primary_ip6``),
``status.value`` and of circuits ``cid``, ``provider.slug`` and the custom fields that say which crossing a circuit
serves: NetBox has no word for that, nor for the far end's address. Everything else is left to NetBox.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from console.intake.entry import MOST_ENTRIES, Entry, Found, doubled, key_of
from monitor.errors import InventoryError
from monitor.problem import Problem
from monitor.yamlfile import Place, shorten

MOST_BYTES = 64 * 1024 * 1024
ACTIVE = "active"
WHICH = ("primary", "backup")


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to become of what is found.

    ``section`` is where devices and VMs go; ``sites`` maps NetBox's site slugs to the inventory's keys; ``fixed`` are
    fields with one value. ``crossing``, ``which`` and ``far_end`` name a circuit's custom fields.
    """

    section: Literal["checks", "hosts"] = "checks"
    sites: Mapping[str, str] | None = None
    fixed: Mapping[str, Any] | None = None
    crossing: str = "karaula_crossing"
    which: str = "karaula_link"
    far_end: str = "karaula_far_end"


class _Left(Exception):
    """An object that is left out, with a reason that is no mistake."""


class _Wrong(Exception):
    """An object that cannot be used."""


def entries(raw: bytes, file: str, wish: Wish) -> Found:
    """Return what the export holds. Raises InventoryError when it is not such an export."""
    text = _text(raw, file)
    found: list[Entry] = []
    problems: list[Problem] = []
    notes: list[str] = []
    circuits: dict[str, dict[str, tuple[Mapping[str, Any], Place]]] = {}
    for number, (item, place) in enumerate(_objects(text, file)):
        if number >= MOST_ENTRIES:
            raise InventoryError([Problem(file, place.line, place.column, "", f"more than {MOST_ENTRIES} objects")])
        try:
            if "cid" in item:
                crossing, which, link = _circuit(item, wish)
                if which in circuits.setdefault(crossing, {}):
                    raise _Wrong(f"a second {which} circuit of '{crossing}'")  # noqa: TRY301 - as any other mistake
                circuits[crossing][which] = (link, place)
            else:
                found.append(_machine(item, file, place, wish))
        except _Left as left:
            notes.append(f"{file}:{place.line}: {left}")
        except _Wrong as wrong:
            problems.append(Problem(file, place.line, place.column, "", str(wrong)))
    found += _pairs(circuits, file, problems)
    return Found(tuple(found), tuple(sorted([*problems, *doubled(found)])), tuple(notes))


def _text(raw: bytes, file: str) -> str:
    if len(raw) > MOST_BYTES:
        message = f"the file is larger than {MOST_BYTES // 1024 // 1024} MiB"
        raise InventoryError([Problem(file, 1, 1, "", message)])
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InventoryError([Problem(file, raw.count(b"\n", 0, error.start) + 1, 1, "", "not UTF-8")]) from error


def _objects(text: str, file: str) -> Iterator[tuple[Mapping[str, Any], Place]]:
    """Yield each object of the list, with its place. Raises InventoryError."""
    try:
        whole = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        problem = Problem(file, error.lineno, error.colno, "", f"not JSON: {error.msg}")
        raise InventoryError([problem]) from error
    except (RecursionError, ValueError) as error:
        raise InventoryError([Problem(file, 1, 1, "", "not JSON that NetBox would write")]) from error
    results = whole.get("results") if isinstance(whole, dict) else whole
    if not isinstance(results, list):
        hint = "save what /api/dcim/devices/?limit=0 answers"
        raise InventoryError([Problem(file, 1, 1, "", "holds no list of NetBox's objects", hint)])
    if isinstance(whole, dict) and whole.get("next"):
        message = f"this is one page: {len(results)} of {whole.get('count')} objects"
        raise InventoryError([Problem(file, 1, 1, "", message, "ask NetBox again with ?limit=0")])
    for item, start in zip(results, _starts(text, isinstance(whole, dict)), strict=True):
        place = Place(text.count("\n", 0, start) + 1, start - (text.rfind("\n", 0, start) + 1) + 1)
        if not isinstance(item, dict):
            raise InventoryError([Problem(file, place.line, place.column, "", "expected an object")])
        yield item, place


def _refuse_constant(word: str) -> float:
    raise ValueError(word)


def _starts(text: str, wrapped: bool) -> list[int]:
    """Return where each item of the list begins; ``text`` is JSON, the list being its top or its ``results``."""
    decoder = json.JSONDecoder()
    at = _blank(text, 0)
    if wrapped:
        at = _blank(text, at + 1)
        last = -1
        while text[at] != "}":
            key, after = decoder.raw_decode(text, at)
            at = _blank(text, _blank(text, after) + 1)
            if key == "results":
                last = at
            _, after = decoder.raw_decode(text, at)
            at = _blank(text, after)
            if text[at] == ",":
                at = _blank(text, at + 1)
        at = last
    found = []
    at = _blank(text, at + 1)
    while text[at] != "]":
        found.append(at)
        _, after = decoder.raw_decode(text, at)
        at = _blank(text, after)
        if text[at] == ",":
            at = _blank(text, at + 1)
    return found


def _blank(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _machine(item: Mapping[str, Any], file: str, place: Place, wish: Wish) -> Entry:
    name = item.get("name")
    if not isinstance(name, str) or not name:
        raise _Wrong("this object has no name, and no cid: it is no device, VM or circuit")
    if (status := _value(item.get("status"))) != ACTIVE:
        raise _Left(f"{shorten(name)} is {status or 'of no status'}, not active")
    address = _address(item, name)
    slug = _value(item.get("site"), "slug")
    site = (wish.sites or {}).get(slug, slug)
    if not site:
        raise _Wrong(f"'{shorten(name)}' is at no site")
    key = key_of(name)
    if not key:
        raise _Wrong(f"no key can be made of the name '{shorten(name)}'")
    data = {"site": site, "address": address, **(wish.fixed or {})}
    if wish.section == "checks":
        data = {"probe": "icmp", **data}
    return Entry(wish.section, key, data, file, place)


def _address(item: Mapping[str, Any], name: str) -> str:
    written = _value(item.get("primary_ip4"), "address") or _value(item.get("primary_ip6"), "address")
    if not written:
        raise _Left(f"{shorten(name)} has no primary IP address")
    try:
        return str(ipaddress.ip_interface(written).ip)
    except ValueError as error:
        raise _Wrong(f"'{shorten(written)}' of '{shorten(name)}' is no address") from error


def _circuit(item: Mapping[str, Any], wish: Wish) -> tuple[str, str, Mapping[str, Any]]:
    cid = shorten(str(item.get("cid")))
    if (status := _value(item.get("status"))) != ACTIVE:
        raise _Left(f"circuit {cid} is {status or 'of no status'}, not active")
    custom = item.get("custom_fields")
    fields = custom if isinstance(custom, dict) else {}
    said = {name: fields.get(name) for name in (wish.crossing, wish.which, wish.far_end)}
    if not any(said.values()):
        raise _Left(f"circuit {cid} does not say which crossing it serves (custom field {wish.crossing})")
    for name, value in said.items():
        if not _value(value):
            raise _Wrong(f"circuit {cid} has no custom field '{name}'")
    which = _value(said[wish.which])
    if which not in WHICH:
        raise _Wrong(f"circuit {cid}: '{shorten(which)}' is neither primary nor backup")
    operator = _value(item.get("provider"), "slug")
    if not operator:
        raise _Wrong(f"circuit {cid} has no provider")
    return _value(said[wish.crossing]), which, {"operator": operator, "far_end": _value(said[wish.far_end])}


def _pairs(
    circuits: Mapping[str, Mapping[str, tuple[Mapping[str, Any], Place]]], file: str, problems: list[Problem]
) -> Iterator[Entry]:
    for crossing, links in circuits.items():
        _, place = next(iter(links.values()))
        if missing := [which for which in WHICH if which not in links]:
            text = f"crossing '{shorten(crossing)}' has no {missing[0]} circuit"
            problems.append(Problem(file, place.line, place.column, "", text))
            continue
        data = {which: links[which][0] for which in WHICH}
        yield Entry("links", crossing, data, file, place, {(which,): links[which][1] for which in WHICH})


def _value(of: object, name: str = "value") -> str:
    """Return a text, or the ``name`` of an object that stands for one; NetBox changed some from one to the other."""
    if isinstance(of, dict):
        of = of.get(name)
    return of if isinstance(of, str) else ""
