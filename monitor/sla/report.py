"""A month's figures from its records. Pure: the same records give the same figures, to the last byte."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from monitor.sla.document import (
    CROSSINGS_MEASURED,
    SCHEMA,
    AgreedPart,
    AnnouncedPart,
    AvailabilityPart,
    CrossingPart,
    EntryPart,
    LinkPart,
    MeasuredPart,
    MethodPart,
    MonthPart,
    OperatorPart,
    OutagePart,
    StretchPart,
    TimesPart,
    VerdictPart,
)
from monitor.sla.measure import BOUNDS_MS, QUARTER_US, Sums, added
from monitor.sla.period import MINUTE_US, Period, moment
from monitor.sla.reckon import (
    Availability,
    Interval,
    Kind,
    Times,
    Window,
    availability,
    budget_us,
    crossing_intervals,
    intervals,
    percent,
    share,
    summed,
    times,
    verdicts,
)
from monitor.sla.timeline import Seen, timeline
from monitor.status.state import Health

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from monitor.sla.period import Month
    from monitor.sla.records import Records
    from monitor.sla.terms import LinkTerms, OperatorTerms

# So long after its end the watch must have run without a break: by then the month's last quarter hour is written, and a
# clock that was wrong at the machine's start has been set.
CLOSED_AFTER_US = QUARTER_US + 5 * MINUTE_US


def month_report(month: Month, records: Records, announced: Sequence[Window] = (), schema: int = SCHEMA) -> MonthPart:
    """Return the figures of ``month`` as far as there are records.

    ``announced`` are works that were announced to the watch. They take nothing out by themselves: that an operator
    agreed to them is an entry in the ledger. ``schema`` is the version of the document: of a month that was closed
    with an earlier one it is that.
    """
    return _Reckoning(month, records, announced, schema).document()


class _Reckoning:
    """One month being reckoned."""

    def __init__(self, month: Month, records: Records, announced: Sequence[Window], schema: int) -> None:
        self.schema = schema
        self.month, self.records, self.terms = month, records, records.terms
        self.whole = records.period
        self.period = Period(self.whole.start_us, records.until_us)
        self.announced = [cut for window in announced if (cut := _cut(window, self.whole)) is not None]
        watched = {chain.number: Seen(0, Health.OK) for chain in records.chains}
        self.not_watched = [
            span for span in timeline(records.chains, watched, (), self.period) if span.health is Health.UNKNOWN
        ]
        self._gaps = {(span.start_us, span.end_us) for span in self.not_watched}
        self.parts = {link.subject: self._intervals(link) for link in self.terms.links}
        self.times = {subject: times(parts) for subject, parts in self.parts.items()}

    def document(self) -> MonthPart:
        whole, until_us = self.whole, self.period.end_us
        links = [self._link(link) for link in self.terms.links]
        return MonthPart(
            schema_version=self.schema,
            estate=self.terms.estate,
            month=str(self.month),
            zone=self.terms.zone,
            operator="",
            start=self._said(whole.start_us),
            end=self._said(whole.end_us),
            until=self._said(until_us),
            start_us=whole.start_us,
            end_us=whole.end_us,
            until_us=until_us,
            closed=self.records.recorded_us - max(self.records.steady_us, whole.end_us) >= CLOSED_AFTER_US,
            method=MethodPart(**asdict(self.terms.method)),
            terms_changed=tuple(self._said(at_us) for at_us in self.records.changed_us),
            operators=tuple(self._operator(each, links) for each in self.terms.operators),
            links=tuple(links),
            crossings=tuple(self._crossing(key, name) for key, name in self.terms.crossings),
            entries=tuple(self._entries()),
            announced=tuple(
                AnnouncedPart(**self._stretch(each.start_us, each.end_us, each.reason), link=each.subject, by=each.by)
                for each in self.announced
            ),
            not_watched=tuple(
                StretchPart(**self._stretch(span.start_us, span.end_us, span.reason)) for span in self.not_watched
            ),
        )

    def _intervals(self, link: LinkTerms) -> list[Interval]:
        records, subject = self.records, link.subject
        spans = timeline(records.chains, records.seen.get(subject, {}), records.flips.get(subject, ()), self.period)
        windows = records.windows.get(subject, ())
        return intervals(spans, windows, degraded_is_down=link.agreed.degraded_is_down)

    def _link(self, link: LinkTerms) -> LinkPart:
        parts, of = self.parts[link.subject], self.times[link.subject]
        found = availability(of, degraded_is_down=link.agreed.degraded_is_down)
        sums = self.records.sums.get(link.subject, Sums())
        return LinkPart(
            link=link.subject,
            crossing=link.crossing,
            crossing_name=dict(self.terms.crossings).get(link.crossing, link.crossing),
            which=link.which,
            operator=link.operator,
            agreed=AgreedPart(**asdict(link.agreed)),
            times=_times(of),
            availability=_availability(found),
            measured=_measured(sums),
            verdicts=tuple(VerdictPart(**asdict(each)) for each in verdicts(found, sums, link.agreed)),
            budget_left_us=budget_us(self.whole.length_us, of, found.lost_us, link.agreed.availability_percent),
            outages=tuple(self._outages(parts, link.subject, degraded_is_down=link.agreed.degraded_is_down)),
            unknown=tuple(
                StretchPart(**self._stretch(part.start_us, part.end_us, part.reason))
                for part in parts
                if part.kind is Kind.UNKNOWN and (part.start_us, part.end_us) not in self._gaps
            ),
        )

    def _crossing(self, key: str, name: str) -> CrossingPart:
        own = [link.subject for link in self.terms.links if link.crossing == key]
        first, second = (self.parts[own[0]], self.parts[own[-1]]) if own else ([], [])
        parts = crossing_intervals(first, second)
        of = times(parts)
        sums = added([self.records.sums.get(subject, Sums()) for subject in own])
        return CrossingPart(
            crossing=key,
            name=name,
            times=_times(of),
            availability=_availability(availability(of, degraded_is_down=False)),
            measured=_measured(sums) if self.schema >= CROSSINGS_MEASURED else None,
            outages=tuple(self._outages(parts, "", degraded_is_down=False)),
        )

    def _operator(self, operator: OperatorTerms, links: Iterable[LinkPart]) -> OperatorPart:
        """Its links' times added up; each link loses time as its own agreement says."""
        own = [link for link in links if link.operator == operator.key]
        of = summed(self.times[link.link] for link in own)
        lost = sum(link.availability.lost_us for link in own)
        counted = of.total - of.planned - of.excused - of.unknown
        return OperatorPart(
            operator=operator.key,
            name=operator.name,
            contact=operator.contact,
            links=len(own),
            links_in_breach=sum(any(verdict.met is False for verdict in link.verdicts) for link in own),
            times=_times(of),
            availability=_availability(share(counted - lost, lost, of.unknown)),
            measured=_measured(added([self.records.sums.get(link.link, Sums()) for link in own])),
        )

    def _outages(self, parts: Iterable[Interval], link: str, *, degraded_is_down: bool) -> Iterable[OutagePart]:
        own = [window for window in self.announced if window.subject == link]
        lost = {Health.DOWN, Health.DEGRADED} if degraded_is_down else {Health.DOWN}
        for part in parts:
            if part.health in lost:
                window = part.window
                yield OutagePart(
                    **self._stretch(part.start_us, part.end_us, part.reason),
                    kind=part.kind.value,
                    began_before=part.start_us == self.period.start_us,
                    still_on=part.end_us == self.period.end_us,
                    taken_out_by="" if window is None else window.by,
                    taken_out_why="" if window is None else window.reason,
                    announced="; ".join(
                        f"{each.reason} ({each.by})"
                        for each in own
                        if each.start_us < part.end_us and each.end_us > part.start_us
                    ),
                )

    def _entries(self) -> Iterable[EntryPart]:
        """Entries that touch the month, withdrawn ones and withdrawals too."""
        withdrawn = {entry.withdraws for entry in self.records.entries}
        for entry in self.records.entries:
            if entry.start_us < self.whole.end_us and entry.end_us > self.whole.start_us:
                yield EntryPart(
                    number=entry.number,
                    entered=self._said(entry.at_us),
                    kind=entry.kind,
                    link=entry.subject,
                    start=self._said(entry.start_us),
                    end=self._said(entry.end_us),
                    reason=entry.reason,
                    by=entry.by,
                    withdraws=entry.withdraws,
                    standing=entry.kind != "withdrawn" and entry.number not in withdrawn,
                )

    def _stretch(self, start_us: int, end_us: int, reason: str) -> dict[str, object]:
        return {
            "start": self._said(start_us),
            "end": self._said(end_us),
            "start_us": start_us,
            "end_us": end_us,
            "reason": reason,
        }

    def _said(self, at_us: int) -> str:
        return moment(at_us, self.terms.zone).isoformat(sep=" ")


def _cut(window: Window, period: Period) -> Window | None:
    """Return the window within the period: how it ends after a month's end changes nothing of the month."""
    start_us, end_us = max(window.start_us, period.start_us), min(window.end_us, period.end_us)
    return replace(window, start_us=start_us, end_us=end_us) if start_us < end_us else None


def _times(of: Times) -> TimesPart:
    return TimesPart(**{f"{name}_us": length for name, length in asdict(of).items()}, total_us=of.total)


def _availability(found: Availability) -> AvailabilityPart:
    return AvailabilityPart(
        percent=percent(found.share),
        at_worst_percent=percent(found.at_worst),
        at_best_percent=percent(found.at_best),
        lost_us=found.lost_us,
    )


def _measured(sums: Sums) -> MeasuredPart:
    answered = sums.answered > 0
    return MeasuredPart(
        probes_sent=sums.sent,
        probes_lost=sums.lost,
        probes_sent_while_down=sums.sent_down,
        loss_percent=None if sums.loss_percent is None else round(sums.loss_percent, 6),
        rtt_mean_ms=None if sums.rtt_ms is None else round(sums.rtt_ms, 3),
        rtt_min_ms=sums.rtt_min_us / 1000 if answered else None,
        rtt_max_ms=sums.rtt_max_us / 1000 if answered else None,
        rtt_95_percent_within_ms=sums.rtt_at_most_ms(0.95),
        rtt_bounds_ms=BOUNDS_MS,
        polls_by_rtt_ms=sums.counts,
    )
