"""Templates, and how times, lengths and readings are written on a page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from console.api.desk import desk_of
from console.terminal.words import DAY_S, HOUR_S, MINUTE_S, alarm_word, clean, span, state_word

UNITS = {"celsius": "°C", "percent": "%", "watts": "W", "ug_per_m3": "µg/m³"}
TEMPLATES = Path(__file__).parent / "templates"
_NOTHING_MORE = re.compile(r" 00? (s|min|h)$")


def page(
    request: Request, template: str, status: int = 200, headers: Mapping[str, str] | None = None, **values: Any
) -> HTMLResponse:
    """Return the page; every template may use the estate's name, the time and the daemon's own problems."""
    desk = desk_of(request)
    environment: Environment = request.app.state.templates
    values |= {"estate": desk.title, "now": desk.clock.now(), "problems": desk.problems()}
    return HTMLResponse(environment.get_template(template).render(values), status, headers)


def make_environment(zone: str) -> Environment:
    """Return the templates' environment; times are shown in the time zone ``zone``."""
    local = ZoneInfo(zone)
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_readable,
    )
    environment.filters["clock"] = lambda at: datetime.fromtimestamp(at, local).strftime("%a %d %b %H:%M:%S %Z")
    environment.filters["span"] = lambda seconds: span(max(0.0, seconds))
    environment.filters["age"] = age
    environment.filters["brief"] = brief
    environment.filters["alarm"] = lambda alarm: alarm_word(alarm.name, alarm.cause)
    environment.filters["limit"] = limit
    environment.filters["ms"] = lambda value: "not known" if value is None else f"{value * 1000:.1f} ms"
    environment.filters["percent"] = lambda ratio: f"{ratio * 100:.3g} %"
    environment.filters["reading"] = reading
    environment.filters["word"] = state_word
    return environment


def age(seconds: float) -> str:
    """Return how long something has lasted, in whole seconds: a page is some seconds old itself."""
    return span(float(round(max(0.0, seconds)))).replace(".0 s", " s")


def brief(seconds: float) -> str:
    """Return how long something has been so, in one unit and never more than it is: ``3 min``."""
    seconds = max(0.0, seconds)
    for unit_s, unit in ((DAY_S, "d"), (HOUR_S, "h"), (MINUTE_S, "min")):
        if seconds >= unit_s:
            return f"{int(seconds // unit_s)} {unit}"
    return f"{int(seconds)} s"


def limit(seconds: float) -> str:
    """Return an objective as people say it: ``15 min``, not ``15 min 00 s``."""
    return _NOTHING_MORE.sub("", span(float(round(seconds)))).replace(".0 s", " s")


def reading(value: float, unit: str) -> str:
    """Return a sensor's value with its unit; a boolean one as a word."""
    if unit == "boolean":
        return "yes" if value else "no"
    return f"{value:.4g} {UNITS.get(unit, unit)}"


def _readable(value: object) -> object:
    """Return a text without what could move or reorder the text around it; what a page is made of goes unchanged."""
    return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value
