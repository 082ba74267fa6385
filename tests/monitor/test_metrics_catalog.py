"""The catalogue and the page that documents it."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

import pytest
from watch_kit import ROOT

from monitor.metrics import configuration, sla
from monitor.metrics.catalog import LABELS_TO_AVOID, METRICS, Metric

if TYPE_CHECKING:
    from collections.abc import Iterable

PAGE = ROOT / "docs" / "metrics.md"


def everything() -> tuple[Metric, ...]:
    recovery: tuple[Metric, ...] = importlib.import_module("dr.metrics").METRICS
    return (*METRICS, *recovery, *configuration.METRICS, *sla.METRICS)


def document(sections: Iterable[tuple[str, Iterable[Metric]]]) -> str:
    """Return ``docs/metrics.md``: a table of metrics for each named section."""
    lines = [
        "# Metrics",
        "",
        "What `/metrics` shows. Names carry their base unit; a value that is not known is left out, not zero, and its",
        "age is in `karaula_subject_seen_timestamp_seconds`. Nothing is collected during a scrape",
        "([0010](decisions/0010-status-from-observations-only.md)). This page is written from the code; a test",
        "says how to write it anew.",
    ]
    for title, metrics in sections:
        lines += ["", f"## {title}", "", "| metric | kind | labels | meaning |", "| --- | --- | --- | --- |"]
        for metric in metrics:
            labels = " ".join(f"`{label}`" for label in metric.labels)
            lines.append(f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |")
    return "\n".join(lines) + "\n"


def test_the_page_is_what_the_code_says() -> None:
    recovery: tuple[Metric, ...] = importlib.import_module("dr.metrics").METRICS
    sections = (
        ("The estate", METRICS),
        ("Service levels", sla.METRICS),
        ("Recovery", recovery),
        ("The configuration", configuration.METRICS),
    )
    text = document(sections)
    if os.environ.get("KARAULA_WRITE_DOCS"):
        PAGE.write_text(text)
    again = "write it anew with: KARAULA_WRITE_DOCS=1 pytest tests/monitor/test_metrics_catalog.py"
    assert PAGE.read_text() == text, again


def test_every_name_is_there_once() -> None:
    names = [metric.name for metric in everything()]
    assert sorted(set(names)) == sorted(names)


def test_a_counter_and_a_gauge_never_differ_by_their_ending_only() -> None:
    """OpenMetrics names a counter's family without ``_total``."""
    names = [metric.name.removesuffix("_total") for metric in everything()]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("metric", everything(), ids=lambda metric: metric.name)
def test_names_and_labels_keep_the_rules(metric: Metric) -> None:
    ends = ("_seconds", "_ratio", "_celsius", "_watts", "_bytes")
    unit = next((end[1:] for end in ends if metric.name.removesuffix("_total").endswith(end)), "")
    assert metric.unit == unit
    assert not LABELS_TO_AVOID.intersection(metric.labels)
    assert not any(word in metric.name for word in ("_ms", "_percent", "milli", "minutes"))
    assert "reason" not in metric.labels


@pytest.mark.parametrize(
    ("name", "kind", "unit", "labels", "text"),
    [
        ("karaula_things", "counter", "", (), "Things"),
        ("karaula_things_total", "gauge", "", (), "Things"),
        ("things_total", "counter", "", (), "Things"),
        ("karaula_wait", "gauge", "seconds", (), "Wait"),
        ("karaula_things", "gauge", "", ("dc",), "Things"),
        ("karaula_things", "gauge", "", (), 'Things "said"'),
        ("karaula_things", "gauge", "", (), ""),
    ],
)
def test_a_bad_metric_cannot_be_made(name: str, kind: str, unit: str, labels: tuple[str, ...], text: str) -> None:
    with pytest.raises(ValueError, match=r"karaula|things"):
        Metric(name, kind, unit, labels, text)  # type: ignore[arg-type] # parametrized
