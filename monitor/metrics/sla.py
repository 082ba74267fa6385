"""The present month's service levels, as metric families. Only figures are shown that were reckoned before."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from monitor.metrics.catalog import Family, Metric
from monitor.sla.period import SECOND_US

if TYPE_CHECKING:
    from monitor.sla.document import MonthPart

AVAILABILITY = Metric(
    "karaula_link_sla_availability_measured_ratio",
    "gauge",
    "ratio",
    ("crossing", "link", "operator"),
    "Availability in the present month so far: available / (period - planned - excused - unknown)",
)
WORST = Metric(
    "karaula_link_sla_availability_worst_ratio",
    "gauge",
    "ratio",
    ("crossing", "link", "operator"),
    "The same if all unknown time of the month so far was lost",
)
BUDGET = Metric(
    "karaula_link_sla_budget_seconds",
    "gauge",
    "seconds",
    ("crossing", "link", "operator"),
    "How much more time may be lost in the present month before the agreed availability is missed; negative once it is",
)
UNKNOWN = Metric(
    "karaula_link_sla_unknown_ratio",
    "gauge",
    "ratio",
    ("crossing", "link", "operator"),
    "Part of the present month so far in which nobody knows how the link was",
)
CROSSING = Metric(
    "karaula_crossing_availability_ratio",
    "gauge",
    "ratio",
    ("crossing",),
    "Part of the present month's known time so far in which at least one link carried traffic",
)
UNTIL = Metric(
    "karaula_sla_reckoned_timestamp_seconds",
    "gauge",
    "seconds",
    (),
    "Up to when the present month's service levels are reckoned",
)

METRICS: tuple[Metric, ...] = (AVAILABILITY, WORST, BUDGET, UNKNOWN, CROSSING, UNTIL)
PERCENT = 100.0


def families(month: MonthPart | None) -> list[Family]:
    """Return the families of ``month``; none before it was reckoned. What is not known is left out."""
    if month is None:
        return []
    samples: dict[Metric, list[tuple[tuple[str, ...], float]]] = defaultdict(list)
    for link in month.links:
        labels = (link.crossing, link.which, link.operator)
        for metric, percent in (
            (AVAILABILITY, link.availability.percent),
            (WORST, link.availability.at_worst_percent),
        ):
            if percent is not None:
                samples[metric].append((labels, percent / PERCENT))
        samples[BUDGET].append((labels, link.budget_left_us / SECOND_US))
        if link.times.total_us:
            samples[UNKNOWN].append((labels, link.times.unknown_us / link.times.total_us))
    for crossing in month.crossings:
        if crossing.availability.percent is not None:
            samples[CROSSING].append(((crossing.crossing,), crossing.availability.percent / PERCENT))
    samples[UNTIL].append(((), month.until_us / SECOND_US))
    return [Family(metric, tuple(found)) for metric, found in samples.items()]
