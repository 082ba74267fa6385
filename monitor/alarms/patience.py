"""How long an alarm waits to be told, because something greater may yet explain it.

The parts of a site are not asked at the same moment: the first of them is known to be down up to an interval before the
last one, and so is the first that is up again. Within that time a lost site and its lost systems are one message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from monitor.inventory.dependencies import Ties
    from monitor.inventory.estate import Polling

SHORTEST_HOLD_S = 15.0
JITTER_S = 2.0  # by which the poller puts off the first round of a kind of probe


def settling_s(polling: Polling) -> float:
    """Return how long after the first part of something the last one may be known to have fallen, or to be back.

    Two rounds, as a system waits for one more word of each of its fronts.
    """
    return 2 * polling.interval_s + polling.deadline_s + JITTER_S


def hold_s(polling: Polling) -> float:
    """Return how long an alarm that is not urgent must have stood before it is told."""
    return max(SHORTEST_HOLD_S, settling_s(polling))


def waits_s(ties: Ties, polling: Polling) -> Mapping[str, float]:
    """Return, for those systems and crossings that something greater may explain, how long their alarms wait for it."""
    wholes = [
        whole
        for whole, parts in ties.parts.items()
        if whole.startswith(("system/", "crossing/", "group/"))
        and any(other.startswith(("site/", "group/")) for part in parts for other in ties.depends_on.get(part, ()))
    ]
    return dict.fromkeys(wholes, settling_s(polling))
