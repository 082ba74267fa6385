"""The states that the code knows, as expressions and colours; a state that is new in the code is orange until named."""

from __future__ import annotations

from deploy.boards.panels import DARK_RED, GREEN, ORANGE, PURPLE, RED, YELLOW, Json, reading, states
from monitor.metrics.estate import HEALTHS, SYSTEM_STATES
from monitor.metrics.sensors import SENSOR_WORDS, UPS_WORDS
from monitor.status.crossings import CROSSING_STATES

COLORS = {
    "ok": GREEN,
    "line": GREEN,
    "primary": GREEN,
    "warning": YELLOW,
    "degraded": YELLOW,
    "battery": YELLOW,
    "bypass": YELLOW,
    "on-backup": YELLOW,
    "redundancy-lost": YELLOW,
    "flapping": ORANGE,
    "fault": ORANGE,
    "unknown": PURPLE,
    "down": RED,
    "off": RED,
    "low-battery": RED,
    "alarm": RED,
    "cut-off": RED,
    "split-brain": DARK_RED,
}
BEST_FIRST = list(COLORS)


def _by_badness(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(words, key=lambda word: BEST_FIRST.index(word) if word in COLORS else len(BEST_FIRST)))


def _reading(words: tuple[str, ...]) -> Json:
    return reading(*((word.replace("-", " "), COLORS.get(word, ORANGE)) for word in _by_badness(words)))


SYSTEM, CROSSING, SITE, SENSOR = (_reading(words) for words in (SYSTEM_STATES, CROSSING_STATES, HEALTHS, SENSOR_WORDS))

UPS = _reading(UPS_WORDS)
LIGHT = reading(("green", GREEN), ("amber", YELLOW), ("unknown", PURPLE), ("RED", RED))


def system_state(only: str = "") -> str:
    """Return each system's state as a number that ``SYSTEM`` reads."""
    return states("karaula_system_state", "system", _by_badness(SYSTEM_STATES), only)


def crossing_state(only: str = "") -> str:
    """Return each crossing's state as a number that ``CROSSING`` reads."""
    return states("karaula_crossing_state", "crossing", _by_badness(CROSSING_STATES), only)


def site_state(only: str = "") -> str:
    """Return each site's state as a number that ``SITE`` reads."""
    return states("karaula_site_state", "site", _by_badness(HEALTHS), only)


def sensor_state(only: str = "") -> str:
    """Return each sensor's state as a number that ``SENSOR`` reads."""
    return states("karaula_sensor_state", "sensor, site", _by_badness(SENSOR_WORDS), only)


def ups_state(only: str = "") -> str:
    """Return where the power behind each UPS comes from as a number that ``UPS`` reads."""
    return states("karaula_sensor_ups_state", "sensor, site", _by_badness(UPS_WORDS), only)


def vote_state(only: str = "") -> str:
    """Return each vote's state as a number that ``SITE`` reads."""
    return states("karaula_vote_state", "vote", _by_badness(HEALTHS), only)
