"""What was last measured, as people read it: times of day, spans, percent and bytes by the ending of each name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from console.terminal.words import size, span

SHORT_S = 1.0
UNITS: Mapping[str, str] = MappingProxyType(  # of counters whose names are the vCenter's
    {
        "cpu_usage": "ratio",
        "cpu_ready": "ratio",
        "memory_usage": "ratio",
        "disk_read": "bytes a second",
        "disk_write": "bytes a second",
        "network": "bytes a second",
        "disk_latency": "seconds",
    }
)
MOMENTS = ("_at", "not_after_seconds", "timestamp_seconds")


def figure(name: str, value: float, when: Callable[[float], str]) -> str:
    """Return ``value`` with its unit; ``when`` puts Unix seconds into words. JSON has the plain number."""
    if name.endswith(MOMENTS):
        return when(value)
    unit = UNITS.get(name) or name.rpartition("_")[2]
    if unit == "seconds":
        return f"{value * 1000:.3g} ms" if abs(value) < SHORT_S else f"{'-' if value < 0 else ''}{span(abs(value))}"
    if unit == "ratio":
        return f"{value * 100:.3g} %"
    if unit == "bytes":
        return size(value)
    if unit == "bytes a second":
        return f"{size(value)}/s"
    return f"{value:.0f}" if value.is_integer() else f"{value:g}"
