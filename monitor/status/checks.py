"""What an answered check says of its subject: the inventory's thresholds against what was observed.

Pure. Only answers that came are judged here; what failed or is not known was settled before. A measurement that has an
uncertainty is over a limit only when all of it is: what is not proven raises no alarm, and what cannot be told either
way is UNKNOWN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.inventory.checks_hosts import CertificateCheck, ClockCheck, DiskCheck, LagCheck, UnitCheck
from monitor.status.hysteresis import Judgement
from monitor.status.state import Health

if TYPE_CHECKING:
    from collections.abc import Mapping

    from monitor.inventory.checks import Check
    from monitor.probe import Observation

DAY_S = 86400.0
SETTLED = frozenset({"active", "reloading", "refreshing"})
STARTS = frozenset({"activating", "deactivating", "maintenance"})
SIZES = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"))


def judge(check: Check, observation: Observation) -> Judgement:
    """Return the health that an answered ``observation`` of ``check`` speaks for."""
    values, facts = observation.values, observation.facts
    match check:
        case DiskCheck():
            return _disk(check, values, facts)
        case UnitCheck():
            return _unit(check, facts)
        case CertificateCheck():
            days = (values["not_after_seconds"] - observation.at) / DAY_S
            return _certificate(check, days)
        case ClockCheck():
            return _clock(check, values, facts)
        case LagCheck():
            return above(values["lag_seconds"], check.warn_s, check.alarm_s, "behind by")
        case _:
            return Judgement(Health.OK)


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


def _disk(check: DiskCheck, values: Mapping[str, float], facts: Mapping[str, str]) -> Judgement:
    mount = facts["mount"]
    if mount != check.mount:
        return Judgement(Health.DOWN, f"nothing is mounted on {check.mount}: it is part of {mount[:200]}")
    free = [(values["disk_free_ratio"], f"free ({size(values['disk_free_bytes'])})")]
    if "inodes_free_ratio" in values:
        free.append((values["inodes_free_ratio"], "of the inodes free"))
    limits = (
        (Health.DOWN, "alarm", check.alarm_free_percent),
        (Health.DEGRADED, "warning", check.warn_free_percent),
    )
    found = []
    for ratio, what in free:
        for health, word, limit in limits:
            if 100 * ratio < limit:
                reason = f"{mount} has {100 * ratio:.3g} % {what}, below the {word} limit of {limit:g} %"
                found.append(Judgement(health, reason))
                break
    return worst(found)


def _unit(check: UnitCheck, facts: Mapping[str, str]) -> Judgement:
    load, active, sub, result = (facts.get(name, "") for name in ("load", "active", "sub", "result"))
    if load != "loaded":
        return Judgement(Health.DOWN, f"systemd has no unit {check.unit} that it could run ({load})")
    if active in SETTLED:
        return Judgement(Health.OK)
    if active in STARTS and sub != "auto-restart":
        return Judgement(Health.DEGRADED, f"{check.unit} is {active} ({sub})")
    why = f", result {result}" if result not in ("", "success") else ""
    return Judgement(Health.DOWN, f"{check.unit} is {active} ({sub}){why}")


def _certificate(check: CertificateCheck, days: float) -> Judgement:
    if days <= 0:
        return Judgement(Health.DOWN, f"{check.path} ended {span(-days * DAY_S)} ago")
    for health, word, limit in (
        (Health.DOWN, "alarm", check.alarm_days),
        (Health.DEGRADED, "warning", check.warn_days),
    ):
        if days < limit:
            reason = f"{check.path} ends in {span(days * DAY_S)}, below the {word} limit of {limit:g} days"
            return Judgement(health, reason)
    return Judgement(Health.OK)


def _clock(check: ClockCheck, values: Mapping[str, float], facts: Mapping[str, str]) -> Judgement:
    offset_s, open_s = values["clock_offset_seconds"], values["clock_uncertainty_seconds"]
    found = [off(offset_s, open_s, check.warn_s, check.alarm_s, "the host's clock")]
    if check.synchronized and facts.get("synchronized") != "yes":
        found.append(Judgement(Health.DEGRADED, "chronyd on the host is not synchronized"))
    return worst(found)
