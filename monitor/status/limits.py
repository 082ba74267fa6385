"""Judging numbers by the inventory's limits, and saying them as people do. Pure."""

from __future__ import annotations

from monitor.status.hysteresis import Judgement
from monitor.status.state import Health

DAY_S = 86400.0
SIZES = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"))


def worst(judgements: list[Judgement]) -> Judgement:
    """Return the worst of several (DOWN, UNKNOWN, DEGRADED, OK), with the reasons of all that are not OK."""
    order = (Health.DOWN, Health.UNKNOWN, Health.DEGRADED, Health.OK)
    health = min((judgement.health for judgement in judgements), key=order.index, default=Health.OK)
    told = sorted(judgements, key=lambda judgement: order.index(judgement.health))
    return Judgement(health, "; ".join(judgement.reason for judgement in told if judgement.health is not Health.OK))


def above(seconds: float, warn_s: float, alarm_s: float, what: str) -> Judgement:
    """Judge a duration by two limits."""
    for health, word, limit in ((Health.DOWN, "alarm", alarm_s), (Health.DEGRADED, "warning", warn_s)):
        if seconds > limit:
            return Judgement(health, f"{what} {span(seconds)}, over the {word} limit of {span(limit)}")
    return Judgement(Health.OK)


def off(offset_s: float, open_s: float, warn_s: float, alarm_s: float, who: str) -> Judgement:
    """Judge a clock that is ``offset_s`` ahead of ours, give or take ``open_s``."""
    apart = abs(offset_s)
    shown = f"{who} is {span(apart)} {'ahead of' if offset_s > 0 else 'behind'} ours"
    for health, word, limit in ((Health.DOWN, "alarm", alarm_s), (Health.DEGRADED, "warning", warn_s)):
        if apart - open_s > limit:
            return Judgement(health, f"{shown}, over the {word} limit of {span(limit)}")
    if open_s > warn_s:
        reason = f"the round trip leaves {span(open_s)} either way open, more than the limit of {span(warn_s)}"
        return Judgement(Health.UNKNOWN, reason)
    return Judgement(Health.OK)


def span(seconds: float) -> str:
    """Return a duration with three digits and its unit: ``12.5 ms``, ``3.2 s``, ``4 min``, ``2.5 h``, ``3 days``."""
    size = abs(seconds)
    if size < 1:
        return f"{1000 * seconds:.3g} ms"
    for unit_s, word in ((1.0, "s"), (60.0, "min"), (3600.0, "h")):
        if size < {"s": 120, "min": 7200, "h": 172_800}[word]:
            return f"{seconds / unit_s:.3g} {word}"
    return f"{seconds / DAY_S:.4g} days"


def size(count: float) -> str:
    """Return bytes as people say them: ``1.5 GB``."""
    for unit, word in SIZES:
        if count >= unit:
            return f"{count / unit:.3g} {word}"
    return f"{count / 1000:.3g} kB"
