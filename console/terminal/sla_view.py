"""A month's service levels on a terminal: what was not kept, then links, crossings and operators."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from console.terminal.screen import Screen, cell, table
from console.terminal.words import BAD, CALL, GOOD, QUIET, span
from monitor.sla.measure import next_written_us

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from console.terminal.sla_shapes import SlaAnswer, SlaAvailability, SlaLink, SlaMeasured

MOST_OUTAGES = 20
US = 1_000_000


def sla_view(answer: SlaAnswer, screen: Screen) -> Iterator[RenderableType]:
    """Yield what is shown."""
    data = answer["data"]
    if answer["trouble"]:
        yield cell(answer["trouble"], BAD)
    seal = answer["seal"]
    if seal is not None:
        yield f"{data['month']} is closed: revision {seal['revision']}, sealed {screen.moment(seal['at'])}"
    else:
        whole, so_far = data["end_us"] - data["start_us"], data["until_us"] - data["start_us"]
        yield f"{data['month']} so far: {span(so_far / US)} of {span(whole / US)}, the figures are not final"
    yield ""
    missing = "not yet" if seal is None else "not known"
    rows = [
        (
            link["link"].removeprefix("link/"),
            link["operator"],
            _share(link["availability"], link),
            _bounds(link["availability"]),
            f"{link['agreed']['availability_percent']:g}",
            _lost(link["availability"]),
            _left(link),
            _loss(link, missing),
            _delay(link, missing),
        )
        for link in data["links"]
    ]
    heads = ("LINK", "OPERATOR", "AVAIL. %", "WORST-BEST", "AGREED", "LOST", "MAY LOSE", "LOSS %", "RTT ms")
    yield table(heads, rows, keep=5)
    if data["crossings"]:
        crossings = [
            (
                crossing["crossing"],
                _share(crossing["availability"], None),
                _bounds(crossing["availability"]),
                _lost(crossing["availability"]),
                *_delays(crossing["measured"], missing),
            )
            for crossing in data["crossings"]
        ]
        yield ""
        yield table(("CROSSING", "CONNECTED %", "WORST-BEST", "CUT OFF", "LOSS %", "RTT ms"), crossings)
    operators = [
        (
            operator["operator"],
            _share(operator["availability"], None),
            _bounds(operator["availability"]),
            f"{operator['links_in_breach']} of {operator['links']} links",
            *_delays(operator["measured"], missing),
        )
        for operator in data["operators"]
    ]
    yield ""
    yield table(("OPERATOR", "AVAIL. %", "WORST-BEST", "NOT KEPT", "LOSS %", "RTT ms"), operators)
    yield from _outages(answer)
    yield ""
    unknown = sum(link["times"]["unknown_us"] for link in data["links"])
    total = sum(link["times"]["total_us"] for link in data["links"])
    if unknown:
        part = min(100 * unknown / total, 99.99)
        yield f"{part:.2f} % of the links' time is unknown: nothing was measured, it counts neither way"
    if seal is None and any(link["measured"]["loss_percent"] is None for link in data["links"]):
        at = screen.moment(next_written_us(data["until_us"]) / US)
        yield f"not yet: loss and round trip come by quarter hours, the next at {at}; a link that is down has none"
    yield f"SHA-256 of the data: {answer['sha256']}"


def _outages(answer: SlaAnswer) -> Iterator[RenderableType]:
    found = sorted(
        ((each["start_us"], link["link"], each) for link in answer["data"]["links"] for each in link["outages"]),
        key=lambda item: item[:2],
        reverse=True,
    )
    if not found:
        return
    rows = [
        (
            link.removeprefix("link/"),
            outage["start"][:19],
            span((outage["end_us"] - outage["start_us"]) / US) + (" so far" if outage["still_on"] else ""),
            outage["kind"],
            outage["reason"],
        )
        for _, link, outage in found[:MOST_OUTAGES]
    ]
    yield ""
    yield table(("OUTAGE OF", "FROM", "LASTED", "COUNTS AS", "REASON"), rows, keep=4)
    if len(found) > MOST_OUTAGES:
        yield f"and {len(found) - MOST_OUTAGES} earlier ones: karaula sla --outages -"


def _share(found: SlaAvailability, link: SlaLink | None) -> Text:
    if found["percent"] is None:
        return cell("not known", CALL)
    met = None if link is None else link["verdicts"][0]["met"]
    return cell(f"{found['percent']:.4f}", {True: GOOD, False: BAD, None: ""}[met])


def _bounds(found: SlaAvailability) -> Text:
    if found["at_worst_percent"] is None or found["at_best_percent"] is None:
        return cell("nothing counts", QUIET)
    worst, best = (int(value * 100 + 1e-6) / 100 for value in (found["at_worst_percent"], found["at_best_percent"]))
    return cell(f"{worst:.2f}-{best:.2f}", QUIET)  # rounded down, as all shares


def _lost(found: SlaAvailability) -> str:
    return span(found["lost_us"] / US) if found["lost_us"] else "none"


def _left(link: SlaLink) -> Text:
    left = link["budget_left_us"]
    return cell(span(left / US)) if left >= 0 else cell("nothing", BAD)


def _loss(link: SlaLink, missing: str) -> Text:
    return _figure(link["measured"]["loss_percent"], ".3f", missing, link["verdicts"][1]["met"])


def _delay(link: SlaLink, missing: str) -> Text:
    return _figure(link["measured"]["rtt_mean_ms"], ".2f", missing, link["verdicts"][2]["met"])


def _delays(measured: SlaMeasured | None, missing: str) -> tuple[Text, Text]:
    """Return loss and mean round trip of several links' probes together."""
    if measured is None:  # of a month that was closed when this was not reckoned
        return cell("not reckoned", QUIET), cell("not reckoned", QUIET)
    return _figure(measured["loss_percent"], ".3f", missing), _figure(measured["rtt_mean_ms"], ".2f", missing)


def _figure(value: float | None, form: str, missing: str, met: bool | None = None) -> Text:
    return cell(missing, QUIET) if value is None else cell(format(value, form), BAD if met is False else "")
