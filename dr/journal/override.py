"""An override: a named person's decision against one rule for one system, for a time; most need a second person.

It is journaled in the same chain as the runs, as a story of its own (``override/3``), and is the fold of its events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from dr.errors import IllegalEvent
from dr.journal.event import Event
from dr.journal.names import same_person
from dr.journal.overriding import OverrideAsked, OverrideConfirmed, OverrideEnded
from dr.journal.run import Run

PREFIX = "override/"
BLACKOUT = "blackout"
READINESS = "readiness"
FENCING = "fencing"
SAFETY = "safety/"
ALONE = frozenset({BLACKOUT, READINESS})
"""Rules that one person may override; for every other a second one must confirm."""


@dataclass(frozen=True, slots=True)
class Override:
    """``by`` puts ``rule`` (a guard's name, or ``safety/KEY``) out of force for ``system`` until ``expires_at``."""

    id: str
    system: str
    rule: str
    by: str
    reason: str
    asked_at: float
    expires_at: float
    confirmed_by: str = ""
    confirmed_at: float | None = None
    ended_by: str = ""
    ended_at: float | None = None

    @property
    def needs_second(self) -> bool:
        """Tell whether it waits for a second person, or waited for one."""
        return self.rule not in ALONE

    @property
    def over_at(self) -> float:
        """Return when it ended, or will by itself, in Unix seconds."""
        return self.expires_at if self.ended_at is None else min(self.ended_at, self.expires_at)

    def stands(self, now: float) -> bool:
        """Tell whether it was neither ended nor overtaken by time, confirmed or not."""
        return self.ended_at is None and now < self.expires_at

    def in_force(self, now: float) -> bool:
        """Tell whether it may let something pass."""
        return self.stands(now) and (bool(self.confirmed_by) or not self.needs_second)

    def words(self) -> str:
        """Say who decided what, and why."""
        second = f", confirmed by {self.confirmed_by}" if self.confirmed_by else ""
        return f"{self.id}: '{self.rule}' is overridden for {self.system} by {self.by}{second}: {self.reason}"


def passes(
    overrides: Iterable[Override], rule: str, run: Run, now: float, may: Callable[[str], bool]
) -> Override | None:
    """Return the override that lets ``run`` pass ``rule``; None when there is none.

    It counts while whoever gave it has the right to (``may``). Of two persons' the second is neither who asked for the
    run nor who overrides; a machine asks nobody's leave, so one person's counts for a person's run alone.
    """
    for each in overrides:
        if (each.rule, each.system) != (rule, run.system) or not each.in_force(now):
            continue
        if not all(may(who) for who in (each.by, each.confirmed_by) if who):
            continue
        if not same_person(each.confirmed_by, run.requester) if each.needs_second else run.origin == "person":
            return each
    return None


def left_aside(overrides: Iterable[Override], rule: str, run: Run, now: float, may: Callable[[str], bool]) -> str:
    """Say why overrides of ``rule`` that stand do not let ``run`` pass, and what to do; empty where none stands."""
    mine = [each for each in overrides if (each.rule, each.system) == (rule, run.system) and each.stands(now)]
    return "".join(f" {_left_aside(each, run, may)}." for each in mine if passes((each,), rule, run, now, may) is None)


def _left_aside(override: Override, run: Run, may: Callable[[str], bool]) -> str:
    number, asked_for = override.id.removeprefix(PREFIX), f"{run.requester} asked for this run"
    if lacks := [who for who in (override.by, override.confirmed_by) if who and not may(who)]:
        return f"{override.id} does not count here: {lacks[0]} has no right to it (karaula rights {run.system})"
    if not override.needs_second:
        return f"{override.id} does not count here: it is for what a person asks for"
    if override.confirmed_by:
        return (
            f"{override.id} does not count here: {override.confirmed_by} agreed to it, and {asked_for}; "
            "give it anew, and let a third person agree"
        )
    alone = run.origin != "person" or same_person(override.by, run.requester)
    others = override.by if alone else f"{override.by} and {run.requester}"
    return f"{override.id} waits for another person than {others}: 'karaula override --confirm {number} --as NAME'"


def fold_override(override_id: str, events: Iterable[Event]) -> Override:
    """Return the override of a whole story. Raises IllegalEvent for what cannot have been written."""
    found: Override | None = None
    for event in events:
        found = _after(override_id, found, event)
    if found is None:
        raise IllegalEvent(f"{override_id} has no events")
    return found


def _after(override_id: str, found: Override | None, event: Event) -> Override:
    match event:
        case OverrideAsked() if found is None:
            return Override(override_id, event.system, event.rule, event.by, event.reason, event.at, event.expires_at)
        case OverrideConfirmed() if found is not None and _may_confirm(found, event.by):
            return replace(found, confirmed_by=event.by, confirmed_at=event.at)
        case OverrideEnded() if found is not None and found.ended_at is None:
            return replace(found, ended_by=event.by, ended_at=event.at)
    raise IllegalEvent(f"{override_id}: {type(event).__name__} cannot follow")


def _may_confirm(found: Override, by: str) -> bool:
    waits = found.ended_at is None and not found.confirmed_by and found.needs_second
    return waits and not same_person(found.by, by)
