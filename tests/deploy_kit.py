"""Reads what deploy/ ships for Prometheus and Grafana: every query with where it stands and the labels it must give."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
RULE_FILES = tuple(sorted((ROOT / "deploy" / "prometheus" / "rules").glob("*.yml")))
RUNBOOKS = ROOT / "docs" / "runbooks"
RULE_TESTS = ROOT / "deploy" / "prometheus" / "tests"
DASHBOARDS = ROOT / "deploy" / "grafana" / "dashboards"
SELECTOR = re.compile(r"\b(karaula[_:][a-z0-9_:]+|up|scrape_duration_seconds)\b\s*(\{[^}]*\})?")
MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
GRAFANA_FIELDS = {"Time", "Value", "__name__"}


@dataclass(frozen=True, slots=True)
class Query:
    """An expression, where it stands, and the labels that legends, columns or texts take from its result."""

    where: str
    expr: str
    labels: frozenset[str]
    alert: bool = False
    record: str = ""


@cache
def rules() -> list[dict[str, Any]]:
    """Return every rule as written."""
    groups = [group for path in RULE_FILES for group in yaml.safe_load(path.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


@cache
def seen_to_fire() -> dict[str, list[dict[str, str]]]:
    """Return for every alert the label sets with which a rule test sees it fire (promtool holds them to be true)."""
    found: dict[str, list[dict[str, str]]] = {}
    for path in sorted(RULE_TESTS.glob("*.yml")):
        for test in yaml.safe_load(path.read_text())["tests"]:
            for case in test["alert_rule_test"]:
                for alert in case.get("exp_alerts", []):
                    found.setdefault(case["alertname"], []).append(alert["exp_labels"])
    return found


def rule_queries() -> list[Query]:
    """Return the query of every rule."""
    return [
        Query(
            where=rule.get("alert") or rule["record"],
            expr=" ".join(rule["expr"].split()),
            labels=frozenset(re.findall(r"\$labels\.(\w+)", " ".join(rule.get("annotations", {}).values()))),
            alert="alert" in rule,
            record=rule.get("record", ""),
        )
        for rule in rules()
    ]


@cache
def dashboards() -> dict[str, dict[str, Any]]:
    """Return every dashboard by its file's name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(DASHBOARDS.glob("*.json"))}


def panel_queries() -> list[Query]:
    """Return the query of every panel and of every variable, Grafana's own variables filled in."""
    found = []
    for name, board in dashboards().items():
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                query = variable["query"]["query"]
                metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", query).groups()  # type: ignore[union-attr] # a test: None is a failure
                found.append(Query(f"{name}: variable {variable['name']}", metric, frozenset({label})))
        for panel in board["panels"]:
            columns = table_columns(panel)
            for target in panel.get("targets", []):
                legend = re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", ""))
                found.append(
                    Query(f"{name}: {panel['title']}", fill_in(target["expr"]), frozenset(legend) | frozenset(columns))
                )
    return found


def table_columns(panel: dict[str, Any]) -> list[str]:
    """Return the labels that a table shows as columns."""
    shown = [
        column
        for step in panel.get("transformations", [])
        if step["id"] == "filterFieldsByName"
        for column in step["options"]["include"]["names"]
    ]
    return [column for column in shown if column not in GRAFANA_FIELDS and not column.startswith("Value #")]


def fill_in(expr: str) -> str:
    """Return the expression with everything chosen and the smallest rate interval that makes sense here."""
    return re.sub(r"\$(system|site|crossing|operator)\b", ".*", expr).replace("$__rate_interval", "30s")


def selectors(expr: str) -> list[tuple[str, dict[str, str]]]:
    """Return the metric of every vector selector with its matchers (label: value)."""
    return [
        (name, {label: value for label, _, value in MATCHER.findall(braces or "")})
        for name, braces in SELECTOR.findall(expr)
    ]
