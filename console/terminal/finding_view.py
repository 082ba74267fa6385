"""Findings on the screen: the list, and one with all that became of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from console.terminal.screen import Screen, cell, table
from console.terminal.words import BAD, CALL, QUIET, STRONG

if TYPE_CHECKING:
    from console.terminal.finding_shapes import Finding, FindingDetail

SEVERITY = {"critical": BAD, "warning": CALL}


def findings_table(found: Sequence[Finding], screen: Screen) -> Iterator[RenderableType]:
    """Yield the list, or that there is nothing to see to."""
    if not found:
        yield Text("no finding waits for anybody")
        return
    rows = [
        (
            one["number"],
            cell(one["severity"], SEVERITY.get(one["severity"], "")),
            one["system"],
            cell(_state(one, screen), BAD if one["overdue"] else ""),
            cell(one["what"]),
        )
        for one in found
    ]
    yield table(("NO", "SEVERITY", "SYSTEM", "STATE", "WHAT"), rows, keep=3)


def finding_lines(one: Finding, screen: Screen) -> Iterator[RenderableType]:
    """Yield everything about one finding."""
    yield Text.assemble(
        (f"finding {one['number']}  ", STRONG),
        (one["severity"], SEVERITY.get(one["severity"], "")),
        (f"  {_state(one, screen)}", BAD if one["overdue"] else ""),
    )
    yield cell(f"{one['system']}: {one['what']}")
    yield cell(f"entered {screen.moment(one['entered_at'])} by {one['entered_by']}", QUIET)
    if one["runs"]:
        yield cell(f"found by {', '.join(one['runs'])}", QUIET)
    if one["action"]:
        yield cell(f"action: {one['action']} ({one['owner']}, until {screen.moment(one['due_at'] or 0.0)})")
    if one["done_by"]:
        yield cell(f"done by {one['done_by']}: {one['evidence']}")
    if one["over_by"]:
        yield cell(f"{one['state']} by {one['over_by']}" + (f": {one['comment']}" if one["comment"] else ""))


def history(one: FindingDetail, screen: Screen) -> Iterator[RenderableType]:
    """Yield all that became of a finding."""
    yield Text()
    rows = [(screen.moment(each["at"]), each["text"]) for each in one["history"]]
    yield table(("AT", "WHAT BECAME OF IT"), rows)


def _state(one: Finding, screen: Screen) -> str:
    if one["state"] == "action-agreed":
        late = "OVERDUE, was due" if one["overdue"] else "due"
        return f"{one['owner']}, {late} {screen.moment(one['due_at'] or 0.0)}"
    return one["state"].replace("-", " ")
