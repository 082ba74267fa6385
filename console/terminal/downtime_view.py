"""Planned downtimes on the screen."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from console.terminal.screen import Cell, Screen, cell, table
from console.terminal.shapes import Downtime, DowntimesAnswer
from console.terminal.words import CALL, QUIET, span

HEADINGS = ("OF", "FROM", "TO", "OWNER", "BECAUSE", "ID")


def listed(answer: DowntimesAnswer, screen: Screen) -> Iterator[RenderableType]:
    """Yield the downtimes in force, those ahead and, where they were asked for, those of the past."""
    if not (answer["in_force"] or answer["upcoming"] or answer["past"]):
        yield cell("no downtime is in force or planned")
        return
    first = True
    for heading, found in (("in force", answer["in_force"]), ("ahead", answer["upcoming"]), ("past", answer["past"])):
        if found:
            if not first:
                yield Text()
            first = False
            yield cell(heading, CALL if heading == "in force" else QUIET)
            yield table(HEADINGS, [_row(each, screen) for each in found])


def in_force(downtime: Downtime, screen: Screen) -> Text:
    """Return the line for the overview."""
    left = span(downtime["end"] - screen.now)
    text = f"{downtime['subject']} is in planned downtime for another {left}, {downtime['owner']}: {downtime['reason']}"
    return cell(text, CALL)


def said(downtime: Downtime, screen: Screen) -> str:
    """Return what was announced as one sentence."""
    what = f"{downtime['subject']} and what depends on it"
    begin = "now" if downtime["start"] <= screen.now else screen.moment(downtime["start"])
    return f"{what}: planned downtime from {begin} to {screen.moment(downtime['end'])}, {downtime['owner']}"


def _row(downtime: Downtime, screen: Screen) -> tuple[Cell, ...]:
    end = screen.moment(downtime["end"])
    if downtime["ended_by"]:
        end += f" (ended by {downtime['ended_by']})"
    name = downtime["id"] if downtime["origin"] == "command" else f"calendar: {downtime['job']}"
    start = screen.moment(downtime["start"])
    return downtime["subject"], start, end, downtime["owner"], downtime["reason"], cell(name, QUIET)
