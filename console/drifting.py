"""Drift, wired together: what runs have declared, held against the watch; what persists stands as an alarm of our own.

It decides nothing: ``dr.engine.drift_seen`` compares.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dr.engine.drift import AND, Agreement, Compared, declared
from dr.engine.drift_seen import Look, compared, laid_down
from dr.engine.orchestrator import Orchestrator
from dr.journal.event import Event
from dr.journal.run import Run
from monitor.clock import Clock
from monitor.inventory.model import Inventory
from monitor.status.state import Health
from monitor.watch import Watch

DRIFT = "drift"
HEARD = frozenset({Health.OK, Health.DEGRADED})
EARLIER = ("", "")  # an alarm that stood when the daemon started


class Drifting:
    """Ticked from outside. What differs is told once it has lasted for as long as an answer counts (stale_after_s)."""

    def __init__(
        self, watch: Watch, orchestrator: Orchestrator, clock: Clock, inventory: Callable[[], Inventory]
    ) -> None:
        """``inventory()`` is the one that holds now. Nothing has been compared yet."""
        self._watch = watch
        self._orchestrator = orchestrator
        self._clock = clock
        self._inventory = inventory
        self._since: dict[tuple[str, ...], float] = {}  # monotonic
        stands = [alarm.subject for alarm in watch.alarms(active_only=True) if alarm.name == DRIFT]
        self._held = dict.fromkeys(stands, EARLIER)  # by which run and step it was declared
        self._declared: dict[str, list[Compared]] = {}  # by system, until a run of it changes
        orchestrator.subscribe(self._changed)

    def now(self) -> list[Compared]:
        """Return what runs have set of every system that nothing has set anew, against what is observed."""
        return [one for system in self._inventory().systems for one in self._of(system)]

    def of(self, run: Run) -> list[Compared]:
        """Return of that what this run has set."""
        return [one for one in self._of(run.system) if one.run == run.id]

    def _of(self, system: str) -> list[Compared]:
        if system not in self._declared:
            self._declared[system] = declared(system, self._orchestrator.runs())
        return compared(self._declared[system], self._inventory(), self._look)

    def _changed(self, run: Run, _events: Sequence[Event]) -> None:
        self._declared.pop(run.system, None)

    async def tick(self) -> None:
        """Compare, and let an alarm stand for each thing that has differed for so long, until both are seen to agree.

        What is not seen says nothing, neither for nor against: it raises none and clears none. What announced works lay
        down is told when they are over.
        """
        moment, patience_s = self._clock.monotonic(), self._inventory().polling.stale_after_s
        found = {_subject(one): one for one in self.now()}
        drifts = {subject: one for subject, one in found.items() if one.agreement is Agreement.DRIFT}
        self._since = {_name(one): self._since.get(_name(one), moment) for one in drifts.values()}
        for subject, one in drifts.items():
            lasted = moment - self._since[_name(one)] >= patience_s
            if subject in self._held or (lasted and not self._planned(one)):
                self._held[subject] = one.run, one.step
                self._watch.hold(DRIFT, subject, one.sentence())  # each stands by itself: a second one is told, too
        for subject, by in list(self._held.items()):
            now = found.get(subject)
            unseen = now is not None and now.agreement is Agreement.UNKNOWN and by in {(now.run, now.step), EARLIER}
            if subject not in drifts and not unseen:
                self._watch.hold(DRIFT, subject, None)
                del self._held[subject]

    def _planned(self, one: Compared) -> bool:
        """Tell whether announced works are why: all that was laid down is in a planned downtime."""
        what, covered = laid_down(one, self._inventory(), self._look), self._watch.covered()
        return bool(what) and all(subject in covered for subject in what)

    def _look(self, subject: str) -> Look | None:
        status = self._watch.status(subject)
        if status is None or self._watch.isolated:
            return None
        newest = self._watch.last_good(subject) if status.health in HEARD else self._watch.observation(subject)
        at = status.seen_at if newest is None else newest.at
        facts, values = ({}, {}) if newest is None else (newest.facts, newest.values)
        return Look(status.health.value, status.detail, facts, at or 0.0, values)


def _subject(one: Compared) -> str:
    part = f"/{one.part.replace(AND, '+')}" if one.part else ""
    return f"karaula/{one.system}/{one.field}/{one.site}{part}"


def _name(one: Compared) -> tuple[str, ...]:
    return (*one.key, one.declared, one.observed)
