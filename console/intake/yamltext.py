"""Entries as YAML text, one line each, as the shipped inventory has them; whatever a text is, it reads back equal."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from console.intake.entry import Entry
from monitor.yamlfile import resolve

_PLAIN = re.compile(r"[\w./+][\w ./@+-]*")  # means itself, also between brackets
_URL = re.compile(r"https?://[\w./-]+", re.ASCII)


def entry_line(entry: Entry, indent: int, newline: str = "\n") -> str:
    """Return ``key: { … }``, indented."""
    return f"{' ' * indent}{scalar(entry.key)}: {flow(entry.data)}{newline}"


def section_text(section: str, entries: Iterable[Entry], newline: str = "\n") -> str:
    """Return a whole section."""
    return f"{section}:{newline}" + "".join(entry_line(entry, 2, newline) for entry in entries)


def flow(value: Any) -> str:
    """Return a value in flow style (YAML 1.2.2, chapter 7.4)."""
    if isinstance(value, Mapping):
        inside = ", ".join(f"{scalar(str(key))}: {flow(each)}" for key, each in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(flow(each) for each in value) + "]"
    return scalar(value)


def scalar(value: str | float | bool | None) -> str:
    """Return a single value; text that would be read as anything else is quoted."""
    if not isinstance(value, str):
        return json.dumps(value)
    plain = (_PLAIN.fullmatch(value) or _URL.fullmatch(value)) and value == value.strip()
    if plain and isinstance(resolve(value), str) and not value.startswith(("- ", "-")):
        return value
    quoted = json.dumps(value, ensure_ascii=False)
    return "".join(char if char.isprintable() else _escaped(char) for char in quoted)


def _escaped(char: str) -> str:
    """Return YAML's own escape (chapter 5.7); JSON's surrogate pairs are not YAML's."""
    number = ord(char)
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"  # noqa: PLR2004 - the highest of four digits
