"""What the dashboards are made of: panels as plain values, laid out from left to right, as Grafana's JSON in the end.

A panel says what it asks and how its numbers are to be read; where it stands, its id and its data source are worked out
here. Grafana's schema version 38 (Grafana 9.4 and later).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

COLUMNS = 24
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
GREEN, YELLOW, ORANGE, RED, DARK_RED, PURPLE, BLUE, GREY = (
    *("green", "yellow", "orange", "red", "dark-red", "purple", "blue", "text"),
)
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ask:
    """A query and how its series are named."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. ``defaults`` go into ``fieldConfig``; ``more`` beside it (transformations, links)."""

    title: str
    kind: str
    width: int
    height: int
    asks: tuple[Ask, ...]
    defaults: Json = field(default_factory=dict)
    options: Json = field(default_factory=dict)
    overrides: tuple[Json, ...] = ()
    about: str = ""
    more: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    """A heading over the panels after it."""

    title: str


@dataclass(frozen=True, slots=True)
class Choice:
    """A variable: the values of ``label`` of ``metric``."""

    name: str
    label: str
    metric: str


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard."""

    uid: str
    title: str
    about: str
    parts: tuple[Panel | Row, ...]
    choices: tuple[Choice, ...] = ()
    since: str = "now-6h"
    refresh: str = "10s"


def number(state: int, text: str, color: str) -> tuple[str, Json]:
    """Return the reading of one number as a word and a colour."""
    return str(state), {"text": text, "color": color, "index": state}


def reading(*words: tuple[str, str]) -> Json:
    """Return ``defaults`` that read 0, 1, 2, … as these words in these colours."""
    options = dict(number(place, text, color) for place, (text, color) in enumerate(words))
    return {"mappings": [{"type": "value", "options": options}]}


UP_DOWN = reading(("down", RED), ("up", GREEN))
NO_YES = reading(("no", GREEN), ("yes", RED))
OFF_ON = reading(("off", YELLOW), ("on", GREEN))


def limits(*steps: tuple[float, str], below: str = GREEN, unit: str = "", decimals: int | None = None) -> Json:
    """Return ``defaults`` with a colour from each number on."""
    found: Json = {
        "thresholds": {
            "mode": "absolute",
            "steps": [{"color": below, "value": None}, *({"color": color, "value": value} for value, color in steps)],
        },
        "color": {"mode": "thresholds"},
    }
    return found | ({"unit": unit} if unit else {}) | ({} if decimals is None else {"decimals": decimals})


def states(metric: str, by: str, words: tuple[str, ...], only: str = "") -> str:
    """Return the expression that gives the place in ``words`` of the state that each subject is in, the worst first."""
    more = f", {only}" if only else ""
    parts = [f'max by ({by}) ({metric}{{state="{word}"{more}}} == 1) * {place}' for place, word in enumerate(words)]
    return " or ".join(reversed(parts))


def stat(title: str, size: tuple[int, int], ask: Ask, defaults: Json, about: str = "", link: str = "") -> Panel:
    """Return large numbers or words on coloured ground, one for each series; ``link`` is where a click leads."""
    links = {"links": [{"title": title, "url": link}]} if link else {}
    named = "value_and_name" if ask.legend else "value"
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "background",
        "graphMode": "none",
        "textMode": named,
        "justifyMode": "center",
    }
    return Panel(title, "stat", *size, (ask,), {"noValue": "not known"} | defaults | links, options, about=about)


def lines(title: str, size: tuple[int, int], *asks: Ask, unit: str = "", about: str = "", **bounds: float) -> Panel:
    """Return curves; ``min`` and ``max`` bound the axis."""
    defaults: Json = {"custom": {"spanNulls": False, "fillOpacity": 5}, **bounds} | ({"unit": unit} if unit else {})
    options = {
        "legend": {"displayMode": "list", "placement": "bottom"},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return Panel(title, "timeseries", *size, asks, defaults, options, about=about)


def timeline(title: str, size: tuple[int, int], ask: Ask, defaults: Json, about: str = "") -> Panel:
    """Return a coloured band for each series."""
    options = {
        "mergeValues": True,
        "showValue": "auto",
        "rowHeight": 0.8,
        "legend": {"displayMode": "list", "placement": "bottom"},
    }
    return Panel(title, "state-timeline", *size, (ask,), defaults, options, about=about)


def bars(title: str, size: tuple[int, int], ask: Ask, defaults: Json, about: str = "") -> Panel:
    """Return a bar for each series."""
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "displayMode": "basic",
        "orientation": "horizontal",
        "showUnfilled": True,
    }
    return Panel(title, "bargauge", *size, (ask,), defaults, options, about=about)


def table(
    title: str, size: tuple[int, int], expr: str, columns: dict[str, str], unit: str = "", about: str = ""
) -> Panel:
    """Return a table of the labels in ``columns`` (label: heading); ``Value`` among them is the number, in ``unit``."""
    names = list(columns)
    overrides: tuple[Json, ...] = ()
    if unit:
        shown = {
            "matcher": {"id": "byName", "options": columns["Value"]},
            "properties": [{"id": "unit", "value": unit}],
        }
        overrides = (shown,)
    places = {name: place for place, name in enumerate(names)}
    transformations = [
        {"id": "filterFieldsByName", "options": {"include": {"names": names}}},
        {"id": "organize", "options": {"indexByName": places, "renameByName": columns}},
    ]
    options = {"showHeader": True, "cellHeight": "sm"}
    more = {"transformations": transformations}
    return Panel(title, "table", *size, (Ask(expr),), {}, options, overrides, about, more)


def to_json(board: Board) -> Json:
    """Return the dashboard as Grafana reads it."""
    panels: list[Json] = []
    left = top = tallest = 0
    for part in board.parts:
        if isinstance(part, Row) or left + part.width > COLUMNS:
            left, top, tallest = 0, top + tallest, 0
        if isinstance(part, Row):
            place = {"x": 0, "y": top, "w": COLUMNS, "h": 1}
            panels.append({"id": len(panels) + 1, "type": "row", "title": part.title, "collapsed": False, "panels": []})
            top += 1
        else:
            place = {"x": left, "y": top, "w": part.width, "h": part.height}
            panels.append(_panel(part, len(panels) + 1))
            left, tallest = left + part.width, max(tallest, part.height)
        panels[-1]["gridPos"] = place
    links = {"type": "dashboards", "title": "Karaula", "tags": ["karaula"], "asDropdown": False, "includeVars": False}
    return {
        "uid": board.uid,
        "title": board.title,
        "description": board.about,
        "tags": ["karaula"],
        "timezone": "browser",
        "schemaVersion": 38,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": board.refresh,
        "time": {"from": board.since, "to": "now"},
        "links": [links | {"keepTime": True}],
        "annotations": {"list": []},
        "templating": {"list": [_SOURCE_CHOICE, *(_choice(each) for each in board.choices)]},
        "panels": panels,
    }


def _panel(panel: Panel, number_: int) -> Json:
    instant = panel.kind in ("stat", "table", "bargauge")
    targets = []
    for letter, ask in zip("ABCDEFGH", panel.asks, strict=False):
        target: Json = {"refId": letter, "expr": ask.expr, "datasource": SOURCE}
        target |= {"legendFormat": ask.legend} if ask.legend else {}
        target |= {"instant": True, "range": False} if instant else {}
        targets.append(target | ({"format": "table"} if panel.kind == "table" else {}))
    found: Json = {
        "id": number_,
        "type": panel.kind,
        "title": panel.title,
        "datasource": SOURCE,
        "targets": targets,
        "fieldConfig": {"defaults": panel.defaults, "overrides": list(panel.overrides)},
        "options": panel.options,
    }
    return found | ({"description": panel.about} if panel.about else {}) | panel.more


_SOURCE_CHOICE: Json = {
    "name": "datasource",
    "label": "Data source",
    "type": "datasource",
    "query": "prometheus",
    "current": {"text": "Prometheus", "value": "karaula-prometheus"},
}


def _choice(choice: Choice) -> Json:
    query = f"label_values({choice.metric}, {choice.name})"
    return {
        "name": choice.name,
        "label": choice.label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": choice.name},
        "definition": query,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "refresh": 2,
        "sort": 1,
        "current": {"text": "All", "value": "$__all"},
    }
