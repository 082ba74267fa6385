"""The alarms that stand. Each is raised once and cleared once, also over a restart.

Pure bookkeeping: statuses and the time come in, changed alarms go out; ``history`` keeps them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from monitor.alarms.inhibit import causes
from monitor.alarms.rules import Call, called_for, keeps
from monitor.status.alarm import Alarm, alarm_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from monitor.status.state import Status


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
        depends_on: Mapping[str, tuple[str, ...]],
        now: float,
        unknown_after_s: float,
    ) -> Changes:
        """Raise and clear what ``statuses`` ask for, and find anew which alarm explains which.

        Only subjects of ``depends_on`` alarm: nobody has said how anything else ought to be.
        """
        wanted: dict[tuple[str, str], tuple[Call, str]] = {}
        for subject, status in statuses.items():
            if subject in depends_on and (call := called_for(status, now, unknown_after_s)) is not None:
                wanted[call.name, subject] = (call, status.reason)
        cleared = [
            self._clear(place, now, _why(statuses.get(place[1])))
            for place in list(self._standing)
            if place not in wanted and not _kept(place, statuses, depends_on)
        ]
        raised = [
            self._raise(place, call, reason, now)
            for place, (call, reason) in wanted.items()
            if place not in self._standing
        ]
        explained = causes(self._standing.values(), depends_on)
        for place, alarm in self._standing.items():
            cause = explained.get(alarm.id, "")
            if cause != alarm.cause:
                self._standing[place] = replace(alarm, cause=cause)
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


def _kept(place: tuple[str, str], statuses: Mapping[str, Status], depends_on: Mapping[str, tuple[str, ...]]) -> bool:
    name, subject = place
    if subject.startswith("karaula/"):
        return True
    status = statuses.get(subject)
    return status is not None and subject in depends_on and keeps(status, name)


def _why(status: Status | None) -> str:
    if status is None:
        return "no longer in the inventory"
    return f"now {status.health}" + (f": {status.reason}" if status.reason else "")
