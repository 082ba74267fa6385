"""Sensors that vote: one alone may be wrong, some of them together are believed.

Invariant: a vote is OK only when at least ``needed`` of its sensors are known and those that are not known could not
bring it about. A sensor that is at fault or not heard of does not vote.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.status.hysteresis import Judgement
from monitor.status.state import Health

if TYPE_CHECKING:
    from collections.abc import Callable

    from monitor.inventory.sensors import Vote


def tally(vote: Vote, health: Callable[[str], Health]) -> tuple[int, int]:
    """Return how many of the sensors are in alarm, and how many do not vote."""
    found = [health(f"sensor/{key}") for key in vote.sensors]
    return found.count(Health.DOWN), found.count(Health.UNKNOWN)


def judged(vote: Vote, health: Callable[[str], Health]) -> Judgement:
    """Judge the vote by the health of its sensors: DOWN when it is carried."""
    yes, silent = tally(vote, health)
    of = len(vote.sensors)
    says = f"{yes} of {of} sensors {'is' if yes == 1 else 'are'} in alarm, {vote.needed} needed"
    mute = f"; {silent} {'does' if silent == 1 else 'do'} not vote" if silent else ""
    if yes >= vote.needed:
        return Judgement(Health.DOWN, says + mute)
    if yes + silent >= vote.needed or of - silent < vote.needed:
        return Judgement(Health.UNKNOWN, says + mute)
    return Judgement(Health.DEGRADED if yes else Health.OK, says + mute if yes or silent else "")
