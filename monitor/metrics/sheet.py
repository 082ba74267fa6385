"""What is shown of the estate at one moment, and the sheet on which its samples are gathered."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from monitor.metrics import catalog as m
from monitor.metrics.catalog import Family
from monitor.status.reachability import UP
from monitor.status.state import Health

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from monitor.inventory.model import Inventory
    from monitor.metrics.catalog import Metric
    from monitor.notify import ChannelStats
    from monitor.probe import Observation
    from monitor.sla.document import MonthPart
    from monitor.status.alarm import Alarm
    from monitor.status.source import SourceStats
    from monitor.status.state import Status
    from monitor.status.totals import Totals


@dataclass(frozen=True, slots=True)
class View:
    """Everything that ``families`` shows; ``good`` holds the newest OK observation of each subject.

    Nothing in it changes any more: it is rendered in a thread of its own while the watch goes on. ``skipped`` counts by
    subject and kind of probe, ``covered`` are the subjects in planned downtime.
    """

    inventory: Inventory
    statuses: Mapping[str, Status]
    good: Mapping[str, Observation]
    alarms: tuple[Alarm, ...]
    raised_total: Mapping[str, int]
    sources: tuple[SourceStats, ...]
    skipped: Mapping[tuple[str, str], int]
    channels: tuple[ChannelStats, ...]
    started_at: float
    evaluated_at: float
    history_failing: bool
    history_pending: int
    parts_silent_s: Mapping[str, float]
    loop_lag_s: float | None
    month: MonthPart | None
    links: Mapping[str, Totals]
    isolated: str = ""
    flapping: frozenset[str] = frozenset()
    covered: frozenset[str] = frozenset()


class Sheet:
    """Samples by metric, while they are gathered."""

    def __init__(self, view: View) -> None:
        """Gather what ``view`` shows."""
        self.view = view
        self._samples: dict[Metric, list[tuple[tuple[str, ...], float]]] = defaultdict(list)

    def add(self, metric: Metric, labels: tuple[str, ...], value: float | None) -> None:
        """Add a sample unless its value is not known."""
        if value is not None:
            self._samples[metric].append((labels, float(value)))

    def states(self, metric: Metric, labels: tuple[str, ...], words: Iterable[str], present: str) -> None:
        """Add a sample for each word, 1 for the present one."""
        samples = self._samples[metric]
        for word in words:
            samples.append(((*labels, word), 1.0 if word == present else 0.0))

    def up(self, metric: Metric, labels: tuple[str, ...], subject: str) -> bool:
        """Add 1 or 0 unless it is not known; return whether the subject is up."""
        status = self.view.statuses.get(subject)
        if status is None or status.health is Health.UNKNOWN:
            return False
        is_up = status.health in UP
        self.add(metric, labels, 1.0 if is_up else 0.0)
        return is_up

    def value(self, metric: Metric, labels: tuple[str, ...], subject: str, name: str, scale: float = 1.0) -> None:
        """Add a value of the newest OK observation."""
        observation = self.view.good.get(subject)
        found = observation.values.get(name) if observation is not None else None
        self.add(metric, labels, None if found is None else found * scale)

    def families(self) -> list[Family]:
        """Return the families in the catalogue's order."""
        order = {metric: place for place, metric in enumerate(m.METRICS)}
        return [Family(metric, tuple(self._samples[metric])) for metric in sorted(self._samples, key=order.__getitem__)]
