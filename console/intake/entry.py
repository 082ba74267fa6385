"""What an import has found: entries of the inventory, each value with the place in the file it came from."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from monitor.inventory.values import KEY
from monitor.problem import Problem
from monitor.yamlfile import Path, Place, dotted, shorten

MOST_ENTRIES = 20_000
# What Unicode does not take apart: Macedonian and Serbian Cyrillic as road signs write it, and a few Latin letters.
_CYRILLIC = "а:a б:b в:v г:g д:d ѓ:gj е:e ж:zh з:z ѕ:dz и:i ј:j к:k л:l љ:lj м:m н:n њ:nj о:o п:p р:r с:s т:t ќ:kj"  # noqa: RUF001 - Cyrillic is meant
_OTHERS = "ћ:c у:u ф:f х:h ц:c ч:ch џ:dj ш:sh ђ:dj đ:d ł:l ø:o ß:ss æ:ae œ:oe"  # noqa: RUF001 - likewise
_LETTERS = str.maketrans(dict(pair.split(":") for pair in f"{_CYRILLIC} {_OTHERS}".split()))


@dataclass(frozen=True, slots=True)
class Entry:
    """``data`` as the inventory would have it. ``places`` has the place of the value at each path that has one."""

    section: str
    key: str
    data: Mapping[str, Any]
    file: str
    place: Place
    places: Mapping[Path, Place] = field(default_factory=dict)

    def problem(self, path: Path, message: str, hint: str = "") -> Problem:
        """Return a mistake at ``path`` below this entry, at the place of the nearest value that has one."""
        place, parent = None, path
        while place is None and parent:
            place, parent = self.places.get(parent), parent[:-1]
        place = place or self.place
        return Problem(self.file, place.line, place.column, dotted((self.section, self.key, *path)), message, hint)


@dataclass(frozen=True, slots=True)
class Found:
    """What a source holds: ``entries``, ``problems`` (then nothing is written), and ``notes`` on what was left out."""

    entries: tuple[Entry, ...]
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


def key_of(name: str) -> str:
    """Return the key that a name suggests: ``Jažince (cesta)`` is ``jazince-cesta``; empty when there is none."""
    plain = unicodedata.normalize("NFKD", name.casefold().translate(_LETTERS))
    plain = "".join(char for char in plain if not unicodedata.combining(char)).translate(_LETTERS)
    key = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:63].rstrip("-")
    return key if re.fullmatch(KEY, key) else ""


def doubled(entries: Iterable[Entry]) -> list[Problem]:
    """Return a Problem for each entry whose key an earlier one has."""
    first: dict[tuple[str, str], Entry] = {}
    found = []
    for entry in entries:
        before = first.setdefault((entry.section, entry.key), entry)
        if before is not entry:
            hint = "give one of them another key" if before.data != entry.data else "remove one"
            found.append(entry.problem((), f"the key '{shorten(entry.key)}' is that of line {before.place.line}", hint))
    return found
