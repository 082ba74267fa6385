"""Where a command writes: tables for people, one JSON document for programs, notes on standard error.

On a terminal tables fit its width; into a pipe nothing is wrapped, cut or coloured, so that lines can be searched.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, tzinfo
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from console.terminal.words import STYLES, clean, moment, moment_and_age, state_word
from monitor.clock import Clock, RealClock
from monitor.printable import printable

SCHEMA_VERSION = 1
PIPE_WIDTH = 100_000
Cell = str | Text


class Screen:
    """The user's terminal, or what stands in its place."""

    def __init__(self, *, as_json: bool = False, clock: Clock | None = None) -> None:
        """With ``as_json`` only ``document`` writes to standard output."""
        self.as_json = as_json
        self.clock: Clock = clock or RealClock()
        self.zone: tzinfo = UTC
        plain = bool(os.environ.get("NO_COLOR")) or not sys.stdout.isatty()
        self.console = Console(
            color_system=None if plain else "auto",
            no_color=plain,
            markup=False,
            emoji=False,
            highlight=False,
            soft_wrap=False,
            width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH,
        )
        self.attended = not as_json and self.console.is_terminal
        self.live = self.attended and not self.console.is_dumb_terminal

    @property
    def now(self) -> float:
        """Wall time in Unix seconds."""
        return self.clock.now()

    def say(self, *parts: RenderableType) -> None:
        """Write ``parts``, without blanks at the ends of lines."""
        if self.as_json:
            return
        if self.console.is_terminal:
            self.console.print(Group(*parts))
            return
        with self.console.capture() as caught:
            self.console.print(Group(*parts))
        sys.stdout.write("\n".join(line.rstrip() for line in caught.get().split("\n")))
        sys.stdout.flush()

    def line(self, text: str) -> None:
        """Write one line of text of the world, at once and never broken: nothing in it can pass for a line of ours."""
        if not self.as_json:
            sys.stdout.write(printable(text.replace("\t", " ")) + "\n")
            sys.stdout.flush()

    def note(self, text: str) -> None:
        """Write a remark to standard error, beside the result."""
        sys.stderr.write(clean(text) + "\n")
        sys.stderr.flush()

    def document(self, body: Mapping[str, Any]) -> None:
        """Write ``body`` as JSON with the version of its shape, when JSON is wanted."""
        if self.as_json:
            whole = {"schema_version": SCHEMA_VERSION, **body}
            sys.stdout.write(json.dumps(whole, indent=2, ensure_ascii=False) + "\n")
            sys.stdout.flush()

    def moment(self, at: float) -> str:
        """Return the time of day of ``at`` in the estate's zone."""
        return moment(at, self.now, self.zone)

    def when(self, at: float | None) -> str:
        """Return time of day and age of ``at``."""
        return moment_and_age(at, self.now, self.zone)


def cell(text: str, style: str = "") -> Text:
    """Return text of the world as a cell: no markup in it, no control characters."""
    return Text(clean(text), style)


def state(word: str) -> Text:
    """Return a state in its colour and as people read it."""
    return Text(clean(state_word(word)), STYLES.get(word, ""))


def table(headings: Sequence[str], rows: Iterable[Sequence[Cell]], *, keep: int = 1) -> Table:
    """Return a table without its empty columns; the first ``keep`` are never broken, the last takes what is left."""
    listed = [[cell(part) if isinstance(part, str) else part for part in row] for row in rows]
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", show_edge=False)
    used = [n for n, heading in enumerate(headings) if heading or any(row[n] for row in listed)]
    for number in used:
        made.add_column(headings[number], no_wrap=number < keep, overflow="fold")
    for row in listed:
        made.add_row(*(row[number] for number in used))
    return made
