"""Between runs and the watch: what runs tell stands as the daemon's own alarms; what is watched, runs may ask for."""

from __future__ import annotations

from dr.engine.orchestrator import Orchestrator
from dr.engine.telling import TOLD, Told, told
from monitor.clock import Clock
from monitor.watch import Watch


class RunTeller:
    """Ticked from outside; holds what stands, so that it can end what does no more."""

    def __init__(self, watch: Watch, orchestrator: Orchestrator, clock: Clock) -> None:
        """Begin with what an earlier daemon told and nobody has taken back."""
        self._watch = watch
        self._orchestrator = orchestrator
        self._clock = clock
        stands = [alarm for alarm in watch.alarms(active_only=True) if alarm.name in TOLD]
        self._standing: Told = {(alarm.name, alarm.subject): alarm.reason for alarm in stands}

    async def tick(self) -> None:
        """Tell what is to be told now, and no longer what was answered or is over."""
        found = told(self._orchestrator.runs(), self._clock.now())
        for key in {*self._standing, *found}:
            self._watch.hold(*key, found.get(key))
        self._standing = found


def health_of(watch: Watch, subject: str) -> str:
    """Return what is held true of a subject; of one that is not watched nothing is known."""
    status = watch.statuses().get(subject)
    return "unknown" if status is None else status.health.value
