"""A month's figures as CSV for a spreadsheet (RFC 4180), UTF-8 with a mark that tells Excel so. Pure.

Times are seconds with all six decimals, so that they still sum to the month. A text that a spreadsheet would take for a
formula gets an apostrophe in front (OWASP, "CSV Injection").
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from monitor.sla.period import SECOND_US

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from monitor.sla.document import AvailabilityPart, MeasuredPart, MonthPart, OutagePart, TimesPart

MARK = "\ufeff"
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
Cell = str | int | float | None
FIGURES = (
    "month",
    "until",
    "what",
    "key",
    "name",
    "operator",
    "agreed_availability_percent",
    "availability_percent",
    "at_worst_percent",
    "at_best_percent",
    "availability_met",
    "up_s",
    "degraded_s",
    "down_s",
    "unknown_s",
    "planned_s",
    "excused_s",
    "total_s",
    "counted_as_lost_s",
    "agreed_loss_percent",
    "loss_percent",
    "agreed_round_trip_ms",
    "round_trip_mean_ms",
    "round_trip_max_ms",
    "probes_sent",
    "probes_lost",
)
OUTAGES = (
    "month",
    "what",
    "key",
    "name",
    "start",
    "end",
    "seconds",
    "counts_as",
    "reason",
    "taken_out_by",
    "why",
    "announced",
)


def figures(month: MonthPart) -> str:
    """Return a line for each link, crossing and operator."""
    rows: list[Sequence[Cell]] = []
    for link in month.links:
        met = {verdict.what: verdict.met for verdict in link.verdicts}["availability"]
        rows.append(
            (
                *("link", link.link, f"{link.crossing_name} {link.which}", link.operator),
                link.agreed.availability_percent,
                *_percents(link.availability),
                {True: "yes", False: "no", None: ""}[met],
                *_seconds(link.times, link.availability),
                *_delays(link.measured, link.agreed.loss_percent, link.agreed.rtt_ms),
            )
        )
    for crossing in month.crossings:
        head = ("crossing", crossing.crossing, crossing.name, "", None)
        tail = _seconds(crossing.times, crossing.availability)
        delays = (None,) * 7 if crossing.measured is None else _delays(crossing.measured, None, None)
        rows.append((*head, *_percents(crossing.availability), "", *tail, *delays))
    for operator in month.operators:
        head = ("operator", operator.operator, operator.name, operator.operator, None)
        tail = _seconds(operator.times, operator.availability)
        rows.append((*head, *_percents(operator.availability), "", *tail, *_delays(operator.measured, None, None)))
    return _written(FIGURES, ((month.month, month.until, *row) for row in rows))


def outages(month: MonthPart) -> str:
    """Return a line for each outage of each link, and of each crossing."""
    rows: list[Sequence[Cell]] = []
    for link in month.links:
        name = f"{link.crossing_name} {link.which}"
        rows += [(month.month, "link", link.link, name, *_outage(each)) for each in link.outages]
    for crossing in month.crossings:
        key = crossing.crossing
        rows += [(month.month, "crossing", key, crossing.name, *_outage(each)) for each in crossing.outages]
    return _written(OUTAGES, rows)


def _outage(outage: OutagePart) -> Sequence[Cell]:
    length = _second(outage.end_us - outage.start_us)
    said = (outage.reason, outage.taken_out_by, outage.taken_out_why, outage.announced)
    return (outage.start, outage.end, length, outage.kind, *said)


def _percents(availability: AvailabilityPart) -> Sequence[Cell]:
    return availability.percent, availability.at_worst_percent, availability.at_best_percent


def _seconds(times: TimesPart, availability: AvailabilityPart) -> Sequence[Cell]:
    kinds = (times.up_us, times.degraded_us, times.down_us, times.unknown_us, times.planned_us, times.excused_us)
    return tuple(_second(length) for length in (*kinds, times.total_us, availability.lost_us))


def _delays(measured: MeasuredPart, loss_percent: float | None, rtt_ms: float | None) -> Sequence[Cell]:
    delay = (rtt_ms, measured.rtt_mean_ms, measured.rtt_max_ms)
    return (loss_percent, measured.loss_percent, *delay, measured.probes_sent, measured.probes_lost)


def _second(length_us: int) -> str:
    return f"{length_us // SECOND_US}.{length_us % SECOND_US:06}"


def _written(heads: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    sheet = io.StringIO(newline="")
    writer = csv.writer(sheet, lineterminator="\r\n")
    writer.writerow(heads)
    for row in rows:
        writer.writerow([_safe(cell) if isinstance(cell, str) else cell for cell in row])
    return MARK + sheet.getvalue()


def _safe(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA) else text
