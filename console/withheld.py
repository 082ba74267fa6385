"""Why nothing is prepared for an alarm at this moment, whatever the response to it says.

Nothing is prepared on the word of an earlier daemon: after a start the subject must have been judged anew, and enough
been heard to tell an outage from the loss of the own uplink. Nor for what the subject is not any more; but an alert of
others may see what we do not, so our own good opinion withholds nothing from it.
"""

from __future__ import annotations

import math

from dr.trigger import AlarmNote
from monitor.alarms.inhibit import ALWAYS_TOLD
from monitor.alarms.rules import FLAPPING, called_for
from monitor.status.alarm import Alarm
from monitor.status.state import Health, Status
from monitor.watch import Watch


def note_of(alarm: Alarm, watch: Watch) -> AlarmNote:
    """Return what the trigger needs of an alarm, with when the service of its system was last seen working."""
    kind, _, key = alarm.subject.partition("/")
    lost_at = 0.0
    if kind == "system" and (seen_at := watch.evidence(key).service_ok_at) is not None:
        lost_at = seen_at
    return AlarmNote(str(alarm.id), alarm.name, alarm.subject, alarm.since, alarm.reason, lost_at)


def withheld(note: AlarmNote, watch: Watch) -> str:
    """Return why nothing is to be prepared for the alarm of ``note`` now; empty: it may be."""
    if unseen := _unseen(note.subject, watch):
        return unseen
    status, downtime = watch.status(note.subject), watch.covered().get(note.subject)
    if note.labels is None and status is not None and _is_over(note, status):
        return f"{note.subject} is {status.health} now"
    if downtime is not None and note.name not in ALWAYS_TOLD:
        return f"it is in planned downtime, announced by {downtime.owner}: {downtime.reason}"
    return ""


def _unseen(subject: str, watch: Watch) -> str:
    """Return why it is not known how ``subject`` is; empty: it is."""
    if watch.isolated:
        return f"the monitor itself is cut off from the estate: {watch.isolated}"
    if subject in watch.unjudged():
        return f"the monitor was cut off, and has not heard of {subject} since"
    status = watch.status(subject)
    if status is None or status.seen_at is None:
        return f"{subject} has not been heard of since the start of Karaula"
    return "" if watch.asked_all else "not everything has been asked since the start of Karaula"


def _is_over(note: AlarmNote, status: Status) -> bool:
    """Tell whether the subject is known not to be what the alarm says; the alarm itself is cleared a moment later."""
    if status.health is Health.UNKNOWN or note.name == FLAPPING:
        return False
    call = called_for(status, status.since, math.inf)
    return call is None or call.name != note.name
