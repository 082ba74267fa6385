"""Fixtures that every test may use, and the counts that tests want said at the end of the run."""

from __future__ import annotations

import os
from collections import Counter

import pytest
from hypothesis import settings
from matrix_kit import table

# A busy machine takes its time over an example: no test asserts how long anything took. CI tries the same examples
# each time; whoever runs the tests by hand tries others.
settings.register_profile("karaula", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("karaula")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:  # noqa: C901 - three lists
    """Say ``N of N`` for each ``counted`` property (what, how many were well, of how many), failed tests included.

    And print the fault matrix from the ``cell`` properties, and last what failed.
    """
    well: Counter[str] = Counter()
    total: Counter[str] = Counter()
    cells = []
    for kind in ("passed", "failed"):
        for report in terminalreporter.getreports(kind):
            for name, value in report.user_properties:
                if name == "counted":
                    what, good, count = value
                    well[what] += good
                    total[what] += count
                elif name == "cell":
                    cells.append(value)
    for what, count in total.items():
        terminalreporter.write_line(f"{what}: {well[what]} of {count}")
    if cells:
        terminalreporter.write_line("")
        for line in ["faults of real servers: first said after, back after", *table(cells)]:
            terminalreporter.write_line(line)
    for kind in ("failed", "error"):  # names alone, and last: a long output is read from its end
        for report in terminalreporter.getreports(kind):
            terminalreporter.write_line(f"{kind}: {report.nodeid}")
