"""A run's report on the screen: what was measured, what was found, who decided, and the timeline."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from console.terminal.changes import seen
from console.terminal.drift_view import drift_view
from console.terminal.screen import Cell, Screen, cell, state, table
from console.terminal.words import BAD, GOOD, QUIET, STRONG, STYLES, span
from dr.journal.override import ALONE

WIDE = 110


def report_view(report: dict[str, Any], screen: Screen) -> Iterator[RenderableType]:
    """Yield the parts of ``report`` (``dr.evidence.report.Report`` as JSON)."""
    yield Text.assemble(
        (report["run_id"], STRONG), "  ", (report["state"].replace("_", " "), STYLES.get(report["state"], ""))
    )
    why = f": {report['reason']}" if report["reason"] else ""
    yield cell(
        f"{report['playbook']} of {report['system_name']}, {report['from_site']} to {report['to_site']}, "
        f"asked for by {report['requester']}{why}"
    )
    if report["by_itself"]:
        yield cell(report["by_itself"])
    if report["approved_by"]:
        yield cell(f"approved by {report['approved_by']}")
    if report["readiness"]:
        yield cell(f"readiness: {report['readiness']}")
    if report["end_reason"]:
        yield cell(report["end_reason"], STYLES.get(report["state"], ""))
    yield Text()
    yield measured(report, notes=screen.console.width >= WIDE)
    if report["findings"]:
        yield Text()
        yield Text("Findings", STRONG)
        for finding in report["findings"]:
            yield cell(f"- {_finding(finding)}", STYLES.get(finding["severity"], ""))
    if report["not_known"]:
        yield Text()
        yield Text("Not known", STRONG)
        for sentence in report["not_known"]:
            yield cell(f"- {sentence}")
    yield from drift_view(report["drift"])
    yield from _overridden(report["overrides"], screen)
    if report["people"]:
        yield Text()
        rows = [(screen.moment(one["at"]), one["by"], _said(one["what"], one["comment"])) for one in report["people"]]
        yield table(("AT", "WHO", "DECIDED"), rows, keep=2)
    yield Text()
    yield table(("STEP", "STATE", "TOOK", "PROOF"), [_step(step) for step in report["steps"]], keep=3)
    yield Text()
    rows = [(screen.moment(one["at"]), one["step"], one["text"]) for one in report["timeline"]]
    yield table(("AT", "STEP", "WHAT HAPPENED"), rows, keep=2)
    yield Text()
    yield cell(f"To keep: karaula run report {report['run_id']} --html {report['run_id']}.html", QUIET)


def measured(report: dict[str, Any], *, notes: bool = False) -> RenderableType:
    """Return what was measured, with ``notes`` also from when to when."""
    rows = [(*_measure(one), cell(one["note"], QUIET) if notes else "") for one in report["measures"]]
    return table(("MEASURED", "", "OBJECTIVE", "", ""), rows)


def _measure(one: dict[str, Any]) -> tuple[Cell, ...]:
    verdict: Cell = ""
    if one["objective"] is not None:
        verdict = {True: cell("met", GOOD), False: cell("missed", BAD), None: cell("cannot be said", QUIET)}[one["met"]]
    objective = "" if one["objective"] is None else _value(one["objective"], one["unit"])
    value = "not known" if one["value"] is None else f"{one['bound']} {_value(one['value'], one['unit'])}".strip()
    return one["title"], value, objective, verdict


def _value(value: float, unit: str) -> str:
    return span(value) if unit == "s" else f"{value:g} {unit.removesuffix('s') if value == 1 else unit}"


def _finding(finding: dict[str, Any]) -> str:
    return f"{finding['severity']}: {finding['what']}"


def _overridden(overrides: list[dict[str, Any]], screen: Screen) -> Iterator[RenderableType]:
    rows = []
    for one in overrides:
        second = one["confirmed_by"] or ("not needed" if one["rule"] in ALONE else "nobody: it counted for nothing")
        over_at = one["expires_at"] if one["ended_at"] is None else one["ended_at"]
        stood = f"{screen.moment(one['asked_at'])} to {screen.moment(over_at)}"
        rows.append((one["rule"], one["by"], second, stood, one["reason"]))
    if rows:
        yield Text()
        yield table(("OVERRIDDEN", "BY", "SECOND PERSON", "STOOD", "WHY"), rows, keep=2)


def _said(what: str, comment: str) -> str:
    return f"{what}: {comment}" if comment else what


def _step(step: dict[str, Any]) -> tuple[Cell, ...]:
    attempts = [one for one in step["attempts"] if one.get("kind", "attempt") == "attempt"]
    took = ""
    if attempts and attempts[-1]["ended_at"] is not None:
        took = span(attempts[-1]["ended_at"] - attempts[0]["started_at"])
    again = f" ({len(attempts)} attempts)" if len(attempts) > 1 else ""
    proof = seen(step["state"], step["evidence"]) or (attempts[-1]["reason"] if attempts else "")
    return step["id"], state(step["state"]), took, f"{proof}{again}"
