"""The state of a crossing: its two links, each probed at its own far end, and which of them carries the traffic.

A probe shows that a link works, not that it is used; so the router's word (``traffic``) goes before. Where they
contradict each other the crossing is never shown better than the worse of them, and the reason says who said what.
A state that changes to and fro (``monitor.status.flapping``) is shown as ``flapping``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.status.hysteresis import Judgement
from monitor.status.state import Health
from monitor.status.traffic import NOTHING, Evidence

if TYPE_CHECKING:
    from monitor.status.reachability import Seen
    from monitor.status.state import Status

PRIMARY = "primary"
BACKUP = "backup"
ON_BACKUP = "on-backup"
REDUNDANCY_LOST = "redundancy-lost"
DEGRADED = "degraded"
FLAPPING = "flapping"
CUT_OFF = "cut-off"
UNKNOWN = "unknown"
CROSSING_STATES = (PRIMARY, ON_BACKUP, REDUNDANCY_LOST, DEGRADED, FLAPPING, CUT_OFF, UNKNOWN)
WEAK = "weak evidence"


def crossing(key: str, seen: Seen, carried: Evidence = NOTHING) -> Judgement:
    """Judge a crossing by its two links and by what is known of its traffic; a degraded link still carries some."""
    primary, backup = seen.health(f"link/{key}/primary"), seen.health(f"link/{key}/backup")
    unknown = [name for name, health in (("primary", primary), ("backup", backup)) if health is Health.UNKNOWN]
    if unknown:
        verb = "link is" if len(unknown) == 1 else "links are"
        return Judgement(Health.UNKNOWN, f"the {' and '.join(unknown)} {verb} not known{_aside(carried)}", UNKNOWN)
    if primary is Health.DOWN and backup is Health.DOWN:
        return _neither_answers(carried)
    if primary is Health.DOWN:
        return _only("backup", "primary", carried)
    if backup is Health.DOWN:
        return _only("primary", "backup", carried)
    return _both_answer(primary, backup, carried)


def in_use(key: str, seen: Seen, carried: Evidence = NOTHING) -> str:
    """Return the link whose measurements are the crossing's: the one that carries the traffic; empty: not known.

    Where neither router nor path say, it is the primary while it answers, then the backup. Of a crossing that is cut
    off it is the primary, which loses everything; where both answer and carry nothing it is neither.
    """
    if carried.link in (PRIMARY, BACKUP):
        return carried.link
    primary, backup = seen.health(f"link/{key}/primary"), seen.health(f"link/{key}/backup")
    if primary is Health.DOWN and backup is Health.DOWN:
        return PRIMARY
    if carried.link or primary is Health.UNKNOWN:
        return ""
    if primary is not Health.DOWN:
        return PRIMARY
    return "" if backup is Health.UNKNOWN else BACKUP


def _neither_answers(carried: Evidence) -> Judgement:
    """Both far ends are silent: cut off, unless something inside the crossing answers nevertheless."""
    if carried.link in (PRIMARY, BACKUP):
        reason = f"neither link's far end answers, yet the crossing does: {_said(carried)}"
        return Judgement(Health.DEGRADED, reason, DEGRADED)
    return Judgement(Health.DOWN, "both links are down", CUT_OFF)


def _only(good: str, bad: str, carried: Evidence) -> Judgement:
    """Judge a crossing of which one link's far end answers."""
    if carried.link in (bad, "neither"):
        reason = f"the {bad} link is down, and traffic is not on the {good}: {_said(carried)}"
        return Judgement(Health.DEGRADED, reason, DEGRADED)
    if good == "primary":
        return Judgement(Health.DEGRADED, f"the backup link is down{_aside(carried)}", REDUNDANCY_LOST)
    how = f": {_said(carried)}" if carried.link else ""
    return Judgement(Health.DEGRADED, f"the primary link is down, the backup carries the traffic{how}", ON_BACKUP)


def _both_answer(primary: Health, backup: Health, carried: Evidence) -> Judgement:
    weak = [name for name, health in (("primary", primary), ("backup", backup)) if health is Health.DEGRADED]
    worse = f"; the {' and '.join(weak)} {'link is' if len(weak) == 1 else 'links are'} degraded" if weak else ""
    if carried.link == "neither":
        reason = f"both links' far ends answer, but neither carries traffic: {_said(carried)}{worse}"
        return Judgement(Health.DEGRADED, reason, DEGRADED)
    if carried.link == "backup":
        reason = f"the primary link answers, but traffic is on the backup: {_said(carried)}{worse}"
        return Judgement(Health.DEGRADED, reason, ON_BACKUP)
    if PRIMARY in weak:
        reason = "both links are degraded" if len(weak) > 1 else "the primary link is degraded"
        return Judgement(Health.DEGRADED, reason + _aside(carried), DEGRADED)
    return Judgement(Health.OK, "the backup link is degraded" if weak else "", PRIMARY)


def _said(carried: Evidence) -> str:
    """Return the evidence in words, with what it is worth."""
    return f"{carried.words} (by the path's signature, {WEAK})" if carried.source == "path" else carried.words


def _aside(carried: Evidence) -> str:
    if not carried.words:
        return ""
    on = {"": "traffic is not known to be on either", "neither": "traffic is on neither"}
    return f"; {on.get(carried.link, f'traffic is on the {carried.link}')}: {_said(carried)}"


def steadied(
    judgement: Judgement, probed: Judgement, differ_since: float | None, now: float, settle_s: float
) -> tuple[Judgement, float | None]:
    """Return what to hold of ``judgement``, and since when router and probes differ (None: they do not).

    ``probed`` is the judgement by the probes alone. A router speaks at once, a link's status only after some answers
    in a row: when a link comes or goes the two differ for a while, which is believed after ``settle_s``.
    """
    if judgement.detail != DEGRADED or probed.detail == DEGRADED:
        return judgement, None
    since = now if differ_since is None else differ_since
    return (probed if 0 <= now - since < settle_s else judgement), since


def shown_state(status: Status, *, flapping: bool) -> str:
    """Return the crossing's state in a word; a cut-off and not knowing are shown however often they come and go."""
    state = status.detail or UNKNOWN
    return FLAPPING if flapping and state not in (CUT_OFF, UNKNOWN) else state
