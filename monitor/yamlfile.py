"""YAML that keeps line and column and has no surprises; for the inventory and the playbooks.

Scalars follow the core schema of YAML 1.2.2 (section 10.3): ``22:30``, ``no``, ``on`` and ``1_000`` are text, ``010``
is ten. Anchors, aliases, tags, a second document, the same key twice and keys that are not text are mistakes.
The events of libyaml are put together here without recursion, so depth and size are bounded whatever the file holds.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import yaml

from monitor.errors import InventoryError
from monitor.problem import Problem

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Iterator

Path = tuple[str | int, ...]
At = Literal["key", "value"]

MAX_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 50
MAX_VALUES = 200_000

_CONSTANTS: Mapping[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_MAX_NUMBER = 40  # characters; nothing that is meant as a number is longer
_MAX_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Place:
    """A position in a file; both count from 1."""

    line: int
    column: int


_TOP = Place(1, 1)


@dataclass(frozen=True, slots=True)
class Document:
    """What a file says, and where it says it.

    ``data`` holds str, int, float, bool, None, list and dict. ``keys`` has the place of every mapping key (and of
    every list item), ``values`` that of every value; both by path, the whole file being ``()``. ``sha256`` is the
    fingerprint of the very bytes that were read.
    """

    file: str
    data: dict[str, Any]
    keys: Mapping[Path, Place]
    values: Mapping[Path, Place]
    sha256: str

    def problem(self, path: Path, message: str, hint: str = "", at: At = "value") -> Problem:
        """Return a mistake at ``path``; where that is not written, the place is that of its nearest parent's key."""
        place = (self.keys if at == "key" else self.values).get(path)
        parent = path
        while place is None:
            parent = parent[:-1]
            place = self.keys.get(parent, _TOP if not parent else None)
        return Problem(self.file, place.line, place.column, dotted(path), message, hint)


def dotted(path: Path) -> str:
    """Return ``links.tabanovce.backup`` or ``notify.mail_to[0]`` for a path."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ".?" if part.startswith("\0") else f".{shorten(part)}"
    return text.removeprefix(".")


def shorten(text: str) -> str:
    """Return ``text`` on one line, without control characters, and not longer than a message can bear."""
    text = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text[: _MAX_SHOWN + 1])
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…"


def load(path: pathlib.Path) -> Document:
    """Read the file ``path``, whose top must be a mapping. Raises InventoryError with every Problem found."""
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InventoryError([Problem(str(path), 1, 1, "", f"cannot be read: {reason}")]) from error
    return parse(raw, str(path))


def parse(raw: bytes, file: str) -> Document:
    """Read ``raw``, whose top must be a mapping; ``file`` names it. Raises InventoryError with every Problem found."""
    builder = _Builder(file)
    try:
        builder.feed(_decode(raw, file))
    except yaml.YAMLError as error:
        builder.problems.append(_syntax_problem(error, raw, file))
    except _TooMuch as stop:
        builder.blame(stop.place, stop.message)
    data = builder.root
    if not builder.problems and not isinstance(data, dict):
        found = "nothing: the file is empty" if data is None else describe(data)
        builder.blame(builder.values.get((), _TOP), f"expected keys and values at the top, found {found}")
    if builder.problems or not isinstance(data, dict):
        raise InventoryError(sorted(builder.problems))
    return Document(file, data, builder.keys, builder.values, hashlib.sha256(raw).hexdigest())


def describe(value: object) -> str:
    """Return how to call a value found in a file: ``'abc'``, ``5``, ``a list``, ``nothing``."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "keys and values"
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"'{shorten(value)}'" if isinstance(value, str) else shorten(str(value))


class _TooMuch(Exception):
    """The file is deeper or larger than anything meant by a person; reading stops."""

    def __init__(self, place: Place, message: str) -> None:
        super().__init__(message)
        self.place = place
        self.message = message


@dataclass(slots=True)
class _Open:
    """A mapping or list that is being read; ``key`` is where the next value goes."""

    path: Path
    into: dict[str, Any] | list[Any]
    key: str | int | None = None


@dataclass(slots=True)
class _Builder:
    """Puts events together."""

    file: str
    root: Any = None
    keys: dict[Path, Place] = field(default_factory=dict)
    values: dict[Path, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    _stack: list[_Open] = field(default_factory=list)
    _documents: int = 0
    _spoilt_keys: int = 0

    def blame(self, place: Place, message: str, hint: str = "", path: Path = ()) -> None:
        self.problems.append(Problem(self.file, place.line, place.column, dotted(path), message, hint))

    def feed(self, text: str) -> None:
        for event in _events(text):
            place = _place(event.start_mark)
            if isinstance(event, yaml.DocumentStartEvent):
                self._documents += 1
                if self._documents > 1:
                    self.blame(place, "a second document starts here", "write one document a file, without '---'")
                    return
            elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
                self._stack.pop()
            elif isinstance(
                event, (yaml.ScalarEvent, yaml.AliasEvent, yaml.MappingStartEvent, yaml.SequenceStartEvent)
            ):
                self._node(event, place)

    def _node(self, event: yaml.NodeEvent, place: Place) -> None:
        if len(self.values) >= MAX_VALUES:
            raise _TooMuch(place, f"the file holds more than {MAX_VALUES} values")
        self._forbid(event, place)
        top = self._stack[-1] if self._stack else None
        if top is not None and isinstance(top.into, dict) and top.key is None:
            top.key = self._key(event, place, top)
            if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
                self._push((*top.path, top.key), {} if isinstance(event, yaml.MappingStartEvent) else [], place)
            return
        path = self._path(top, place)
        self.values[path] = place
        value: Any = None
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event, path, place)
        elif isinstance(event, yaml.MappingStartEvent):
            value = {}
        elif isinstance(event, yaml.SequenceStartEvent):
            value = []
        self._put(top, value)
        if isinstance(value, (dict, list)):
            self._push(path, value, place)

    def _path(self, top: _Open | None, place: Place) -> Path:
        if top is None:
            return ()
        if isinstance(top.into, list):
            path: Path = (*top.path, len(top.into))
            self.keys[path] = place
            return path
        return (*top.path, top.key if top.key is not None else "")

    def _put(self, top: _Open | None, value: Any) -> None:
        if top is None:
            self.root = value
        elif isinstance(top.into, list):
            top.into.append(value)
        else:
            top.into[str(top.key)] = value
            top.key = None

    def _push(self, path: Path, into: dict[str, Any] | list[Any], place: Place) -> None:
        if len(self._stack) >= MAX_DEPTH:
            raise _TooMuch(place, f"nested deeper than {MAX_DEPTH} levels")
        self._stack.append(_Open(path, into))

    def _key(self, event: yaml.NodeEvent, place: Place, top: _Open) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            if not isinstance(event, yaml.AliasEvent):  # already blamed
                self.blame(place, "a key must be text, found a list or a mapping", path=top.path)
            return self._spoilt()
        key = str(event.value)
        if event.implicit[0] and not isinstance(resolve(key), str):
            found = shorten(key) if key else "nothing before ':'"
            self.blame(place, f"a key must be text, found {found}", "put it in quotes" if key else "", top.path)
            return self._spoilt()
        path = (*top.path, key)
        if path in self.keys:
            first = self.keys[path].line
            self.blame(place, "this key stands here twice", f"it is first on line {first}", path)
            return self._spoilt()
        self.keys[path] = place
        return key

    def _spoilt(self) -> str:
        # A key that cannot be used gets a name of its own, so that reading goes on and finds further mistakes.
        self._spoilt_keys += 1
        return f"\0{self._spoilt_keys}"

    def _forbid(self, event: yaml.NodeEvent, place: Place) -> None:
        if isinstance(event, yaml.AliasEvent):
            self.blame(place, f"aliases (*{shorten(str(event.anchor))}) are not allowed", "write the value out")
            return
        if event.anchor is not None:
            self.blame(place, f"anchors (&{shorten(str(event.anchor))}) are not allowed", "remove it")
        tag = getattr(event, "tag", None)
        if tag is not None:
            self.blame(place, f"tags ({shorten(str(tag))}) are not allowed", "write the plain value")

    def _scalar(self, event: yaml.ScalarEvent, path: Path, place: Place) -> Any:
        text = str(event.value)
        if not event.implicit[0]:  # quoted, a block, or tagged
            return text
        if len(text) > _MAX_NUMBER and (_INTEGER.fullmatch(text) or _FLOAT.fullmatch(text)):
            self.blame(place, f"a number of {len(text)} digits", "put it in quotes if it is text", path)
            return None
        return resolve(text)


def resolve(text: str) -> str | int | float | bool | None:
    """Return the value of a plain scalar by the core schema of YAML 1.2.2."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if len(text) > _MAX_NUMBER:
        return text
    if _INTEGER.fullmatch(text):
        return int(text[2:], 16 if text[1] == "x" else 8) if text[:2] in {"0x", "0o"} else int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _INFINITE.fullmatch(text):
        return float(text.replace(".", ""))
    return text


def _place(mark: Any) -> Place:
    return _TOP if mark is None else Place(mark.line + 1, mark.column + 1)


def _events(text: str) -> Iterator[yaml.Event]:
    parser = yaml.CSafeLoader(text)  # only its parser is used: nothing is composed or constructed
    try:
        while (event := parser.get_event()) is not None:
            yield event
    finally:
        parser.dispose()


def _decode(raw: bytes, file: str) -> str:
    if len(raw) > MAX_BYTES:
        raise InventoryError([Problem(file, 1, 1, "", f"the file is larger than {MAX_BYTES // 1024 // 1024} MiB")])
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = _place_of_byte(raw, error.start)
        problem = Problem(file, place.line, place.column, "", "this byte is not UTF-8", "save the file as UTF-8")
        raise InventoryError([problem]) from error


def _place_of_byte(raw: bytes, offset: int) -> Place:
    before = raw[:offset].decode("utf-8-sig", errors="replace")
    return Place(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)


# libyaml's words and ours; the first part of its problem that matches counts. Where the mistake began (an open quote
# or bracket) is more useful than where the parser gave up, hence "context".
_WORDS: tuple[tuple[str, str, Literal["context", "problem"]], ...] = (
    ("found unexpected end of stream", "the quote that opens here is not closed", "context"),
    ("found unexpected document indicator", "the quote that opens here is not closed", "context"),
    ("did not find expected ',' or ']'", "the list that opens here with '[' lacks a ',' or its ']'", "context"),
    ("did not find expected ',' or '}'", "what opens here with '{' lacks a ',' or its '}'", "context"),
    ("found a tab character", "a tab stands here; indent with spaces", "problem"),
    (
        "mapping values are not allowed",
        "this ':' cannot stand here; check the indentation, or quote the text",
        "problem",
    ),
    ("did not find expected key", "expected a key here; check the indentation and the brackets", "problem"),
    (
        "did not find expected '-' indicator",
        "expected '- ' here like the lines above it; check the indentation",
        "problem",
    ),
    ("block sequence entries are not allowed", "a list item cannot start here; put it on its own line", "problem"),
    ("could not find expected ':'", "expected ':' after this key", "context"),
    ("found unknown escape character", "this backslash means nothing; use single quotes, or write \\\\", "problem"),
    ("did not find expected node content", "expected a value here", "problem"),
    (
        "did not find expected <document start>",
        "the file has ended before this line, or it is indented wrongly",
        "problem",
    ),
    ("did not find expected whitespace", "expected a space here", "problem"),
)


def _syntax_problem(error: yaml.YAMLError, raw: bytes, file: str) -> Problem:
    if isinstance(error, yaml.reader.ReaderError):
        place = _place_of_byte(raw.removeprefix(b"\xef\xbb\xbf"), error.position)
        return Problem(file, place.line, place.column, "", "a control character stands here", "remove it")
    if not isinstance(error, yaml.MarkedYAMLError):  # libyaml reports nothing else; say what it said
        return Problem(file, 1, 1, "", f"not YAML: {error}")
    problem, mark = error.problem or "", error.problem_mark or error.context_mark
    message = f"not YAML: {problem}"
    if "cannot start any token" in problem and mark is not None:
        message = _bad_start(raw, mark)
    for begin, ours, at in _WORDS:
        if problem.startswith(begin):
            message = ours
            mark = error.context_mark if at == "context" and error.context_mark is not None else mark
            break
    place = _place(mark)
    return Problem(file, place.line, place.column, "", message)


def _bad_start(raw: bytes, mark: Any) -> str:
    lines = raw.decode("utf-8-sig", errors="replace").split("\n")
    char = lines[mark.line][mark.column : mark.column + 1] if mark.line < len(lines) else ""
    if char == "\t":
        return "a tab stands here; indent with spaces"
    return f"a value cannot start with '{shorten(char)}'; put it in quotes"
