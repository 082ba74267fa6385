"""Putting entries into an inventory that a person keeps: text is inserted, nothing of theirs is touched.

New lines go to the end of their section, in its indentation and with its line ends; a section that is not there comes
to the end of the file. A key that is there stays as it is. The result is read by the inventory's own reader before it
takes the file's place; with any mistake nothing is written.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError, create_model

from console.intake.entry import Entry
from console.intake.yamltext import entry_line, section_text
from monitor.errors import InventoryError, StateError
from monitor.inventory.explain import explain
from monitor.inventory.model import Inventory
from monitor.inventory.read import checked
from monitor.problem import Problem
from monitor.yamlfile import Document, dotted, parse, shorten

INDENT = 2
_ASIDE = re.compile(r"[ \t]*(#.*)?\r?\n?")


@dataclass(frozen=True, slots=True)
class Merged:
    """The text as it would be, what was ``added``, and of keys that are there: the ``same``, and how others differ."""

    before: str
    text: str
    added: tuple[Entry, ...]
    same: tuple[Entry, ...]
    differing: tuple[str, ...]

    def diff(self, file: str) -> str:
        """Return the change as a unified diff."""
        lines = difflib.unified_diff(
            self.before.splitlines(keepends=True), self.text.splitlines(keepends=True), file, f"{file} (new)"
        )
        return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def merge(raw: bytes, file: str, entries: Sequence[Entry]) -> Merged:
    """Return ``raw``, the bytes of inventory ``file``, with ``entries`` in it.

    Raises InventoryError with every mistake of the inventory as it is, or as it would be; one of an entry stands at
    the place that the entry came from.
    """
    document = parse(raw, file)
    checked(document)
    before = raw.decode("utf-8")
    added, same, differing = _sorted(entries, document)
    text = before
    for section in dict.fromkeys(entry.section for entry in added):
        text = _insert(text, file, section, [entry for entry in added if entry.section == section])
    if added:
        _prove(text, file, document, added)
    return Merged(before, text, tuple(added), tuple(same), tuple(differing))


def _sorted(entries: Iterable[Entry], document: Document) -> tuple[list[Entry], list[Entry], list[str]]:
    added, same, differing = [], [], []
    for entry in entries:
        section = document.data.get(entry.section)
        there = section.get(entry.key) if isinstance(section, dict) else None
        if there is None:
            added.append(entry)
            continue
        ways = list(_differences((), there, entry.data))
        if ways:
            differing.append(f"{entry.section}.{entry.key} is there already and stays: {'; '.join(ways)}")
        else:
            same.append(entry)
    return added, same, differing


def _differences(path: tuple[str, ...], there: Any, here: Any) -> Iterator[str]:
    """Yield how what is imported differs; what the inventory says beyond it is no difference."""
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        for key, value in here.items():
            yield from _differences((*path, key), there.get(key), value)
    elif (list(here) if isinstance(here, tuple) else here) != there:
        shown = "nothing" if there is None else f"'{shorten(str(there))}'"
        yield f"{dotted(path)} is {shown}, not '{shorten(str(here))}'"


def _insert(text: str, file: str, section: str, entries: Sequence[Entry]) -> str:
    """Return ``text`` with the entries at the end of ``section``."""
    document = parse(text.encode(), file)
    lines = text.splitlines(keepends=True)
    newline = "\r\n" if lines and lines[0].endswith("\r\n") else "\n"
    if section not in document.data:
        ended = "" if not text or text.endswith("\n") else newline
        return f"{text}{ended}{newline}{section_text(section, entries, newline)}"
    key, value = document.keys[section,], document.values[section,]
    held = document.data[section]
    if held == {} and value.line == key.line:  # `checks: {}`
        line = lines[key.line - 1]
        at = value.column - 1
        lines[key.line - 1] = line[:at].rstrip() + re.sub(r"\{\s*\}", "", line[at:], count=1)
    elif isinstance(held, dict) and held and _flows(document, section, lines):
        hint = "write its entries on lines of their own"
        raise InventoryError(
            [document.problem((section,), "is written as { … }, where nothing can be added", hint, "key")]
        )
    keys = [place for path, place in document.keys.items() if len(path) == 2 and path[0] == section]  # noqa: PLR2004 - (section, key)
    indent = keys[0].column - 1 if keys else INDENT
    end = _end(document, key.line, len(lines), lines)
    if not lines[end - 1].endswith("\n"):
        lines[end - 1] += newline
    return "".join([*lines[:end], *(entry_line(entry, indent, newline) for entry in entries), *lines[end:]])


def _flows(document: Document, section: str, lines: Sequence[str]) -> bool:
    place = document.values[section,]
    return lines[place.line - 1][place.column - 1 : place.column] == "{"


def _end(document: Document, begun: int, last: int, lines: Sequence[str]) -> int:
    """Return how many lines there are up to the end of the section whose key is on line ``begun``."""
    after = [place.line for path, place in document.keys.items() if len(path) == 1 and place.line > begun]
    end = min(after, default=last + 1) - 1
    # What stands between sections belongs to the next one: blank lines, and comments at the margin.
    while end > begun and _ASIDE.fullmatch(lines[end - 1]) and not lines[end - 1].startswith((" ", "\t")):
        end -= 1
    return end


def _prove(text: str, file: str, before: Document, added: Sequence[Entry]) -> None:
    """Raise InventoryError unless ``text`` says what was there, and the entries, and nothing is wrong with it."""
    origin = {(entry.section, entry.key): entry for entry in added}
    wanted: dict[str, Any] = {
        name: dict(part) if isinstance(part, dict) else part for name, part in before.data.items()
    }
    for entry in added:
        wanted[entry.section] = {**(wanted.get(entry.section) or {}), entry.key: _listed(entry.data)}
    try:
        document = parse(text.encode(), file)
        checked(document)
    except InventoryError as error:
        problems = [_placed(problem, origin) for problem in error.problems]
        raise InventoryError(sorted(problems)) from error
    if document.data != wanted:
        raise InventoryError([Problem(file, 1, 1, "", "new lines do not fit in here; this is a defect in karaula")])


def _listed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _listed(each) for key, each in value.items()}
    return [_listed(each) for each in value] if isinstance(value, (list, tuple)) else value


def alone(entries: Sequence[Entry]) -> str:
    """Return the entries as text of their own. Raises InventoryError with every mistake that shows without the rest."""
    sections = dict.fromkeys(entry.section for entry in entries)
    text = "\n".join(section_text(name, [each for each in entries if each.section == name]) for name in sections)
    fields: dict[str, Any] = {name: (Inventory.model_fields[name].annotation, ...) for name in sections}
    model = create_model("Part", __config__={"extra": "forbid"}, **fields)
    document = parse(text.encode(), "import")
    try:
        model.model_validate(document.data)
    except ValidationError as error:
        origin = {(entry.section, entry.key): entry for entry in entries}
        problems = [_placed(problem, origin) for problem in explain(error, model, document)]
        raise InventoryError(sorted(problems)) from error
    return text


def _placed(problem: Problem, origin: Mapping[tuple[str, str], Entry]) -> Problem:
    """Return the problem at the place that the entry came from, when it is one of an entry."""
    section, _, rest = problem.path.partition(".")
    key, *path = rest.split(".") if rest else [""]
    entry = origin.get((section, key))
    return problem if entry is None else entry.problem(tuple(path), problem.message, problem.hint)


def write(path: Path, merged: Merged) -> Path:
    """Put the new text in place of the file, all or nothing; the old one is kept beside it, and its path is returned.

    Raises StateError when the disk or somebody else's editor is in the way.
    """
    target = path.resolve()
    backup = target.with_name(f"{target.name}.bak")
    try:
        fresh = _beside(target, merged.text.encode())
        try:
            _swap(target, fresh, backup, merged.before.encode())
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise StateError(f"{path} cannot be written: {error.strerror}") from error
    return backup


def _beside(target: Path, content: bytes) -> Path:
    """Return a new file on the disk beside ``target``, with its owner and permissions."""
    status = target.stat()
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        os.fchmod(file.fileno(), status.st_mode & 0o7777)
        with contextlib.suppress(PermissionError):
            os.fchown(file.fileno(), status.st_uid, status.st_gid)
        file.flush()
        os.fsync(file.fileno())
    return Path(name)


def _swap(target: Path, fresh: Path, backup: Path, expected: bytes) -> None:
    """Put ``fresh`` in place of ``target``, kept as ``backup``. Raises StateError when it is not as ``expected``."""
    if target.read_bytes() != expected:
        raise StateError(f"{target} was changed while it was being read; nothing is written, try again")
    backup.unlink(missing_ok=True)
    os.link(target, backup)
    fresh.replace(target)
