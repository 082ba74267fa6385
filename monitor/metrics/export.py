"""Rendering ``/metrics``: Prometheus text format 0.0.4, or OpenMetrics 1.0.0 where the scraper asks for it.

The types are prometheus_client's (``SnapshotCollector``), the text is written here, because its ``generate_latest``
takes half a second for 30,000 samples: a sample's line is kept and reused while its value stays. A test holds both to
be equal.
Source: Prometheus "Exposition formats"; OpenMetrics 1.0.0.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from prometheus_client.core import Metric as ClientMetric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from monitor.metrics.catalog import Family, Metric

PLAIN = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
MOST_STRAY_LINES = 10_000
NAME = "application/openmetrics-text"
VERSIONS = (";version=1.0.0", ";version=0.0.1")  # the second is what older Prometheus servers called the first
WHOLE = ("count", "sum")  # of a histogram: the samples that are no buckets
QUALITY = re.compile(r"[01](\.[0-9]{0,3})?")


class SnapshotCollector(Collector):
    """The families of one moment as prometheus_client's own types."""

    def __init__(self, families: Iterable[Family]) -> None:
        """Take the families; they do not change any more."""
        self._families = tuple(families)

    def collect(self) -> Iterator[ClientMetric]:
        """Yield each family."""
        for family in self._families:
            described = family.metric
            metric = ClientMetric(_stem(described), described.help, described.kind, described.unit)
            for labels, value in family.samples:
                metric.add_sample(_name(described, labels), dict(_pairs(described, labels)), value + 0.0)
            yield metric


class Exporter:
    """Renders families; keeps the lines of samples that do not change."""

    def __init__(self) -> None:
        """Start with nothing kept."""
        self._lines: dict[str, dict[tuple[str, ...], tuple[float, str]]] = {}

    def render(self, families: Iterable[Family], accept: str = "") -> tuple[bytes, str]:
        """Return body and content type for a scraper that sent this ``Accept`` header.

        Raises ValueError when a metric is given twice.
        """
        openmetrics = wants_openmetrics(accept)
        parts: list[str] = []
        seen: set[str] = set()
        for family in families:
            if family.metric.name in seen:
                raise ValueError(f"metric {family.metric.name} is given twice")
            seen.add(family.metric.name)
            parts.extend(_head(family.metric, openmetrics=openmetrics))
            parts.extend(self._body(family))
        if openmetrics:
            parts.append("# EOF\n")
        return "".join(parts).encode(), OPENMETRICS if openmetrics else PLAIN

    def _body(self, family: Family) -> list[str]:
        metric = family.metric
        kept = self._lines.setdefault(metric.name, {})
        if len(kept) > 2 * len(family.samples) + MOST_STRAY_LINES:
            kept.clear()  # mostly lines of what is no more
        found: list[str] = []
        for labels, value in family.samples:
            entry = kept.get(labels)
            if entry is not None and entry[0] == value:
                found.append(entry[1])
                continue
            before = entry[1].rpartition(" ")[0] if entry is not None else _series(metric, labels)
            line = f"{before} {number(value)}\n"
            kept[labels] = (value, line)
            found.append(line)
        return found


_EXPORTER = Exporter()


def render(snapshot: Iterable[Family], accept: str = "", extra: Iterable[Family] = ()) -> tuple[bytes, str]:
    """Return body and content type of both halves' families. Raises ValueError when a metric is given twice."""
    return _EXPORTER.render((*snapshot, *extra), accept)


def wants_openmetrics(accept: str) -> bool:
    """Return whether the scraper takes OpenMetrics 1.0.0, and no less gladly than the plain format."""
    liked = max((accepted(accept, f"{NAME}{version}") for version in VERSIONS), default=0.0)
    return liked > 0 and liked >= accepted(accept, "text/plain")


def accepted(header: str, what: str) -> float:
    """Return the q-value (0 to 1) that an ``Accept`` or ``Accept-Encoding`` header gives ``what``; 0: it must not be.

    Only what is named counts, no wildcard; of a media type's parameters only ``version`` tells it from others, and one
    without is taken as any. A q-value that is no number is a 0. Source: RFC 9110, 12.4.2, 12.5.1, 12.5.3.
    """
    wanted, _, wanted_version = what.partition(";version=")
    found = 0.0
    for part in header.split(","):
        name, *parameters = (word.strip().lower() for word in part.split(";"))
        said = dict(word.replace(" ", "").partition("=")[::2] for word in parameters)
        if name != wanted or (wanted_version and said.get("version", wanted_version) != wanted_version):
            continue
        found = max(found, _quality(said.get("q", "1")))
    return found


def _quality(text: str) -> float:
    return min(float(text), 1.0) if QUALITY.fullmatch(text) else 0.0


def number(value: float) -> str:
    """Return a sample's value as text; a negative zero is shown as zero."""
    return str(floatToGoString(value + 0.0))  # type: ignore[no-untyped-call] # prometheus_client has no type there


def _stem(metric: Metric) -> str:
    return metric.name.removesuffix("_total") if metric.kind == "counter" else metric.name


def _head(metric: Metric, *, openmetrics: bool) -> list[str]:
    name = _stem(metric) if openmetrics else metric.name
    lines = [f"# HELP {name} {metric.help}\n", f"# TYPE {name} {metric.kind}\n"]
    if openmetrics and metric.unit:
        lines.append(f"# UNIT {name} {metric.unit}\n")
    return lines


def _series(metric: Metric, labels: tuple[str, ...]) -> str:
    name, pairs = _name(metric, labels), sorted(_pairs(metric, labels))
    if not pairs:
        return name
    return name + "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in pairs) + "}"


def _name(metric: Metric, labels: tuple[str, ...]) -> str:
    """Return a sample's name; a histogram has three kinds of samples."""
    if metric.kind != "histogram":
        return metric.name
    return f"{metric.name}_{labels[-1] if labels[-1] in WHOLE else 'bucket'}"


def _pairs(metric: Metric, labels: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Return a sample's labels with their values; a bucket's bound is one of them."""
    if metric.kind != "histogram":
        return zip(metric.labels, labels, strict=True)
    names = metric.labels if labels[-1] in WHOLE else (*metric.labels, "le")
    return zip(names, labels[: len(names)], strict=True)


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
