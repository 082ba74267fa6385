"""Which links will miss, or have missed, what their operator agreed for the present month. Pure.

Availability and loss are budgets: the agreement allows so much of the month to be lost. Three quarters of it used is a
risk; more than all of it is a breach, which no good end of the month can mend. A round trip is a mean: it is at risk
while the month's mean is over what was agreed, once a day was measured, and broken when it would be over even if every
probe to come were as fast as the fastest so far. What is unknown and what is still to come count as kept.

What is between a limit and where it began (``AGAIN``) changes nothing, so that one month says each thing once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from monitor.sla.period import HOUR_US, MINUTE_US
from monitor.status.alarm import Condition

if TYPE_CHECKING:
    from monitor.sla.document import LinkPart, MonthPart

AT_RISK, BREACHED = "sla-at-risk", "sla-breached"
RISK, AGAIN = 0.75, 0.6
MEAN_AGAIN = 0.95
MEASURED_US = 24 * HOUR_US
FEW_MINUTES = 10


@dataclass(frozen=True, slots=True)
class _Use:
    """How an agreed figure stands: at risk or not (None: as it was said before), broken or not, and the words."""

    at_risk: bool | None
    broken: bool
    words: str


def conditions(month: MonthPart) -> tuple[Condition, ...]:
    """Return for every link of a month under way whether its agreement is at risk, and whether it is broken."""
    names = {operator.operator: operator.name for operator in month.operators}
    return tuple(each for link in month.links for each in _of(link, month, names.get(link.operator, link.operator)))


def _of(link: LinkPart, month: MonthPart, operator: str) -> tuple[Condition, Condition]:
    uses = [use for use in (_availability(link), _loss(link, month), _round_trip(link, month)) if use is not None]
    risky, broken = [use for use in uses if use.at_risk], [use for use in uses if use.broken]
    unsure = any(use.at_risk is None for use in uses)
    who = f"{operator} at {link.crossing_name} ({link.which}) in {month.month}"

    def said(of: list[_Use]) -> str:
        return f"{who}: {'; '.join(use.words for use in of) or 'within what was agreed'}"

    return (
        Condition(AT_RISK, link.link, True if risky else None if unsure else False, said(risky)),
        Condition(BREACHED, link.link, bool(broken), said(broken)),
    )


def _used(part: float, allowed: float) -> bool | None:
    """Return whether so much of what is allowed is used that it is a risk; None near it."""
    if part >= RISK * allowed and part:
        return True
    return False if part < AGAIN * allowed or not part else None


def _availability(link: LinkPart) -> _Use:
    lost_us, agreed = link.availability.lost_us, link.agreed.availability_percent
    allowed_us = max(0, lost_us + link.budget_left_us)
    words = f"{_minutes(lost_us)} lost of the {_minutes(allowed_us)} that {agreed:g} % allow"
    return _Use(_used(lost_us, allowed_us), link.budget_left_us < 0 < lost_us, words)


def _loss(link: LinkPart, month: MonthPart) -> _Use | None:
    measured, agreed = link.measured, link.agreed.loss_percent
    if measured.loss_percent is None:
        return None
    allowed = (measured.probes_sent + _to_come(link, month)) * agreed / 100
    words = f"{measured.loss_percent:.3f} % of the probes lost so far, {agreed:g} % agreed for the month"
    return _Use(_used(measured.probes_lost, allowed), measured.probes_lost > allowed, words)


def _round_trip(link: LinkPart, month: MonthPart) -> _Use | None:
    measured, agreed_ms = link.measured, link.agreed.rtt_ms
    if measured.rtt_mean_ms is None or measured.rtt_min_ms is None:
        return None
    answered, to_come = measured.probes_sent - measured.probes_lost, _to_come(link, month)
    at_best_ms = (answered * measured.rtt_mean_ms + to_come * measured.rtt_min_ms) / (answered + to_come)
    long_enough = _known_us(link) >= MEASURED_US
    slow = measured.rtt_mean_ms > agreed_ms
    calm = not long_enough or measured.rtt_mean_ms <= MEAN_AGAIN * agreed_ms
    words = f"round trip {measured.rtt_mean_ms:.2f} ms on the average so far, {agreed_ms:g} ms agreed"
    return _Use((long_enough and slow) or (False if calm else None), long_enough and at_best_ms > agreed_ms, words)


def _to_come(link: LinkPart, month: MonthPart) -> float:
    """Return how many probes the rest of the month will send, at the pace so far."""
    known_us = _known_us(link)
    return link.measured.probes_sent / known_us * (month.end_us - month.until_us) if known_us else 0.0


def _known_us(link: LinkPart) -> int:
    return link.times.up_us + link.times.degraded_us


def _minutes(length_us: int) -> str:
    minutes = length_us / MINUTE_US
    return f"{minutes:.1f} min" if minutes < FEW_MINUTES else f"{minutes:.0f} min"
