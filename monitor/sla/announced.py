"""Works on links that were announced to the watch as planned downtimes. Pure.

A downtime keeps alarms from people. It takes nothing out of a service level: whether the operator agreed to it is for a
person to enter. So that the two are not confused, the report shows both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.sla.period import us
from monitor.sla.reckon import Window

if TYPE_CHECKING:
    from collections.abc import Iterable

    from monitor.status.downtime import Downtime


def works_on_links(downtimes: Iterable[Downtime]) -> list[Window]:
    """Return the works that are of a link, or of a crossing and so of both its links; others are of no operator."""
    found = []
    for each in downtimes:
        kind, _, key = each.subject.partition("/")
        subjects = {"link": [each.subject], "crossing": [f"link/{key}/primary", f"link/{key}/backup"]}.get(kind, [])
        found += [
            Window(subject, us(each.start), us(each.end), "maintenance", each.reason, each.owner)
            for subject in subjects
        ]
    return found
