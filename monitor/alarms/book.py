"""The alarms that stand. Each is raised once and cleared once, also over a restart.

Pure bookkeeping: statuses and the time come in, changed alarms go out; ``history`` keeps them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from monitor.alarms.inhibit import ALWAYS_TOLD, causes
from monitor.alarms.rules import OF_AGREEMENTS, Call, called_for, flapping, keeps
from monitor.status.alarm import Alarm, alarm_id
from monitor.status.sight import INSIDE_A_VCENTER
from monitor.status.state import Health

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from monitor.inventory.dependencies import Ties
    from monitor.status.alarm import Condition
    from monitor.status.downtime import Downtime
    from monitor.status.state import Status


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What is known beside the statuses.

    ``flapping`` are the subjects that flap; ``blind`` those that cannot be seen while the monitor is isolated: for
    them nothing is raised and nothing is cleared. ``covered`` holds the planned downtime that covers a subject; what is
    always told is told all the same. ``agreements`` are what the month's service levels ask
    for; None: not reckoned yet.
    """

    flapping: frozenset[str] = frozenset()
    blind: frozenset[str] = frozenset()
    covered: Mapping[str, Downtime] = field(default_factory=dict)
    agreements: Sequence[Condition] | None = None


ORDINARY = Circumstances()


@dataclass(frozen=True, slots=True)
class Changes:
    """What one update did: alarms newly standing, and alarms that stood until now."""

    raised: tuple[Alarm, ...] = ()
    cleared: tuple[Alarm, ...] = ()


def joined(changes: Iterable[Changes]) -> Changes:
    """Return all changes as one, in order."""
    every = list(changes)
    raised = tuple(alarm for each in every for alarm in each.raised)
    return Changes(raised, tuple(alarm for each in every for alarm in each.cleared))


class Book:
    """The standing alarms by name and subject."""

    def __init__(self, standing: Iterable[Alarm] = ()) -> None:
        """Begin with those that stood when the daemon ended."""
        self._standing = {(alarm.name, alarm.subject): alarm for alarm in standing}

    def standing(self) -> list[Alarm]:
        """Return the standing alarms, oldest first."""
        return sorted(self._standing.values(), key=lambda alarm: (alarm.since, alarm.key))

    def update(
        self,
        statuses: Mapping[str, Status],
        ties: Ties,
        now: float,
        unknown_after_s: float,
        around: Circumstances = ORDINARY,
    ) -> Changes:
        """Raise and clear what ``statuses`` ask for, and find anew what explains or covers each alarm.

        Only subjects of ``ties.depends_on`` alarm: nobody has said how anything else ought to be.
        """
        wanted: dict[tuple[str, str], tuple[Call, str]] = {}
        for subject, status in statuses.items():
            if subject not in ties.depends_on or subject in around.blind:
                continue
            if (call := called_for(status, now, unknown_after_s)) is not None:
                wanted[call.name, subject] = (call, status.reason)
            if subject in around.flapping:
                call = flapping(subject)
                wanted[call.name, subject] = (call, _swings(status))
        asked = {(each.name, each.subject): each for each in around.agreements or ()}
        for place, condition in asked.items():
            if condition.holds and place[1] in ties.depends_on and place[1] not in around.blind:
                wanted[place] = (Call(condition.name, "warning"), condition.words)
        cleared = [
            self._clear(place, now, asked[place].words if place in asked else _why(statuses.get(place[1])))
            for place in list(self._standing)
            if place not in wanted and place[1] not in around.blind and not _kept(place, statuses, ties, asked)
        ]
        raised = [
            self._raise(place, call, reason, now)
            for place, (call, reason) in wanted.items()
            if place not in self._standing
        ]
        explained = causes(self._standing.values(), ties)
        for place, alarm in self._standing.items():
            cause = explained.get(alarm.id, "")
            planned = None if alarm.name in ALWAYS_TOLD else around.covered.get(alarm.subject)
            downtime = "" if planned is None else planned.id
            if (cause, downtime) != (alarm.cause, alarm.downtime):
                self._standing[place] = replace(alarm, cause=cause, downtime=downtime)
        return Changes(tuple(self._standing[alarm.name, alarm.subject] for alarm in raised), tuple(cleared))

    def hold(self, name: str, subject: str, reason: str | None, now: float) -> Changes:
        """Raise (or with no ``reason`` clear) an alarm about Karaula itself."""
        place = (name, subject)
        if reason is None:
            return Changes(cleared=(self._clear(place, now, "works again"),)) if place in self._standing else Changes()
        if place in self._standing:
            return Changes()
        return Changes(raised=(self._raise(place, Call(name, "critical"), reason, now),))

    def _raise(self, place: tuple[str, str], call: Call, reason: str, now: float) -> Alarm:
        alarm = Alarm(alarm_id(*place, now), *place, call.severity, now, reason)
        self._standing[place] = alarm
        return alarm

    def _clear(self, place: tuple[str, str], now: float, note: str) -> Alarm:
        return replace(self._standing.pop(place), cleared_at=now, note=note)


def _kept(
    place: tuple[str, str],
    statuses: Mapping[str, Status],
    ties: Ties,
    asked: Mapping[tuple[str, str], Condition],
) -> bool:
    name, subject = place
    if subject.startswith("karaula/"):
        return True
    if name in OF_AGREEMENTS:  # a month that is not reckoned yet, or not anew, says nothing
        return subject in ties.depends_on and (place not in asked or asked[place].holds is None)
    status = statuses.get(subject)
    kind, _, rest = subject.partition("/")
    if status is None and kind in INSIDE_A_VCENTER:  # not told of yet since the start, or the vCenter is silent
        vcenter = statuses.get(f"vcenter/{rest.partition('/')[0]}")
        return vcenter is not None and vcenter.health is Health.UNKNOWN
    return status is not None and subject in ties.depends_on and keeps(status, name)


def _swings(status: Status) -> str:
    said = f"it changes to and fro, and was {status.detail or status.health} when this was noticed"
    return f"{said}: {status.reason}" if status.reason else said


def _why(status: Status | None) -> str:
    if status is None:
        return "no longer in the inventory"
    return f"now {status.health}" + (f": {status.reason}" if status.reason else "")
