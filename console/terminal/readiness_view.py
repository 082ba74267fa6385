"""How ready a system is, on the screen: its total, and each check with its light and why."""

from __future__ import annotations

from rich.console import RenderableType
from rich.text import Text

from console.terminal.readiness_shapes import Readiness
from console.terminal.screen import Cell, cell, table
from console.terminal.words import STRONG, STYLES


def readiness_view(found: Readiness) -> list[RenderableType]:
    """Return a system's total and every check of it."""
    rows: list[tuple[Cell, ...]] = [
        (check["name"], _light(check["light"]), cell(check["sentence"])) for check in found["checks"]
    ]
    return [readiness_line(found), table(("CHECK", "", "BECAUSE"), rows, keep=2)]


def readiness_line(found: Readiness) -> Text:
    """Return a system's total in one line."""
    return Text.assemble((found["system"], STRONG), " to ", found["site"], ": ", _light(found["total"]))


def _light(light: str) -> Text:
    return Text(light.upper() if light == "red" else light, STYLES.get(light, ""))
