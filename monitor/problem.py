"""A mistake in a configuration file: where, what, and what was probably meant."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake; sorts by its place.

    ``line`` and ``column`` count from 1. ``path`` is dotted (``links.tabanovce.backup.operator``), empty for the
    whole file. ``hint`` is a finished clause without its full stop (``did you mean 'operator-b'?``) or empty.
    """

    file: str
    line: int
    column: int
    path: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        """Render as ``file:line:column: path: message; hint``."""
        where = f"{self.file}:{self.line}:{self.column}: "
        path = f"{self.path}: " if self.path else ""
        hint = f"; {self.hint}" if self.hint else ""
        return f"{where}{path}{self.message}{hint}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``did you mean 'x'?`` for the closest of ``known``, else what is known, else nothing."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{close[0]}'?"
    if names and len(names) <= 8:  # noqa: PLR2004 - a longer list helps nobody
        return "known: " + ", ".join(names)
    return ""
