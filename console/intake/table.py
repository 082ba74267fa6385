"""From rows to entries: a column is a key of the section, dots go deeper, another section's name before it goes there.

``primary.operator`` in a table of links is ``links.KEY.primary.operator``; ``links.primary.operator`` in a table of
crossings adds the links of the same key. What a cell becomes (text, number, yes or no, a list) is what the inventory's
own model asks for at that place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from console.intake.csvtext import Cell
from console.intake.entry import MOST_ENTRIES, Entry, Found, doubled, key_of
from monitor.inventory.read import SECTIONS, entry_adapter
from monitor.problem import Problem, did_you_mean
from monitor.yamlfile import Path, Place, resolve, shorten

KEY = "key"
PASSES = 3
LIST = "|"  # between the items of a list in one cell
_DECIMAL_COMMA = re.compile(r"[-+]?[0-9]+,[0-9]+")
_WORDS = {"yes": True, "true": True, "da": True, "no": False, "false": False, "ne": False}
_NUMBERS = frozenset({"float_type", "int_type", "int_parsing", "float_parsing", "int_from_float"})
_LISTS = frozenset({"tuple_type", "list_type"})


def entries(table: Sequence[Sequence[Cell]], file: str, section: str, fixed: Mapping[str, str]) -> Found:
    """Return the entries of ``section`` (and of others that columns name); ``fixed`` are columns with one value."""
    if not table:
        return Found((), (Problem(file, 1, 1, "", "holds no rows"),))
    header, problems = _header(table[0], file, section, fixed)
    if len(table) - 1 > MOST_ENTRIES:
        place = table[MOST_ENTRIES + 1][0].place
        return Found((), (Problem(file, place.line, place.column, "", f"more than {MOST_ENTRIES} rows"),))
    found: list[Entry] = []
    for row in table[1:] if not problems else ():
        if len(row) != len(header):
            problem = f"{len(row)} cells, and the header has {len(header)} columns"
            problems.append(Problem(file, row[0].place.line, row[0].place.column, "", problem))
            continue
        made, wrong = _row(dict(zip(header, row, strict=True)), file, section, fixed)
        found += made
        problems += wrong
    return Found(tuple(found), tuple(sorted([*problems, *doubled(found)])))


def _header(
    cells: Sequence[Cell], file: str, section: str, fixed: Mapping[str, str]
) -> tuple[list[str], list[Problem]]:
    names, problems = [], []
    for cell in cells:
        name = cell.text.lower().replace(" ", "_")
        where = (file, cell.place.line, cell.place.column, "")
        if not name:
            problems.append(Problem(*where, "this column has no name"))
        elif name in names:
            problems.append(Problem(*where, f"the column '{shorten(name)}' stands here twice"))
        elif name in fixed:
            problems.append(Problem(*where, f"the column '{shorten(name)}' is given by --set too"))
        elif wrong := _unknown(name, section):
            problems.append(Problem(*where, *wrong))
        names.append(name)
    return names, problems


def unknown_column(name: str, section: str) -> str:
    """Say why ``name`` cannot be a column of a table of ``section``; empty when it can."""
    wrong = _unknown(name, section)
    return "; ".join(part for part in wrong if part) if wrong else ""


def _unknown(name: str, section: str) -> tuple[str, str] | None:
    """Return why ``name`` is no column of a table of ``section``, and a hint."""
    if name == KEY:
        return None
    where, path = _target(name, section)
    known = _known(where)
    if ".".join(path) in known:
        return None
    return f"{where} has no '{shorten('.'.join(path))}'", did_you_mean(".".join(path)[:100], {KEY, *known})


@cache
def _adapter(section: str) -> TypeAdapter[Any]:
    return entry_adapter(section)


@cache
def _known(section: str) -> frozenset[str]:
    return frozenset(_fields(_adapter(section).json_schema()))


def _fields(schema: Mapping[str, Any]) -> Iterator[str]:
    """Yield the dotted names of everything in a model that is one value or a list of values."""
    defs = schema.get("$defs", {})

    def walk(node: Mapping[str, Any], before: str, depth: int) -> Iterator[str]:
        if "$ref" in node:
            node = {**defs[str(node["$ref"]).rpartition("/")[2]], **{k: v for k, v in node.items() if k != "$ref"}}
        options = [*node.get("anyOf", ()), *node.get("oneOf", ())]
        for option in options:
            yield from walk(option, before, depth)
        for name, child in node.get("properties", {}).items() if depth < 6 else ():  # noqa: PLR2004 - deeper than any entry
            yield from walk(child, f"{before}.{name}" if before else name, depth + 1)
        if before and "properties" not in node and not options:
            yield before

    yield from walk(schema, "", 0)


def _target(name: str, section: str) -> tuple[str, tuple[str, ...]]:
    first, *rest = name.split(".")
    return (first, tuple(rest)) if rest and first in SECTIONS else (section, (first, *rest))


def _row(
    row: Mapping[str, Cell], file: str, section: str, fixed: Mapping[str, str]
) -> tuple[list[Entry], list[Problem]]:
    first = next(iter(row.values())).place
    place = Place(first.line, first.column)
    given = row.get(KEY)
    name = row.get("name")
    key = given.text if given is not None and given.text else key_of(name.text) if name is not None else ""
    if not key:
        hint = "add a column 'key', or a 'name' that one can be made from"
        return [], [Problem(file, place.line, place.column, "", "no key can be made for this row", hint)]
    made: dict[str, dict[str, Any]] = {section: {}}
    places: dict[str, dict[Path, Place]] = {section: {}}
    cells = {**{name: Cell(value, place) for name, value in fixed.items()}, **row}
    for column, cell in cells.items():
        if column == KEY or not cell.text:
            continue
        where, path = _target(column, section)
        into = made.setdefault(where, {})
        for part in path[:-1]:
            into = into.setdefault(part, {})
        into[path[-1]] = cell.text
        places.setdefault(where, {})[path] = cell.place
    found = [
        Entry(where, key, _typed(data, _adapter(where)), file, place, places.get(where, {}))
        for where, data in made.items()
    ]
    return found, []


def _typed(data: dict[str, Any], adapter: TypeAdapter[Any]) -> dict[str, Any]:
    """Return ``data`` with each text turned into what the model says that it must be, where it can be."""
    for _ in range(PASSES):  # a list is turned before what is in it
        try:
            adapter.validate_python(data)
        except ValidationError as error:
            turned = [_turn(data, tuple(detail["loc"]), detail["type"]) for detail in error.errors(include_url=False)]
            if any(turned):
                continue
        break
    return data


def _turn(data: dict[str, Any], loc: tuple[int | str, ...], kind: str) -> bool:
    """Turn the text at ``loc`` into what pydantic's error ``kind`` asks for; return whether that could be done."""
    at: Any = data
    for step in loc:
        there = (
            step in at if isinstance(at, dict) else isinstance(at, list) and isinstance(step, int) and step < len(at)
        )
        if not there:  # pydantic's name of a variant
            continue
        if isinstance(at[step], str):
            made = _made(at[step], kind)
            if made is not None:
                at[step] = made
            return made is not None
        at = at[step]
    return False


def _made(text: str, kind: str) -> Any:
    """Return what ``text`` says as a list, a truth or a number; None when it says no such thing."""
    if kind in _LISTS:
        return [part.strip() for part in text.split(LIST)]
    if kind == "bool_type":
        return _WORDS.get(text.casefold())
    if kind in _NUMBERS:
        number = resolve(text.replace(",", ".") if _DECIMAL_COMMA.fullmatch(text) else text)
        return number if isinstance(number, (int, float)) and not isinstance(number, bool) else None
    return None
