"""Crossings, their links, and who says which link carries the traffic, as metric families."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.metrics import catalog as m
from monitor.metrics.export import number
from monitor.status.crossings import CROSSING_STATES, in_use, shown_state
from monitor.status.evaluate import sla_of
from monitor.status.reachability import UP, Seen, carried
from monitor.status.state import Health
from monitor.status.totals import BOUNDS_S

if TYPE_CHECKING:
    from monitor.inventory.crossings import Link
    from monitor.metrics.sheet import Sheet
    from monitor.status.totals import Totals

LINKS = ("primary", "backup")
WAYS = ("forward", "backward")


def crossings(sheet: Sheet) -> None:
    """Add every crossing, its links and its router."""
    view = sheet.view
    seen = Seen(view.statuses, view.good)
    for key, pair in view.inventory.links.items():
        subject = f"crossing/{key}"
        state = shown_state(view.statuses[subject], flapping=subject in view.flapping)
        sheet.states(m.CROSSING_STATE, (key,), CROSSING_STATES, state)
        found = carried(key, view.inventory, seen)
        for which in LINKS:
            if found.link:
                sheet.add(m.CROSSING_TRAFFIC, (key, which, found.source), found.link == which)
        if used := in_use(key, seen, found):
            _in_use(sheet, key, used)
        for which, link in (("primary", pair.primary), ("backup", pair.backup)):
            _link(sheet, key, which, link)
        if f"router/{key}" in view.statuses:
            sheet.up(m.ROUTER_UP, (key,), f"router/{key}")


def _in_use(sheet: Sheet, key: str, which: str) -> None:
    subject = f"link/{key}/{which}"
    health = sheet.view.statuses[subject].health
    if health in UP:
        sheet.value(m.CROSSING_RTT, (key,), subject, "rtt_seconds")
        sheet.value(m.CROSSING_LOSS, (key,), subject, "loss_ratio")
    elif health is Health.DOWN:
        sheet.add(m.CROSSING_LOSS, (key,), 1.0)


def _link(sheet: Sheet, key: str, which: str, link: Link) -> None:
    view = sheet.view
    labels, subject = (key, which, link.operator), f"link/{key}/{which}"
    if sheet.up(m.LINK_UP, labels, subject):
        sheet.value(m.LINK_RTT, labels, subject, "rtt_seconds")
        sheet.value(m.LINK_JITTER, labels, subject, "jitter_seconds")
        sheet.value(m.LINK_LOSS, labels, subject, "loss_ratio")
        sheet.value(m.LINK_TTL, labels, subject, "reply_ttl")
        for way in WAYS:
            sheet.value(m.LINK_ONE_WAY, (*labels, way), subject, f"{way}_seconds")
    elif view.statuses[subject].health is Health.DOWN:
        sheet.add(m.LINK_LOSS, labels, 1.0)
    if totals := view.links.get(subject):
        _totals(sheet, labels, totals)
    sla = sla_of(view.inventory, key, which)
    sheet.add(m.LINK_SLA_RTT, labels, sla.rtt_ms / 1000)
    sheet.add(m.LINK_SLA_LOSS, labels, sla.loss_percent / 100)
    sheet.add(m.LINK_SLA_AVAILABILITY, labels, sla.availability_percent / 100)


def _totals(sheet: Sheet, labels: tuple[str, ...], totals: Totals) -> None:
    sheet.add(m.LINK_PROBES, labels, totals.sent)
    sheet.add(m.LINK_REPLIES, labels, totals.replies)
    sheet.add(m.LINK_LATE, labels, totals.late)
    sheet.add(m.LINK_DUPLICATES, labels, totals.duplicates)
    sheet.add(m.LINK_GARBLED, labels, totals.garbled)
    sheet.add(m.LINK_PATH_CHANGES, labels, totals.path_changes)
    if totals.judged:
        sheet.add(m.LINK_JUDGED, labels, totals.judged)
        sheet.add(m.LINK_LOST, (*labels, "forward"), totals.lost_forward)
        sheet.add(m.LINK_LOST, (*labels, "backward"), totals.lost_backward)
    counts = totals.up_to
    for bound, count in zip((*BOUNDS_S, float("inf")), counts, strict=True):
        sheet.add(m.LINK_RTTS, (*labels, number(bound)), count)
    sheet.add(m.LINK_RTTS, (*labels, "count"), counts[-1])
    sheet.add(m.LINK_RTTS, (*labels, "sum"), totals.rtt_sum_s)
