"""What an answered check says of its subject: the inventory's thresholds against what was observed.

Pure. Only answers that came are judged here; what failed or is not known was settled before. A measurement that has an
uncertainty is over a limit only when all of it is: what is not proven raises no alarm, and what cannot be told either
way is UNKNOWN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from monitor.inventory.checks_hosts import CertificateCheck, ClockCheck, DiskCheck, LagCheck, UnitCheck
from monitor.inventory.checks_services import NtpCheck, PostgresqlCheck, TlsCheck
from monitor.status import checks_services
from monitor.status.hysteresis import Judgement
from monitor.status.limits import DAY_S, above, off, size, span, worst
from monitor.status.state import Health

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from monitor.inventory.checks import Check
    from monitor.probe import Observation

SETTLED = frozenset({"active", "reloading", "refreshing"})
STARTS = frozenset({"activating", "deactivating", "maintenance"})


def judge(check: Check, observation: Observation) -> Judgement:
    """Return the health that an answered ``observation`` of ``check`` speaks for.

    Raises KeyError when the answer lacks what it is to be judged by.
    """
    special = _JUDGES.get(type(check))
    return special(check, observation) if special else Judgement(Health.OK)


def _disk(check: DiskCheck, observation: Observation) -> Judgement:
    values, mount = observation.values, observation.facts["mount"]
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


def _unit(check: UnitCheck, observation: Observation) -> Judgement:
    load, active, sub, result = (observation.facts[name] for name in ("load", "active", "sub", "result"))
    if load != "loaded":
        return Judgement(Health.DOWN, f"systemd has no unit {check.unit} that it could run ({load})")
    if active in SETTLED:
        return Judgement(Health.OK)
    if active in STARTS and sub != "auto-restart":
        return Judgement(Health.DEGRADED, f"{check.unit} is {active} ({sub})")
    why = f", result {result}" if result not in ("", "success") else ""
    return Judgement(Health.DOWN, f"{check.unit} is {active} ({sub}){why}")


def _certificate(check: CertificateCheck, observation: Observation) -> Judgement:
    return _ends(check.path, observation.values["not_after_seconds"] - observation.at, check)


def _tls(check: TlsCheck, observation: Observation) -> Judgement:
    return _ends("the certificate", observation.values["tls_not_after_seconds"] - observation.at, check)


def _ends(what: str, left_s: float, check: CertificateCheck | TlsCheck) -> Judgement:
    days = left_s / DAY_S
    if days <= 0:
        return Judgement(Health.DOWN, f"{what} ended {span(-left_s)} ago")
    for health, word, limit in (
        (Health.DOWN, "alarm", check.alarm_days),
        (Health.DEGRADED, "warning", check.warn_days),
    ):
        if days < limit:
            return Judgement(health, f"{what} ends in {span(left_s)}, below the {word} limit of {limit:g} days")
    return Judgement(Health.OK)


def _clock(check: ClockCheck, observation: Observation) -> Judgement:
    values = observation.values
    offset_s, open_s = values["clock_offset_seconds"], values["clock_uncertainty_seconds"]
    found = [off(offset_s, open_s, check.warn_s, check.alarm_s, "the host's clock")]
    if check.synchronized and observation.facts["synchronized"] != "yes":
        found.append(Judgement(Health.DEGRADED, "chronyd on the host is not synchronized"))
    return worst(found)


def _lag(check: LagCheck, observation: Observation) -> Judgement:
    return above(observation.values["lag_seconds"], check.warn_s, check.alarm_s, "behind by")


_JUDGES: Mapping[type, Callable[[Any, Observation], Judgement]] = {
    DiskCheck: _disk,
    UnitCheck: _unit,
    CertificateCheck: _certificate,
    TlsCheck: _tls,
    ClockCheck: _clock,
    LagCheck: _lag,
    PostgresqlCheck: checks_services.postgresql,
    NtpCheck: checks_services.ntp,
}
