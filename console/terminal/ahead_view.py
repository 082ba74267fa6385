"""What a dry run has met, on a screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from rich.text import Text

from console.terminal.screen import cell, table
from console.terminal.words import BAD, CALL, GOOD, QUIET, STRONG

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

WORDS = {
    "holds-already": ("holds already", GOOD),
    "to-do": ("to be done", ""),
    "as-wanted": ("as wanted", GOOD),
    "in-the-way": ("IN THE WAY", BAD),
    "not-known": ("not known", CALL),
    "not-asked": ("not asked", QUIET),
}


class Ahead(TypedDict):
    """What a step would meet now (``console.api.plan_views.AheadView``)."""

    step: str
    action: str
    site: str
    met: str
    sentence: str


def ahead_view(system: str, met: Sequence[Ahead]) -> list[RenderableType]:
    """Return what each step of the system's run would meet, and nothing of it was changed."""
    rows = [
        (
            one["step"],
            f"{one['action']} at {one['site']}",
            Text(*WORDS.get(one["met"], (one["met"], ""))),
            cell(one["sentence"]),
        )
        for one in met
    ]
    title = Text(f"What a run of {system} would meet now (nothing was changed):", STRONG)
    return [title, table(("STEP", "ACTION", "NOW", "BECAUSE"), rows, keep=3)]
