"""A month's figures as one self-contained page to send to an operator: for a screen, a phone, and A4 paper.

Without scripts or external parts; everything that a person or a target wrote is escaped.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from monitor.sla.period import HOUR_US, MINUTE_US, SECOND_US, moment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from monitor.sla.document import AvailabilityPart, LinkPart, MeasuredPart, OutagePart, TimesPart, VerdictPart
    from monitor.sla.office import Answer

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
WHICH = {"primary": "primary link", "backup": "reserve link"}
WHAT = {"availability": "Availability", "loss": "Loss of packets", "round-trip": "Round trip, mean"}
COUNTS = {
    "down": "counts",
    "degraded": "counts: beyond the agreed figures",
    "excused": "does not count: excused",
    "planned": "does not count: agreed maintenance",
}
NOT_RECKONED = "not reckoned when the month was closed"
MANY = 40  # short stretches of unknown time that are listed a link


def to_html(answer: Answer, made_us: int) -> str:
    """Return the page; it says when it was made, the figures do not."""
    month = answer.month
    breaches = [(link, verdict) for link in month.links for verdict in link.verdicts if verdict.met is False]

    def when(at_us: int) -> str:
        return moment(at_us, month.zone).strftime("%d %b %Y %H:%M:%S %Z")

    return (
        _environment()
        .get_template("report.html")
        .render(
            answer=answer,
            month=month,
            title=moment(month.start_us, month.zone).strftime("%B %Y"),
            operator=month.operators[0] if month.operator and month.operators else None,
            hours=(month.end_us - month.start_us) // HOUR_US,
            until_us=month.until_us,
            breaches=breaches,
            outages=sorted(
                ((link, outage) for link in month.links for outage in link.outages),
                key=lambda pair: (pair[1].start_us, pair[0].link),
            ),
            names={operator.operator: operator.name for operator in month.operators},
            links_named={link.link: named(link) for link in month.links},
            many=MANY,
            what=WHAT,
            counts=COUNTS,
            made=when(made_us),
            when=when,
            named=named,
            length=length,
            hms=hms,
            percent=percent,
            figure=figure,
            wanted=wanted,
            verdict=verdict,
            counted=counted,
            longest=longest,
            loss=loss,
            delay=delay,
            part_shown=part_shown,
            unknown_part=unknown_part,
            bounds=bounds,
            known_us=sum(link.times.total_us - link.times.unknown_us for link in month.links),
            total_us=sum(link.times.total_us for link in month.links),
        )
    )


def named(link: LinkPart) -> str:
    """Return a link as people call it."""
    return f"{link.crossing_name}, {WHICH.get(link.which, link.which)}"


def length(length_us: int) -> str:
    """Return a length of time to the second: ``26 h 03 min 12 s``; what is shorter with its tenths."""
    if length_us < 0:
        return f"-{length(-length_us)}"
    if length_us < 10 * SECOND_US:
        return f"{length_us // (SECOND_US // 10) / 10:g} s"
    seconds = length_us // SECOND_US
    hours, minutes, left = length_us // HOUR_US, length_us % HOUR_US // MINUTE_US, seconds % 60
    if hours:
        return f"{hours} h {minutes:02} min {left:02} s"
    return f"{minutes} min {left:02} s" if minutes else f"{left} s"


def hms(length_us: int) -> str:
    """Return a length of time for a column: ``26:03:12``, a dash for none at all, tenths below ten seconds."""
    if not length_us:
        return "\N{EN DASH}"
    if length_us < 10 * SECOND_US:
        return length(max(length_us, SECOND_US // 10))
    return f"{length_us // HOUR_US}:{length_us % HOUR_US // MINUTE_US:02}:{length_us // SECOND_US % 60:02}"


def percent(value: float | None) -> str:
    """Return a percentage with its four digits, which were rounded down."""
    return "not known" if value is None else f"{value:.4f} %"


def figure(verdict: VerdictPart) -> str:
    """Return what was measured, with its unit."""
    return _with_unit(verdict.what, verdict.measured)


def wanted(verdict: VerdictPart) -> str:
    """Return what was agreed, with its unit."""
    bound = "at least" if verdict.what == "availability" else "at most"
    value = f"{verdict.agreed:g}"
    return f"{bound} {value} {'ms' if verdict.what == 'round-trip' else '%'}"


def verdict(of: VerdictPart) -> str:
    """Say whether what was agreed was kept."""
    if of.met is None:
        return "cannot be said: nothing was measured"
    if of.certain:
        return "kept" if of.met else "not kept"
    return f"{'kept' if of.met else 'not kept'} in the time that is known; the unknown time could change it"


def counted(outage: OutagePart) -> str:
    """Say what an outage counts as, and who said so."""
    said = COUNTS[outage.kind]
    if outage.taken_out_by:
        said += f" ({outage.taken_out_why}; {outage.taken_out_by})"
    return said


def part_shown(part_us: int, whole_us: int) -> str:
    """Return a part in percent with two digits; neither nothing nor all where it is not quite so."""
    if not part_us or not whole_us:
        return "0 %"
    if part_us == whole_us:
        return "100 %"
    hundredths = min(max(10_000 * part_us // whole_us, 1), 9_999)
    return f"{'under ' if 10_000 * part_us < whole_us else ''}{hundredths / 100:.2f} %"


def unknown_part(times: TimesPart) -> str:
    """Return the unknown part of a time in percent."""
    return part_shown(times.unknown_us, times.total_us)


def bounds(found: AvailabilityPart) -> str:
    """Return the bounds of an availability, both rounded down: ``98.12 to 99.99 %``."""
    if found.at_worst_percent is None or found.at_best_percent is None:
        return "not known"
    worst, best = (int(value * 100 + 1e-6) / 100 for value in (found.at_worst_percent, found.at_best_percent))
    return f"{worst:.2f} to {best:.2f} %"


def finding(links: Iterable[LinkPart]) -> tuple[str, str]:
    """Return the tone (ok, down, degraded, unknown) and the words for how an operator's links kept what was agreed."""
    own = list(links)
    broken = [each for link in own for each in link.verdicts if each.met is False]
    many = sum(any(each.met is False for each in link.verdicts) for link in own)
    if any(each.certain for each in broken):
        return "down", f"{many} of {len(own)} not kept"
    if broken:
        return "degraded", f"{many} of {len(own)} not kept, not certain"
    if own and all(each.certain and each.met for link in own for each in link.verdicts if each.what == "availability"):
        return "ok", "kept"
    return "unknown", "too much unknown to say"


def loss(measured: MeasuredPart | None) -> str:
    """Return the lost part of the probes; None is of a month that was closed before crossings had it."""
    return NOT_RECKONED if measured is None else _with_unit("loss", measured.loss_percent)


def delay(measured: MeasuredPart | None) -> str:
    """Return the mean round trip; None as for ``loss``."""
    return NOT_RECKONED if measured is None else _with_unit("round-trip", measured.rtt_mean_ms)


def longest(link: LinkPart) -> int:
    """Return the longest stretch in which this link alone was not known, in microseconds."""
    return max((each.end_us - each.start_us for each in link.unknown), default=0)


def _with_unit(what: str, value: float | None) -> str:
    if value is None:
        return "not known"
    if what == "availability":
        return f"{value:.4f} %"
    return f"{value:.2f} ms" if what == "round-trip" else f"{value:.4f} %"


def _readable(value: object) -> object:
    """Return a text without what could move or reorder the text around it."""
    return _CONTROL.sub("\ufffd", value) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("monitor.sla"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_readable,
    )
