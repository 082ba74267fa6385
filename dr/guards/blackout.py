"""Blackout: backups, verifications and drills begin only in their windows; what moves production heeds none.

A window says when a run may begin. One that is under way when its window closes is let end: half a drill is worse than
a late one.
"""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from dr.guard import Facts, Ruling, Verdict
from dr.journal.override import BLACKOUT
from dr.journal.run import Run
from monitor.status.calendar import open_until, opens_next

NAME = BLACKOUT


def blackout(run: Run, facts: Facts, step: str | None, now: float) -> Verdict:
    """Refuse what may only begin in a window and finds none open, unless a person has overridden that."""
    del step
    kind = run.plan.kind
    if run.plan.attended:
        return Verdict(NAME, Ruling.ALLOW, "heeds-no-window", f"a {kind} waits for no window")
    mine = [one for one in facts.windows if one.covers(kind, run.system)]
    if not mine:
        return Verdict(NAME, Ruling.ALLOW, "no-window", f"the inventory has no window for a {kind} of {run.system}")
    ends = [until for one in mine if (until := open_until(one.cron, facts.zone, one.duration_s, now)) is not None]
    if ends:
        return Verdict(NAME, Ruling.ALLOW, "in-window", f"its window is open until {_shown(max(ends), facts.zone)}")
    opens = min(opens_next(one.cron, facts.zone, now) for one in mine)
    said = f"a {kind} of {run.system} begins only in its windows; the next opens {_shown(opens, facts.zone)}"
    override = facts.overridden(NAME, run, now)
    if override is not None:
        return Verdict(NAME, Ruling.ALLOW, "overridden", f"{said}. {override.words()}")
    sentence = (
        f"{said}. If it must be now: 'karaula override blackout {run.system} --for 1h --reason …', then ask again."
        f"{facts.left_aside(NAME, run, now)}"
    )
    return Verdict(NAME, Ruling.REFUSE, "outside-window", sentence)


def _shown(at: float, zone: str) -> str:
    return datetime.fromtimestamp(at, UTC).astimezone(ZoneInfo(zone)).strftime("%a %Y-%m-%d %H:%M %Z")
