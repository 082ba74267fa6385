"""Figures with their units."""

from __future__ import annotations

import pytest

from console.terminal.figures import figure


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("rtt_seconds", 0.0137, "13.7 ms"),
        ("clock_offset_seconds", -0.25, "-250 ms"),
        ("lag_seconds", 95.0, "1 min 35 s"),
        ("clock_offset_seconds", -95.0, "-1 min 35 s"),
        ("loss_ratio", 0.0333333, "3.33 %"),
        ("cpu_usage", 0.1213, "12.1 %"),
        ("disk_read", 1856510.0, "1.9 MB/s"),
        ("disk_latency", 0.002, "2 ms"),
        ("capacity_bytes", 4398046511104.0, "4.4 TB"),
        ("performance_at", 5.0, "then"),
        ("tls_not_after_seconds", 5.0, "then"),
        ("vms", 20.0, "20"),
        ("value", 20.9, "20.9"),
        ("position", 1234567.0, "1234567"),
    ],
)
def test_a_figure_reads_as_people_say_it(name: str, value: float, text: str) -> None:
    assert figure(name, value, lambda _at: "then") == text
