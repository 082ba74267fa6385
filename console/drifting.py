"""Drift, wired together: what runs have declared, held against the watch; what persists stands as an alarm of our own.

It decides nothing: ``dr.engine.drift`` compares.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dr.engine.drift import Agreement, Compared, Look, compared, declared
from dr.engine.orchestrator import Orchestrator
from dr.journal.event import Event
from dr.journal.run import Run
from monitor.clock import Clock
from monitor.inventory.model import Inventory
from monitor.status.state import Health
from monitor.watch import Watch

DRIFT = "drift"
HEARD = frozenset({Health.OK, Health.DEGRADED})


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
        self._held: set[str] = set()
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
        """Compare, and let an alarm stand for each system where what differs has lasted."""
        if self._watch.isolated:
            return  # what is not seen says nothing, neither for nor against
        moment, inventory = self._clock.monotonic(), self._inventory()
        drifts = [one for one in self.now() if one.agreement is Agreement.DRIFT]
        self._since = {_name(one): self._since.get(_name(one), moment) for one in drifts}
        told: dict[str, str] = {}
        for one in drifts:
            if moment - self._since[_name(one)] >= inventory.polling.stale_after_s:
                before = f"{told[one.system]}; " if one.system in told else ""
                told[one.system] = f"{before}{one.sentence()}"
        for system in self._held | told.keys():
            self._watch.hold(DRIFT, f"karaula/{system}", told.get(system))
        self._held = set(told)

    def _look(self, subject: str) -> Look | None:
        status = self._watch.status(subject)
        if status is None or self._watch.isolated:
            return None
        newest = self._watch.last_good(subject) if status.health in HEARD else self._watch.observation(subject)
        at = status.seen_at if newest is None else newest.at
        return Look(status.health.value, status.detail, {} if newest is None else newest.facts, at or 0.0)


def _name(one: Compared) -> tuple[str, ...]:
    return (*one.key, one.declared, one.observed)
