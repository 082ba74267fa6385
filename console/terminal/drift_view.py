"""What a run has set, against what is observed now: the shape that comes over the wire, and the table of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from rich.console import RenderableType
from rich.text import Text

from console.terminal.screen import cell, table
from console.terminal.words import BAD, GOOD, QUIET, STRONG

STYLE = {"agrees": GOOD, "drift": BAD, "unknown": QUIET}


class Compared(TypedDict):
    """One thing that a step has set, against what is observed now."""

    system: str
    site: str
    field: str
    declared: str
    run: str
    step: str
    at: float
    observed: str
    agreement: str
    why: str
    part: str


def drift_view(compared: Sequence[Compared]) -> list[RenderableType]:
    """Return the table; nothing for nothing."""
    if not compared:
        return []
    rows = [
        (
            _what(one),
            one["declared"],
            cell(_observed(one), STYLE[one["agreement"]]),
            one["step"],
            cell(one["why"]),
        )
        for one in compared
    ]
    heads = ("WHAT", "DECLARED", "OBSERVED", "BY STEP", "BECAUSE")
    return [Text(), Text("What it has set, and what is observed now", STRONG), table(heads, rows, keep=2)]


def _what(one: Compared) -> str:
    part = f" of {one['part']}" if one["part"] else ""
    return f"{one['field']}{part}" + (f" at {one['site']}" if one["field"] in {"role", "fence", "power"} else "")


def _observed(one: Compared) -> str:
    return f"DRIFT: {one['observed']}" if one["agreement"] == "drift" else one["observed"] or "unknown"
