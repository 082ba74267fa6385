"""How fast a sensor's value rises, from the observations of a window.

Pure bookkeeping. The slope is the median of the slopes between all pairs of samples (Theil and Sen): one wild sample,
missing ones, and a sensor that shows whole degrees do not move it much. Two clocks are compared between samples: where
wall time and the steady clock disagree (a clock was set, the machine slept), nobody knows how long it was, and the
window begins anew. A rise that is not known is left out, never zero.
"""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING

from monitor.probe import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from monitor.inventory.sensors import Sensor
    from monitor.probe import Observation

RISE = "rise_per_minute"
MINUTE_S = 60.0
FEWEST = 4
MOST = 60
KNOWN_AFTER = 0.5  # of the window
CLOCKS_AGREE_S = 2.0
CLOCKS_AGREE_RATIO = 0.1


@dataclass(frozen=True, slots=True)
class Sample:
    """A value and when: wall time, and a clock that nobody sets (both in seconds)."""

    at: float
    steady: float
    value: float


class Trend:
    """The samples of one sensor's window."""

    def __init__(self) -> None:
        """Begin with none."""
        self._samples: deque[Sample] = deque()

    def add(self, sample: Sample, window_s: float) -> None:
        """Take in a sample; those older than the window are forgotten."""
        samples = self._samples
        if samples:
            step, wall = sample.steady - samples[-1].steady, sample.at - samples[-1].at
            if step <= 0 or abs(wall - step) > max(CLOCKS_AGREE_S, CLOCKS_AGREE_RATIO * step):
                samples.clear()
        while samples and sample.steady - samples[0].steady > window_s:
            samples.popleft()
        if len(samples) >= MOST:  # a short interval: every second one is enough
            self._samples = samples = deque(list(samples)[::2])
        samples.append(sample)

    def rise_per_minute(self, window_s: float) -> float | None:
        """Return the slope, in units a minute; None while too little is known."""
        samples = self._samples
        if len(samples) < FEWEST or samples[-1].steady - samples[0].steady < KNOWN_AFTER * window_s:
            return None
        slopes = [
            (later.value - earlier.value) / (later.steady - earlier.steady)
            for earlier, later in itertools.combinations(samples, 2)
        ]
        return MINUTE_S * median(slopes)


class Trends:
    """The trends of all sensors that have a limit for it."""

    def __init__(self) -> None:
        """Begin with none."""
        self._trends: dict[str, Trend] = {}

    def forget(self, subject: str) -> None:
        """Begin anew with a subject that is asked something else."""
        self._trends.pop(subject, None)

    def followed(self, observation: Observation, sensors: Mapping[str, Sensor], steady: float | None) -> Observation:
        """Return the observation with the value ``rise_per_minute`` where that is known.

        ``steady`` is a clock that nobody sets; None: there is none, and wall time must do.
        """
        kind, _, key = observation.subject.partition("/")
        sensor = sensors.get(key) if kind == "sensor" else None
        if sensor is None or sensor.rise_per_minute is None:
            self._trends.pop(observation.subject, None)
            return observation
        value, limits = observation.values.get("value"), sensor.thresholds
        if observation.answer is not Answer.OK or value is None or not limits.valid_min <= value <= limits.valid_max:
            return observation  # a faulty sensor says nothing of the room
        trend = self._trends.setdefault(observation.subject, Trend())
        window_s = sensor.rise_per_minute.window_s
        trend.add(Sample(observation.at, observation.at if steady is None else steady, value), window_s)
        rise = trend.rise_per_minute(window_s)
        return observation if rise is None else replace(observation, values={**observation.values, RISE: rise})
