"""Planned downtime: what it is, and what it covers.

A downtime covers its subject, the subject's parts, and what depends on any of these. A whole (a system, a crossing, a
site, a group) is covered as well while everything in it that is not up is covered: of two links one may be worked on,
but when the other one fails too, that was not planned. Whatever makes a system less than OK must be covered, also what
is no part of it by name: a standby that lags is its database's doing, a VM that a rule found is to blame itself, and
works on the standby's front cover neither. A system that is lost is covered only when works on a front may have lost
it: a web VM that is off explains neither two active fronts nor none. Nothing is measured less and nothing is hidden:
what is covered is shown as such, and not sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from monitor.status.reachability import SPLIT_BRAIN, UP
from monitor.status.state import Health

if TYPE_CHECKING:
    from collections.abc import Iterable

    from monitor.inventory.dependencies import Ties
    from monitor.status.state import Status

Origin = Literal["command", "calendar"]
NOTHING_AILS: Mapping[str, tuple[str, ...]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Downtime:
    """One planned downtime: one window of a line of the calendar, or what a person announced.

    Times are Unix seconds. ``end`` is ``planned_end`` unless it was ended early, by ``ended_by``. ``announced_at`` is
    when Karaula was first told: for the calendar, when the line was first read. ``job`` is the line's key.
    """

    id: str
    subject: str
    start: float
    end: float
    planned_end: float
    owner: str
    reason: str
    announced_at: float
    origin: Origin
    job: str = ""
    ended_by: str = ""

    def in_force(self, now: float) -> bool:
        """Whether it holds at ``now``."""
        return self.start <= now < self.end


def reach(subject: str, ties: Ties) -> frozenset[str]:
    """Return everything that a downtime of ``subject`` covers for certain, whatever its state."""
    found = {subject}
    waiting = [subject]
    while waiting:
        for part in ties.parts.get(waiting.pop(), ()):
            if part not in found:
                found.add(part)
                waiting.append(part)
    return frozenset(found | {other for other, needs in ties.depends_on.items() if not found.isdisjoint(needs)})


def coverage(
    downtimes: Iterable[Downtime],
    ties: Ties,
    statuses: Mapping[str, Status],
    ailing: Mapping[str, tuple[str, ...]] = NOTHING_AILS,
) -> dict[str, Downtime]:
    """Return the downtime that covers each covered subject; of several the one that ends last.

    ``downtimes`` are those in force; ``ailing`` are the subjects to blame for a system that is not at its best.
    """
    covered: dict[str, Downtime] = {}
    for downtime in sorted(downtimes, key=lambda each: (each.end, each.id)):
        covered |= dict.fromkeys(reach(downtime.subject, ties), downtime)
    changed = bool(covered)
    while changed:  # a whole may be a part of another one; each pass settles one level
        changed = False
        for whole, parts in ties.parts.items():
            if whole in covered:
                continue
            bad = [part for part in parts if part in statuses and statuses[part].health not in UP]
            if explained := _all_planned(whole, [*bad, *ailing.get(whole, ())], statuses, covered):
                covered[whole] = explained
                changed = True
    return covered


def _all_planned(
    whole: str, bad: list[str], statuses: Mapping[str, Status], covered: Mapping[str, Downtime]
) -> Downtime | None:
    """Return the downtime that covers all that is ``bad`` of ``whole``; None when that does not explain how it is."""
    if not bad or any(part not in covered for part in bad) or not _may_lose(whole, bad, statuses):
        return None
    return max((covered[part] for part in bad), key=lambda each: (each.end, each.id))


def _may_lose(whole: str, bad: list[str], statuses: Mapping[str, Status]) -> bool:
    """Tell whether parts that are not up can be why a system is lost, if it is: only a front that is not can."""
    status = statuses.get(whole)
    if status is None or not whole.startswith("system/") or status.health is not Health.DOWN:
        return True
    return status.detail != SPLIT_BRAIN and any(part.startswith("front/") for part in bad)
