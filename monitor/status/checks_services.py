"""What a service's own answer says of it: PostgreSQL's replication, NTP. Pure, like ``checks.py``, which asks this.

A standby that receives nothing is degraded and after its alarm limit down, whatever its numbers say: what the primary
has written since is not known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.status.hysteresis import Judgement
from monitor.status.limits import above, off, size, span, worst
from monitor.status.state import Health

if TYPE_CHECKING:
    from collections.abc import Mapping

    from monitor.inventory.checks_services import NtpCheck, PostgresqlCheck
    from monitor.probe import Observation

LONGEST_SILENCE_S = 60.0  # an idle sender speaks up every half minute (wal_sender_timeout, wal_receiver_timeout)


def postgresql(check: PostgresqlCheck, observation: Observation) -> Judgement:
    """Judge a server's replication. Raises KeyError when the answer lacks what it is to be judged by."""
    values, facts = observation.values, observation.facts
    role = facts["role"]
    if check.role not in ("any", role):
        return Judgement(Health.DOWN, f"it is {role}, expected {check.role}")
    if facts["blind"] == "yes":
        who = check.user[:60]
        return Judgement(Health.UNKNOWN, f"the user {who} may not see replication; type: GRANT pg_monitor TO {who}")
    found = _standby(check, values, facts) if role == "standby" else _primary(check, values, facts)
    return worst([*found, *_lag(check, values), *_slots(check, values)])


def ntp(check: NtpCheck, observation: Observation) -> Judgement:
    """Judge a server that is synchronized. Raises KeyError likewise."""
    values = observation.values
    open_s = values["ntp_delay_seconds"] / 2
    found = [off(values["ntp_offset_seconds"], open_s, check.warn_s, check.alarm_s, "the server's clock")]
    stratum, distance_s = int(values["stratum"]), values["ntp_root_distance_seconds"]
    if stratum > check.max_stratum:
        found.append(Judgement(Health.DEGRADED, f"its stratum is {stratum}, over {check.max_stratum}"))
    if distance_s > check.alarm_s:
        found.append(Judgement(Health.DEGRADED, f"the server itself may be {span(distance_s)} off its source"))
    return worst(found)


def _standby(check: PostgresqlCheck, values: Mapping[str, float], facts: Mapping[str, str]) -> list[Judgement]:
    found = []
    if facts["paused"] == "yes":
        found.append(Judgement(Health.DEGRADED, "replay is paused"))
    silent_s = values["silent_seconds"]
    if facts["fed"] != "yes":
        health = Health.DOWN if silent_s > check.alarm_s else Health.DEGRADED
        found.append(Judgement(health, f"it receives nothing (seen for {span(silent_s)}); how far behind is not known"))
    elif silent_s > max(LONGEST_SILENCE_S, check.warn_s):
        found.append(Judgement(Health.DEGRADED, f"nothing heard of the primary for {span(silent_s)}"))
    return found


def _primary(check: PostgresqlCheck, values: Mapping[str, float], facts: Mapping[str, str]) -> list[Judgement]:
    found = []
    standbys, synchronous = int(values["standbys"]), int(values["sync_standbys"])
    if standbys < check.standbys:
        found.append(Judgement(Health.DEGRADED, f"{standbys} of {check.standbys} standbys receive"))
    if facts["waits"] == "yes" and synchronous == 0:
        found.append(Judgement(Health.DOWN, "the synchronous standby is lost: commits wait"))
    elif facts["waits"] != "yes" and check.sync_standbys:
        found.append(Judgement(Health.DEGRADED, "no commit waits for a standby: synchronous replication is off"))
    elif synchronous < check.sync_standbys:
        reason = f"{synchronous} of {check.sync_standbys} synchronous standbys receive"
        found.append(Judgement(Health.DEGRADED, reason))
    return found


def _lag(check: PostgresqlCheck, values: Mapping[str, float]) -> list[Judgement]:
    found = []
    if "lag_seconds" in values:
        found.append(above(values["lag_seconds"], check.warn_s, check.alarm_s, "replay is behind by"))
    behind = values.get("lag_bytes", 0.0)
    if check.warn_behind_bytes is not None and behind > check.warn_behind_bytes:
        reason = f"replay lacks {size(behind)}, over the warning limit of {size(check.warn_behind_bytes)}"
        found.append(Judgement(Health.DEGRADED, reason))
    return found


def _slots(check: PostgresqlCheck, values: Mapping[str, float]) -> list[Judgement]:
    found = []
    if values["slots_lost"]:
        reason = f"{int(values['slots_lost'])} replication slot(s) lost: their standbys must be made anew"
        found.append(Judgement(Health.DEGRADED, reason))
    if values["slots_losing"]:
        reason = f"{int(values['slots_losing'])} replication slot(s) about to be lost (max_slot_wal_keep_size)"
        found.append(Judgement(Health.DEGRADED, reason))
    if values["retained_bytes"] > check.warn_retained_bytes:
        limit = size(check.warn_retained_bytes)
        reason = f"a replication slot keeps {size(values['retained_bytes'])} of log, over the warning limit of {limit}"
        found.append(Judgement(Health.DEGRADED, reason))
    return found
