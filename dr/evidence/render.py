"""Reports as JSON with a stable schema, and as self-contained HTML pages that read on a phone and on paper."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime, tzinfo
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from jinja2 import Environment, PackageLoader, StrictUndefined

from dr.evidence.collect import Measure
from dr.evidence.joint import JointReport
from dr.evidence.report import Report
from dr.evidence.year import Year
from dr.forecast import ENOUGH, Forecast

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400
TENTH_S = 0.1


class Times:
    """Moments as a report shows them: in the estate's time zone, with the day where the run went over midnight."""

    def __init__(self, report: Report | JointReport) -> None:
        self._zone = _zone(report.timezone)
        last = report.ended_at if report.ended_at is not None else report.made_at
        one_day = self._at(report.accepted_at).date() == self._at(last).date()
        self._form = "%H:%M:%S.%f" if one_day else "%m-%d %H:%M:%S.%f"

    def when(self, at: float | None) -> str:
        """Return a moment in full; empty for none."""
        return "" if at is None else self._at(at).strftime("%Y-%m-%d %H:%M:%S %Z")

    def clock(self, at: float) -> str:
        """Return the time of day, to the millisecond."""
        return self._at(at).strftime(self._form)[:-3]

    def _at(self, at: float) -> datetime:
        return datetime.fromtimestamp(at, self._zone)


def to_data(report: Report | JointReport) -> dict[str, Any]:
    """Return the report as JSON data. ``schema`` grows with every change that a reader could trip over."""
    return asdict(report)


def to_json(report: Report) -> str:
    """Return the report as JSON text, keys sorted."""
    return json.dumps(to_data(report), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def to_html(report: Report | JointReport) -> str:
    """Return one HTML page without scripts or external parts; everything of the run is escaped."""
    times = Times(report)
    return (
        _environment()
        .get_template("report.html" if isinstance(report, Report) else "joint.html")
        .render(
            report=report,
            when=times.when,
            clock=times.clock,
            value=shown_value,
            span=span,
            verdict=verdict,
            tick_text=tick_text,
        )
    )


def year_to_html(year: Year) -> str:
    """Return a year's overview as one HTML page without scripts or external parts."""
    zone = _zone(year.timezone)

    def when(at: float) -> str:
        return datetime.fromtimestamp(at, zone).strftime("%Y-%m-%d %H:%M")

    return _environment().get_template("year.html").render(year=year, when=when, span=span)


def span(seconds: float) -> str:
    """Return a duration as people say it."""
    if seconds < 0:
        return f"-{span(-seconds)}"
    if seconds < MINUTE_S - TENTH_S / 2:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < HOUR_S:
        return _two(whole, MINUTE_S, "min", 1, "s")
    if whole < DAY_S:
        return _two(whole, HOUR_S, "h", MINUTE_S, "min")
    return f"{seconds / DAY_S:.1f} d"


def _two(seconds: float, large_s: int, large: str, small_s: int, small: str) -> str:
    """Return a duration in two units, the smaller one only where it is not 0."""
    rest = int(seconds % large_s // small_s)
    return f"{int(seconds // large_s)} {large}" + (f" {rest} {small}" if rest else "")


def tick_text(seconds: float) -> str:
    """Return a moment of a picture's axis: ``0``, ``2.5 s``, ``5 min``, ``2 h``."""
    for size, unit in ((HOUR_S, "h"), (MINUTE_S, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s" if seconds < MINUTE_S else span(seconds)


def expectation(past: Forecast) -> str:
    """Return how long the machine will need, as far as past runs tell."""
    if past.p50_s is None or past.p90_s is None:
        return f"Machine time: insufficient data ({past.n} of {ENOUGH} past runs of the same steps)."
    path = ", ".join(past.critical)
    return f"Machine time: {span(past.p50_s)} (P50), {span(past.p90_s)} (P90) of {past.n} past runs; it goes by {path}."


def shown_value(measure: Measure) -> str:
    """Return a measure's value with its bound and unit."""
    if measure.value is None:
        return "not known"
    text = (
        span(measure.value)
        if measure.unit == "s"
        else f"{measure.value:g} {measure.unit.removesuffix('s') if measure.value == 1 else measure.unit}"
    )
    return f"{measure.bound} {text}".strip()


def verdict(measure: Measure) -> str:
    """Say whether the objective was met."""
    if measure.objective is None:
        return ""
    return {True: "met", False: "missed", None: "cannot be said"}[measure.met]


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("dr.evidence"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
