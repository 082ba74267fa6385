"""What is done about alarms, wired together: our own and Alertmanager's go to the trigger, and people are paged.

It decides nothing: the trigger says which response fits, the guards what may begin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from console.withheld import note_of, withheld
from dr.alerts import PREFIX, Alert, Alerts, Heard
from dr.engine.orchestrator import Orchestrator
from dr.journal.pause import EVERYTHING, ending
from dr.trigger import AlarmNote, Trigger
from monitor.clock import Clock
from monitor.inventory.behaviour import Response
from monitor.inventory.model import Inventory
from monitor.status.alarm import Alarm
from monitor.watch import Watch

PAUSE_ALARM = "pause-ends"
AUTOMATIC_ALARM = "automatic-failover"
OWN = frozenset({PAUSE_ALARM, AUTOMATIC_ALARM})


class Responding:
    """Ticked from outside."""

    def __init__(
        self,
        watch: Watch,
        orchestrator: Orchestrator,
        clock: Clock,
        inventory: Inventory,
        responses: Mapping[str, Response],
    ) -> None:
        """Take up the alarms that stand, and the alerts that runs of an earlier daemon wait on."""
        self._watch = watch
        self._orchestrator = orchestrator
        self._clock = clock
        self._inventory = inventory
        self._responses = responses
        self.alerts = Alerts()
        self.trigger = Trigger(responses, orchestrator, clock.now, lambda note: withheld(note, watch))
        self._raised: dict[str, Heard] = {}
        self._held: set[tuple[str, str]] = {
            (each.name, each.subject) for each in watch.alarms(active_only=True) if each.name in OWN
        }
        waited_on = [run.origin_ref.partition(":")[2] for run in orchestrator.runs() if not run.state.final]
        self.alerts.resume((ref for ref in waited_on if ref.startswith(PREFIX)), clock.now())
        for alarm in watch.alarms(active_only=True):
            self.trigger.raised(note_of(alarm, self._watch))
        watch.subscribe(self._alarm_changed)

    def reload(self, inventory: Inventory, responses: Mapping[str, Response]) -> None:
        """Answer by another inventory from now on."""
        self._inventory, self._responses = inventory, responses
        self.trigger.reload(responses)

    def take(self, told: Sequence[Alert]) -> tuple[int, int]:
        """Take in alerts of others; return how many were used and how many nobody asks for."""
        return self.alerts.take(told, self._responses.values(), self._clock.now())

    async def tick(self) -> None:
        """Answer what stands; an alarm of our own stands for each run that begins by itself, or was to and waits.

        Raises StateError; the next tick tries again.
        """
        settings = self._inventory.alertmanager
        self.alerts.forget(0.0 if settings is None else settings.forget_after_s, self._clock.now())
        self._tell_of_alerts()
        await self.trigger.tick()
        runs = {(AUTOMATIC_ALARM, f"karaula/{run_id}"): said for run_id, said in self.trigger.pages().items()}
        found = runs | self._pauses_that_end()
        for name, subject in self._held | found.keys():  # each stands by itself: a second one must be told, too
            self._watch.hold(name, subject, found.get((name, subject)))
        self._held = set(found)

    def _pauses_that_end(self) -> dict[tuple[str, str], str]:
        """Say which pauses end soon."""
        zone = ZoneInfo(self._inventory.estate.timezone)
        said = {}
        for pause in ending(self._orchestrator.standing.pauses(), self._clock.now()):
            what = "everything" if pause.system == EVERYTHING else pause.system
            at = datetime.fromtimestamp(pause.expires_at, zone).strftime("%H:%M")
            said[PAUSE_ALARM, f"karaula/pause-{pause.system}"] = (
                f"the pause of {what} by {pause.owner} ends at {at} ({pause.reason}); then alarms and the calendar "
                f"start runs again. If that is too early: karaula pause {pause.system} --for TIME --reason TEXT"
            )
        return said

    def _tell_of_alerts(self) -> None:
        """Let the trigger know which alerts stand by now, and which are over."""
        standing = {heard.alert.ref: heard for heard in self.alerts.standing()}
        for ref in self._raised.keys() - standing.keys():
            self.trigger.cleared(ref)
        for ref, heard in standing.items():
            name = heard.alert.labels.get("alertname", "alert")
            labels = heard.alert.labels
            self.trigger.raised(AlarmNote(ref, name, "", heard.since, heard.reason, 0.0, labels))
        self._raised = standing

    def _alarm_changed(self, alarm: Alarm) -> None:
        if alarm.cleared_at is None:
            self.trigger.raised(note_of(alarm, self._watch))
        else:
            self.trigger.cleared(str(alarm.id))
