"""Times, spans and states in words. Pure: the time and the zone are handed over."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from types import MappingProxyType
from zoneinfo import ZoneInfo

MINUTE_S = 60
HOUR_S = 3600
DAY_S = 86400
FARTHEST = 253_370_000_000.0  # in the year 9998: what lies beyond cannot be shown in every zone
SENSOR_FAULT = "sensor-fault"
_UNITS = {"s": 1, "m": MINUTE_S, "min": MINUTE_S, "h": HOUR_S, "d": DAY_S}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d)")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")

# Colours that can be read on a dark and on a light ground; the word says the same without them.
GOOD, WARN, BAD, CALL, QUIET, STRONG = "green", "dark_orange3", "bold red", "bold magenta", "dim", "bold"
STYLES: Mapping[str, str] = MappingProxyType(
    {
        "ok": GOOD,
        "up": GOOD,
        "degraded": WARN,
        "down": BAD,
        "unknown": CALL,
        "warning": WARN,
        "critical": BAD,
        "green": GOOD,
        "amber": WARN,
        "red": BAD,
        "allow": GOOD,
        "refuse": BAD,
        "wait": CALL,
        "SUCCEEDED": GOOD,
        "SUCCEEDED_WITH_WARNINGS": WARN,
        "FAILED": BAD,
        "CANCELED": QUIET,
        "WAITING": CALL,
        "PAUSED": CALL,
        "IN_PROGRESS": STRONG,
        "CANCELING": WARN,
        "INTERRUPTED": WARN,
        "QUEUED": QUIET,
        "SKIPPED": QUIET,
        "FAILED_IGNORED": WARN,
        "TIMED_OUT": BAD,
        "UNKNOWN": CALL,
        "UNDONE": WARN,
        "UNDO_FAILED": BAD,
        "missed": WARN,
        "refused": WARN,
    }
)


def clean(text: str) -> str:
    """Return ``text`` without control characters: what a target prints must not move the reader's cursor."""
    return _CONTROL.sub("�", text)


def state_word(state: str) -> str:
    """Return a state as people read it: ``succeeded with warnings``."""
    return state.replace("_", " ").lower()


def detail_word(detail: str, cause: str) -> str:
    """Return a state's finer word; ``cause`` is the alarm that explains the subject's own, empty where none does.

    A sensor that cannot be reached because its site is down is not called faulty: nobody knows that it is.
    """
    return "" if detail == SENSOR_FAULT and cause else detail


def alarm_word(name: str, cause: str) -> str:
    """Return an alarm's name as it is shown; see ``detail_word``."""
    return "unknown" if name == SENSOR_FAULT and cause else name


def span(seconds: float) -> str:
    """Return a length of time: ``0.4 s``, ``42 s``, ``3 min 05 s``, ``2 h 10 min``, ``4 d 3 h``."""
    seconds = max(seconds, 0.0)
    if seconds < 9.95:  # noqa: PLR2004 - below ten a tenth matters
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < MINUTE_S:
        return f"{whole} s"
    if whole < HOUR_S:
        return f"{whole // MINUTE_S} min {whole % MINUTE_S:02} s"
    if whole < DAY_S:
        return f"{whole // HOUR_S} h {whole % HOUR_S // MINUTE_S:02} min"
    return f"{whole // DAY_S} d {whole % DAY_S // HOUR_S} h"


def age(seconds: float) -> str:
    """Return how long ago, without tenths: ``12 s ago``; a moment that is still to come: ``in 5 min 00 s``."""
    if seconds < -1:
        return f"in {span(float(round(-seconds)))}" if seconds < -10 else f"in {-seconds:.0f} s"  # noqa: PLR2004 - see span
    return f"{max(seconds, 0.0):.0f} s ago" if seconds < 10 else f"{span(seconds)} ago"  # noqa: PLR2004 - see span


def zone_of(name: str) -> tzinfo:
    """Return the time zone ``name`` (IANA), or UTC where this machine does not know it."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return UTC


def moment(at: float, now: float, zone: tzinfo) -> str:
    """Return a time of day in ``zone``, with its date unless that is today's: ``14:03:22``, ``24 Nov 14:03``."""
    then, today = datetime.fromtimestamp(min(at, FARTHEST), zone), datetime.fromtimestamp(now, zone)
    if then.date() == today.date():
        return f"{then:%H:%M:%S}"
    return f"{then.day} {then:%b %H:%M}" if then.year == today.year else f"{then.day} {then:%b %Y}"


def moment_and_age(at: float | None, now: float, zone: tzinfo) -> str:
    """Return ``14:03:22 (12 s ago)``, or ``never``."""
    return "never" if at is None else f"{moment(at, now, zone)} ({age(now - at)})"


def parse_span(text: str) -> float:
    """Return the seconds of ``90``, ``45m``, ``2h``, ``1h30m`` or ``1d``. Raises ValueError with what is wrong."""
    squeezed = text.strip().lower().replace(" ", "")
    if squeezed.isdecimal():
        raise ValueError(f"'{text}' has no unit; write {squeezed}s, {squeezed}m or {squeezed}h")
    if not squeezed or _PART.sub("", squeezed):
        raise ValueError(f"'{text}' is not a length of time; write for example 45m, 2h or 1h30m")
    total = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(squeezed))
    if total <= 0:
        raise ValueError(f"'{text}' is no time at all")
    return total


def size(count: float) -> str:
    """Return a number of bytes: ``512 B``, ``1.4 kB``, ``3.2 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:  # noqa: PLR2004 - SI
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
