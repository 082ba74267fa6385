"""Which alarm explains which: one fallen site is one alarm to act on, not sixty.

An alarm with a cause is shown with it and told to nobody; what answers alarms by itself does not look at causes, so a
fallen site hides no lost system from a recovery. Split brain and a confirmed danger are told whatever else stands or is
planned; a site unless the inventory says that it needs a group. Invariant: whoever follows the causes comes to an alarm
without one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from monitor.alarms.rules import FLAPPING, OF_AGREEMENTS, RULES
from monitor.status.state import Health

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from monitor.inventory.dependencies import Ties
    from monitor.status.alarm import Alarm

WHOLES = ("system/", "crossing/", "group/")
ALWAYS_TOLD = ("split-brain", "danger-confirmed")
# what explains that something that needs it is down
EXPLAINS = frozenset(
    {"site-down", "vcenter-down", "esx-down", "vm-down", "host-down", "host-untrusted", "group-down", FLAPPING}
)
# what explains that a whole (a system, a crossing, a group) is amiss: nothing smaller may silence these
EXPLAINS_WHOLES = frozenset({"site-down", "group-down"})
# what brings no whole down: its subject works, and is not at its best
NOT_AT_THEIR_BEST = frozenset(
    call.name for rules in RULES.values() for (health, _), call in rules.items() if health is Health.DEGRADED
)
# what a whole says of its own parts
TELLS_OF_PARTS = frozenset({"crossing-cut-off", "crossing-on-backup", "redundancy-lost", "group-down", FLAPPING})
TOLD_BY_WHOLES = ("crossing/", "group/")
# a month that is at risk no more, for it is lost; nothing else explains what is said of an agreement
AT_RISK, BROKEN = OF_AGREEMENTS[0], frozenset(OF_AGREEMENTS[1:])
# what says something of its own, whatever stands in for the thing that it speaks of
OF_THEMSELVES = frozenset(
    {"link-degraded", "host-untrusted", "sensor-alarm", "sensor-warning", "sensor-fault"}
    | {"ups-on-battery", "ups-low-battery"}
)


@dataclass(slots=True)
class _Standing:
    """The standing alarms by subject, and what was found to explain them."""

    by_subject: dict[str, list[Alarm]] = field(default_factory=dict)
    found: dict[str, Alarm] = field(default_factory=dict)  # by alarm id

    def named(self, subject: str, names: frozenset[str]) -> Alarm | None:
        return next((alarm for alarm in self.by_subject.get(subject, ()) if alarm.name in names), None)


def causes(standing: Iterable[Alarm], ties: Ties) -> dict[str, str]:
    """Return, by alarm id, the key of the standing alarm that explains it; nothing for alarms that stand alone."""
    book = _Standing()
    alarms = [alarm for alarm in standing if not alarm.subject.startswith("karaula/")]
    for alarm in alarms:
        book.by_subject.setdefault(alarm.subject, []).append(alarm)
    told = [alarm for alarm in alarms if alarm.name not in (*ALWAYS_TOLD, *OF_AGREEMENTS)]
    for alarm in told:
        _note(book, alarm, _needed(alarm, book, ties))
    for alarm in told:
        if alarm.subject.startswith(WHOLES) and alarm.id not in book.found:
            _note(book, alarm, _common(alarm, book, ties))
    speakers = _speakers(ties)
    for alarm in told:
        if alarm.id not in book.found:
            _note(book, alarm, _told_by(alarm, book, speakers))
    for alarm in (alarm for alarm in told if alarm.name != FLAPPING and alarm.id not in book.found):
        _note(book, alarm, book.named(alarm.subject, frozenset({FLAPPING})))
    for alarm in (alarm for alarm in alarms if alarm.name == AT_RISK):
        _note(book, alarm, book.named(alarm.subject, BROKEN))
    return {alarm.id: book.found[alarm.id].key for alarm in alarms if _has_an_end(alarm, book)}


def _note(book: _Standing, alarm: Alarm, cause: Alarm | None) -> None:
    if cause is not None:
        book.found[alarm.id] = cause


def _needed(alarm: Alarm, book: _Standing, ties: Ties) -> Alarm | None:
    """Return the alarm of something that the subject needs: one thing, or all of several of which it needs one."""
    for other in ties.depends_on.get(alarm.subject, ()):
        if (found := book.named(other, EXPLAINS)) is not None:
            return found
    for several in ties.any_of.get(alarm.subject, ()):
        down = [book.named(other, EXPLAINS) for other in several]
        if all(each is not None for each in down):
            return down[0]
    return None


def _common(alarm: Alarm, book: _Standing, ties: Ties) -> Alarm | None:
    """Return what explains every alarm of the whole's parts, or is such an alarm, when it is great enough.

    Of a system that is down only what may have brought it down counts: an old snapshot at the other site does not
    make a lost site two messages.
    """
    parts = [each for part in ties.parts.get(alarm.subject, ()) for each in book.by_subject.get(part, ())]
    if alarm.name == "system-down":
        parts = [each for each in parts if each.name not in NOT_AT_THEIR_BEST]
    causes = [each if each.name in EXPLAINS_WHOLES else book.found.get(each.id) for each in parts]
    if not causes or any(cause is None or cause.name not in EXPLAINS_WHOLES for cause in causes):
        return None
    return next(cause for cause in causes if cause is not None and cause.subject != alarm.subject)


def _speakers(ties: Ties) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for whole, parts in ties.parts.items():
        if whole.startswith(TOLD_BY_WHOLES):
            for part in parts:
                found[part] = (*found.get(part, ()), whole)
    return found


def _told_by(alarm: Alarm, book: _Standing, speakers: Mapping[str, tuple[str, ...]]) -> Alarm | None:
    """Return the alarm of the crossing or group that already says that this part of it is down."""
    if alarm.subject.startswith((*WHOLES, "site/")) or alarm.name in OF_THEMSELVES:
        return None
    for whole in speakers.get(alarm.subject, ()):
        if (found := book.named(whole, TELLS_OF_PARTS)) is not None:
            return found
    return None


def _has_an_end(alarm: Alarm, book: _Standing) -> bool:
    """Tell whether the alarm has a cause, and whoever follows it comes to an alarm that stands alone.

    Where groups of the inventory explain one another in a circle, nothing in it is explained.
    """
    seen = {alarm.id}
    at = book.found.get(alarm.id)
    while at is not None:
        if at.id in seen:
            return False
        seen.add(at.id)
        if at.id not in book.found:
            return True
        at = book.found[at.id]
    return False
