"""What people have decided that stands beside the runs: pauses, and overrides of single rules; kept in the journal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Protocol, TypeVar

from dr.engine.names import unknown
from dr.engine.unheard import PERHAPS
from dr.errors import IllegalEvent, RunRefused
from dr.journal.event import Event
from dr.journal.names import same_person
from dr.journal.override import (
    ALONE,
    BLACKOUT,
    FENCING,
    PREFIX,
    READINESS,
    SAFETY,
    Override,
    fold_override,
    left_aside,
    passes,
)
from dr.journal.overriding import OverrideAsked, OverrideConfirmed, OverrideEnded
from dr.journal.pause import EVERYTHING, Pause
from dr.journal.run import Run
from dr.journal.sqlite import SqliteJournal
from dr.rights import Deed, Rights, kinds_of, lacking, lacking_all, may, others, overrides
from dr.world import World
from monitor.errors import StateError

T = TypeVar("T")
LONGEST_S = 24 * 3600.0
RULES = (BLACKOUT, READINESS, FENCING)


class InThread(Protocol):
    """Runs a blocking journal call in the journal's thread."""

    def __call__(self, call: Callable[[], T]) -> Awaitable[T]:
        """Return the call's result."""
        ...


@dataclass(frozen=True, slots=True)
class OverrideAsk:
    """A person wants ``rule`` put out of force for ``system`` for ``for_s`` seconds."""

    system: str
    rule: str
    by: str
    reason: str
    for_s: float


class Standing:
    """Holds pauses and overrides; every change is on the disk before it counts."""

    def __init__(self, journal: SqliteJournal, in_thread: InThread, world: Callable[[], World]) -> None:
        """``world`` returns the present one: a reload changes it."""
        self._journal = journal
        self._in_thread = in_thread
        self._world = world
        self._pauses: tuple[Pause, ...] = ()
        self._overrides: tuple[Override, ...] = ()
        self._unsure = False  # a write stands perhaps although the journal said otherwise
        self._changing = asyncio.Lock()

    async def load(self) -> None:
        """Take up what the journal holds. Raises StateError."""
        self._pauses = tuple(await self._in_thread(lambda: self._journal.pauses(self._now())))
        self._overrides = tuple(await self._in_thread(self._journal.overrides))

    async def learn(self) -> None:
        """Read again what the journal holds where that is not sure. Raises StateError while it cannot be known."""
        if self._unsure:
            async with self._changing:
                await self.load()
                self._unsure = False

    # -- pauses --------------------------------------------------------------------------------------------------------

    def pauses(self) -> list[Pause]:
        """Return the pauses in force."""
        return [pause for pause in self._pauses if pause.expires_at > self._now()]

    async def pause(self, pause: Pause) -> None:
        """Start nothing by itself for the pause's system, which ``pause.owner`` may have so.

        Raises StateError, RunRefused for an unknown system or a right that is lacking.
        """
        if pause.system != EVERYTHING:
            self._known(pause.system)
        self._may_pause(pause.system, pause.owner)
        await self.learn()
        async with self._changing:
            await self._written(lambda: self._journal.add_pause(pause))
            self._pauses = (*self.pauses(), pause)

    async def lift_pause(self, system: str, by: str) -> int:
        """End the pauses of ``system``; return how many there were. Raises StateError, RunRefused."""
        self._may_pause(system, by)
        await self.learn()
        now = self._now()
        async with self._changing:
            count = await self._written(lambda: self._journal.lift_pause(system, by, now))
            self._pauses = tuple(pause for pause in self.pauses() if pause.system != system)
        return count

    # -- overrides -----------------------------------------------------------------------------------------------------

    def overrides(self) -> list[Override]:
        """Return the overrides that stand, also those that wait for their second person; oldest first."""
        return [each for each in self._overrides if each.stands(self._now())]

    def in_force(self) -> list[Override]:
        """Return the overrides that may let something pass now."""
        return [each for each in self._overrides if each.in_force(self._now())]

    def concerning(self, run: Run) -> list[Override]:
        """Return the overrides for the run's system that stood at some time of the run's life, oldest first."""
        return self.between([run.system], run.accepted_at, run.ended_at)

    def between(self, systems: Collection[str], since: float, until: float | None) -> list[Override]:
        """Return the overrides for ``systems`` that stood between two moments (None: now), oldest first."""
        end = self._now() if until is None else until
        mine = (each for each in self._overrides if each.system in systems)
        return [each for each in mine if each.asked_at <= end and since < each.over_at]

    def overridden(self, rule: str, run: Run, now: float) -> Override | None:
        """Return the override that lets ``run`` pass ``rule``; None when there is none."""
        return passes(self._overrides, rule, run, now, lambda who: overrides(self._rights, who, run))

    def left_aside(self, rule: str, run: Run, now: float) -> str:
        """Say why overrides of ``rule`` that stand do not let ``run`` pass; empty where none stands."""
        return left_aside(self._overrides, rule, run, now, lambda who: overrides(self._rights, who, run))

    def rules(self) -> list[str]:
        """Return the rules that can be overridden."""
        return [*RULES, *(f"{SAFETY}{key}" for key in self._world().inventory.safety)]

    async def override(self, ask: OverrideAsk) -> Override:
        """Write an override down; one that needs a second person counts for nothing yet.

        Raises StateError, and RunRefused with what is wrong with the request.
        """
        await self.learn()
        self._known(ask.system)
        if ask.rule not in self.rules():
            raise RunRefused("override", unknown("rule", ask.rule, self.rules()))
        if not ask.reason.strip():
            raise RunRefused("override", "an override needs a reason")
        if not 0 < ask.for_s <= LONGEST_S:
            raise RunRefused("override", f"an override lasts at most {LONGEST_S / 3600:.0f} h")
        self._may_override(ask.rule, ask.system, ask.by)
        if ask.rule not in ALONE and not self._who_could_agree(ask):
            raise RunRefused(
                "override",
                f"'{ask.rule}' needs a second person, and the inventory lets nobody but {ask.by} override it for "
                f"{ask.system} (karaula rights {ask.system})",
            )
        now = self._now()
        asked = OverrideAsked(now, ask.system, ask.rule, ask.by, ask.reason, now + ask.for_s)
        number = len(await self._in_thread(lambda: self._journal.names(PREFIX))) + 1
        return await self._write(f"{PREFIX}{number}", (), asked)

    async def confirm(self, override_id: str, by: str, comment: str) -> Override:
        """Let a second person agree. Raises StateError, and RunRefused when that may not be."""
        await self.learn()
        found = self._standing(override_id)
        if not found.needs_second:
            raise RunRefused("override", f"{found.id} is in force already: '{found.rule}' needs no second person")
        if found.confirmed_by:
            raise RunRefused("override", f"{found.id} is confirmed already, by {found.confirmed_by}")
        if same_person(found.by, by):
            raise RunRefused("override", f"{by} asked for {found.id}; somebody else must confirm it")
        self._may_override(found.rule, found.system, by, found.by)
        return await self._write(found.id, _story(found), OverrideConfirmed(self._now(), by, comment))

    async def end(self, override_id: str, by: str, reason: str) -> Override:
        """Take an override back, as who gave it or could have. Raises StateError, and RunRefused when there is none."""
        await self.learn()
        found = self._standing(override_id)
        if not same_person(found.by, by):
            self._may_override(found.rule, found.system, by)
        return await self._write(found.id, _story(found), OverrideEnded(self._now(), by, reason))

    def _standing(self, override_id: str) -> Override:
        wanted = override_id if override_id.startswith(PREFIX) else PREFIX + override_id
        for each in self.overrides():
            if each.id == wanted:
                return each
        there = ", ".join(each.id for each in self.overrides()) or "none stands"
        raise RunRefused("override", f"no override '{override_id}' stands; there are: {there}")

    async def _write(self, override_id: str, before: tuple[Event, ...], event: Event) -> Override:
        async with self._changing:
            try:
                after = fold_override(override_id, (*before, event))
                await self._written(lambda: self._journal.append(override_id, len(before), (event,)))
            except IllegalEvent as error:  # two persons at the same moment: the first was first
                said = f"{override_id} has just been changed by somebody else; look again"
                raise RunRefused("override", said) from error
            known = {each.id: each for each in self._overrides}
            self._overrides = tuple({**known, override_id: after}.values())
        return after

    async def _written(self, write: Callable[[], T]) -> T:
        """Write, and take note of a write that may stand although the journal says otherwise. Raises StateError."""
        try:
            return await self._in_thread(write)
        except StateError as error:
            self._unsure = True
            raise StateError(f"{error}; {PERHAPS}: look at 'karaula status' before saying it again") from error

    @property
    def _rights(self) -> Rights:
        return self._world().inventory.rights

    def _may_override(self, rule: str, system: str, by: str, first: str = "") -> None:
        """See that ``by`` may override the rule for some kind of run that it concerns, as ``first`` may.

        For which of them an override counts is asked when it is to. Raises RunRefused.
        """
        rights, deed = self._rights, Deed.OVERRIDE
        concerned = kinds_of(rule, system, self._world().inventory)
        kinds = [kind for kind in concerned if not first or may(rights, first, deed, kind, system)] or concerned
        if lack := lacking_all(rights, by, deed, kinds, system):
            raise RunRefused("rights", lack)

    def _who_could_agree(self, ask: OverrideAsk) -> bool:
        """Tell whether another person has the right for a kind of run for which ``ask.by`` has it."""
        rights, deed = self._rights, Deed.OVERRIDE
        kinds = kinds_of(ask.rule, ask.system, self._world().inventory)
        return any(
            others(rights, deed, kind, ask.system, ask.by)
            for kind in kinds
            if may(rights, ask.by, deed, kind, ask.system)
        )

    def _may_pause(self, system: str, by: str) -> None:
        """See that ``by`` may steer a failover, the gravest thing that a pause holds back. Raises RunRefused."""
        systems = self._world().inventory.systems if system == EVERYTHING else (system,)
        if lack := lacking(self._rights, by, Deed.STEER, "failover", systems):
            raise RunRefused("rights", f"a pause holds back failovers, and {lack}")

    def _known(self, system: str) -> None:
        systems = self._world().inventory.systems
        if system not in systems:
            raise RunRefused("system", unknown("system", system, systems))

    def _now(self) -> float:
        return self._world().clock.now()


def _story(override: Override) -> tuple[Event, ...]:
    """Return the events that the override is the fold of."""
    asked = OverrideAsked(
        override.asked_at, override.system, override.rule, override.by, override.reason, override.expires_at
    )
    if override.confirmed_at is None:
        return (asked,)
    return asked, OverrideConfirmed(override.confirmed_at, override.confirmed_by, "")
