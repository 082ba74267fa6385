"""When a cron line comes due, and the windows that open then, in the estate's time zone.

Due times come from cronsim: 02:30 happens once on the autumn night that has it twice, and at 03:00 on the spring night
that has it not. A window lasts its seconds, whatever is done to the clocks on the wall meanwhile.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from cronsim import CronSim

if TYPE_CHECKING:
    from collections.abc import Iterator


def due_times(cron: str, zone: str, after: float, until: float) -> Iterator[float]:
    """Yield the due times (Unix seconds) of ``cron`` later than ``after`` and not later than ``until``."""
    start = datetime.fromtimestamp(after, UTC).astimezone(ZoneInfo(zone))
    for moment in CronSim(cron, start):
        due = moment.timestamp()
        if due > until:
            return
        if due > after:
            yield due


def windows(cron: str, zone: str, duration_s: float, after: float, until: float) -> Iterator[tuple[float, float]]:
    """Yield start and end (Unix seconds) of each window that ends later than ``after`` and starts by ``until``."""
    for start in due_times(cron, zone, after - duration_s, until):
        yield start, start + duration_s


def open_until(cron: str, zone: str, duration_s: float, at: float) -> float | None:
    """Return when the window that is open at ``at`` closes, the latest of several; None when none is open."""
    return max((end for _, end in windows(cron, zone, duration_s, at, at)), default=None)


def opens_next(cron: str, zone: str, after: float) -> float:
    """Return when a window next opens after ``after``."""
    return next(due_times(cron, zone, after, float("inf")))
