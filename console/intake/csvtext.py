"""CSV with the place of every cell (RFC 4180, and what spreadsheets make of it).

UTF-8 with or without BOM, or UTF-16 with one ("Unicode text"); any other encoding must be named, for a guess would
turn Ž into something else. The separator is what the header line has most of (``;`` ``,`` or a tab), or what Excel's
``sep=`` says. A formula is refused: what it would come to is not in the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from monitor.errors import InventoryError
from monitor.problem import Problem
from monitor.yamlfile import MAX_BYTES, Place, shorten

SEPARATORS = (";", ",", "\t")
LONGEST_CELL = 2000
MOST_CELLS = 200_000
_FORMULA = re.compile(r"[=@]|[+-](?![0-9.,])")
_FORCED_TEXT = re.compile(r'="([^"]*)"')  # how Excel is made to keep leading zeros
_EXCEL_ERROR = re.compile(r"#(REF!|N/A|VALUE!|NAME\?|DIV/0!|NULL!|NUM!|SPILL!|#+)")
_SEP_LINE = re.compile(r'"?sep=(.)"?\r?\n', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell's text without the blanks around it, and where it begins."""

    text: str
    place: Place


class _Mistake(Exception):
    def __init__(self, place: Place, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.place, self.message, self.hint = place, message, hint


def rows(raw: bytes, file: str, encoding: str = "") -> tuple[list[list[Cell]], list[Problem]]:
    """Return the rows that are not blank, the header first, and every mistake in single cells.

    Raises InventoryError for what spoils the whole file: its encoding, its size, a quote that is not closed.
    """
    try:
        text = _decoded(raw, encoding)
        found = list(_rows(text))
    except _Mistake as error:
        problem = Problem(file, error.place.line, error.place.column, "", error.message, error.hint)
        raise InventoryError([problem]) from error
    problems = [
        Problem(file, cell.place.line, cell.place.column, "", *wrong)
        for row in found
        for cell in row
        if (wrong := _wrong(cell.text)) is not None
    ]
    return [[_plain(cell) for cell in row] for row in found if any(cell.text for cell in row)], problems


def _decoded(raw: bytes, encoding: str) -> str:
    top = Place(1, 1)
    if len(raw) > MAX_BYTES:
        raise _Mistake(top, f"the file is larger than {MAX_BYTES // 1024 // 1024} MiB")
    wide = raw[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        text = raw.decode("utf-16" if wide else encoding or "utf-8-sig")
    except LookupError as error:
        raise _Mistake(top, f"there is no encoding '{shorten(encoding)}'") from error
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        hint = "name it: --encoding cp1250 for Latin letters from a Balkan Windows, cp1251 for Cyrillic"
        where = Place(line, error.start - (raw.rfind(b"\n", 0, error.start) + 1) + 1)
        raise _Mistake(where, f"this byte is not {'UTF-16' if wide else encoding or 'UTF-8'}", hint) from error
    return text.removeprefix("\ufeff")


def _rows(text: str) -> Iterator[list[Cell]]:
    said = _SEP_LINE.match(text)
    start, line = (said.end(), 2) if said else (0, 1)
    separator = said[1] if said else _separator(text)
    reader = _Reader(text, start, line, separator)
    while reader.at < len(text):
        yield reader.row()


def _separator(text: str) -> str:
    header = re.sub(r'"[^"]*"', "", text.partition("\n")[0])
    return max(SEPARATORS, key=lambda one: (header.count(one), one == ","))


@dataclass(slots=True)
class _Reader:
    """Where reading has come to: ``at`` in the text, in ``line``, which begins at ``line_at``."""

    text: str
    at: int
    line: int
    separator: str
    line_at: int = -1
    cells: int = 0

    def row(self) -> list[Cell]:
        self.line_at = self.at
        found = []
        while True:
            found.append(self._cell())
            self.cells += 1
            if self.cells > MOST_CELLS:
                raise _Mistake(found[-1].place, f"the file has more than {MOST_CELLS} cells")
            ended = self.at >= len(self.text) or self.text[self.at] != self.separator
            if ended:
                self._newline()
                return found
            self.at += 1

    def _cell(self) -> Cell:
        begun = Place(self.line, self.at - self.line_at + 1)
        if self.text[self.at : self.at + 1] == '"':
            return Cell(self._quoted(begun).strip(), begun)
        end = self.at
        while end < len(self.text) and self.text[end] not in (self.separator, "\n", "\r"):
            end += 1
        cell = Cell(self.text[self.at : end].strip(), begun)
        self.at = end
        return cell

    def _quoted(self, begun: Place) -> str:
        parts = []
        while True:
            end = self.text.find('"', self.at + 1)
            if end < 0:
                raise _Mistake(begun, "the quote that opens here is not closed")
            part = self.text[self.at + 1 : end]
            parts.append(part)
            if (breaks := part.count("\n")) > 0:
                self.line += breaks
                self.line_at = self.at + 1 + part.rfind("\n") + 1
            self.at = end + 1
            if self.text[self.at : self.at + 1] != '"':
                break
            parts.append('"')
        rest = self.text[self.at : self.at + 1]
        if rest and rest not in (self.separator, "\n", "\r"):
            where = Place(self.line, self.at - self.line_at + 1)
            raise _Mistake(where, f"expected '{self.separator}' or the end of the line after the quote, found '{rest}'")
        return "".join(parts)

    def _newline(self) -> None:
        if self.text.startswith("\r\n", self.at):
            self.at += 2
        elif self.at < len(self.text):
            self.at += 1
        self.line += 1


def _wrong(text: str) -> tuple[str, str] | None:
    if len(text) > LONGEST_CELL:
        return f"a cell of {len(text)} characters; {LONGEST_CELL} is the most taken", ""
    if any(not char.isprintable() for char in text):
        return f"a control character or line break stands in this cell: '{shorten(text)}'", "remove it"
    if _EXCEL_ERROR.fullmatch(text):
        return f"the spreadsheet says '{shorten(text)}' here", "mend the formula, or leave the cell empty"
    if _FORMULA.match(text) and not _FORCED_TEXT.fullmatch(text):
        return f"this is a formula: '{shorten(text)}'", "paste it as a value"
    return None


def _plain(cell: Cell) -> Cell:
    forced = _FORCED_TEXT.fullmatch(cell.text)
    return Cell(forced[1], cell.place) if forced else cell
