"""A year's overview on the screen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from console.terminal.screen import Cell, Screen, cell, state, table
from console.terminal.words import BAD, GOOD, QUIET, STRONG, span

KINDS = ("drill", "backup", "verify", "switchover", "failover", "reprotect", "failback")


def year_view(year: dict[str, Any], screen: Screen) -> Iterator[RenderableType]:
    """Yield the parts of ``year`` (``dr.evidence.year.Year`` as JSON)."""
    until = "" if year["over"] else f", until {screen.moment(year['until'])}"
    yield Text(f"{year['estate']}: exercises and recoveries of {year['year']}{until}", STRONG)
    yield Text()
    rows = [(one["name"], *(_count(one["counts"][kind]) for kind in KINDS)) for one in year["systems"]]
    yield table(("WELL/ENDED", *(kind.upper() for kind in KINDS)), rows)
    yield Text()
    rows = [
        (one["name"], *_reached(one["recovery_time"]), *_reached(one["lost_time"]), f"{one['longest_gap_days']:.0f} d")
        for one in year["systems"]
    ]
    yield table(("SYSTEM", "RTO", "WORST RTA", "RPO", "WORST RPA", "LONGEST GAP OF GOOD DRILLS"), rows)
    if year["joint"]:
        yield Text()
        rows = [
            (screen.moment(one["ended_at"]), one["kind"], ", ".join(one["systems"]), state(one["state"]), _all(one))
            for one in year["joint"]
        ]
        yield table(("BY ONE REQUEST", "WHAT", "SYSTEMS", "STATE", "ALL BACK IN"), rows)
    yield Text()
    states = ", ".join(f"{count} {state.replace('-', ' ')}" for state, count in year["findings_by_state"].items())
    yield cell(f"findings: {states}; {year['overdue']} overdue", BAD if year["overdue"] else "")
    for clause in year["clauses"]:
        yield Text()
        yield Text.assemble((clause["clause"], STRONG), f": {clause['asks']}")
        yield cell(f"  shows: {clause['shows']}")
        yield cell(f"  cannot show: {clause['cannot']}", QUIET)


def _count(count: dict[str, int]) -> Cell:
    if not count["ended"]:
        return cell("0", QUIET)
    return cell(f"{count['well']}/{count['ended']}", GOOD if count["well"] == count["ended"] else BAD)


def _all(one: dict[str, Any]) -> str:
    return "" if one["rta_s"] is None else span(one["rta_s"])


def _reached(reached: dict[str, Any]) -> tuple[Cell, Cell]:
    worst = reached["worst_s"]
    if worst is None:
        return span(reached["objective_s"]), cell("not measured", QUIET)
    return span(reached["objective_s"]), cell(span(worst), BAD if reached["missed"] else GOOD)
