"""Fixtures that every test may use, and the counts that tests want said at the end of the run."""

from __future__ import annotations

import gc
import os
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings
from matrix_kit import planted_table, table

# A busy machine takes its time over an example: no test asserts how long anything took. CI tries the same examples
# each time; whoever runs the tests by hand tries others.
settings.register_profile("karaula", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.register_profile("quick", settings.get_profile("karaula"), max_examples=20)  # ./do check asks for it
settings.load_profile("karaula")
LONG = ("test_watch_stories.py", "test_watch_planned.py", "test_sla_watch.py")  # so long that they begin before others


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Have Python look for garbage less often, and not again and again in the tests themselves.

    They are a million objects that live to the end: looking through them took an eighth of all the processor's time.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(50_000, 20, 20)
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest among those that wait for servers and clocks, and all others after them.

    So the processors have work while others wait, and no worker is left with a long file when the others are done.
    """
    kinds: dict[Path, int] = {}
    for item in items:
        waits = any(item.get_closest_marker(name) for name in ("lab", "real", "browser"))
        heavy = item.path.parent.name == "crash" or item.get_closest_marker("proof")
        kinds[item.path] = max(kinds.get(item.path, 0), 2 if heavy else waits)
    kinds = dict(sorted(kinds.items(), key=lambda each: each[0].name not in LONG))
    others, waiting, heavy_ones = ([path for path, kind in kinds.items() if kind == which] for which in (0, 1, 2))
    places = {path: (2, number) for number, path in enumerate(others)}
    places |= {path: (1, number / len(waiting)) for number, path in enumerate(waiting)}
    places |= {path: (1, (number - 0.5) / len(heavy_ones)) for number, path in enumerate(heavy_ones)}
    items.sort(key=lambda item: places[item.path])


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say ``N of N`` for each ``counted`` property (what, how many were well, of how many), failed tests included.

    And print the fault matrix from the ``cell`` properties, the faults of backups from the ``planted`` ones, and last
    what failed.
    """
    well: Counter[str] = Counter()
    total: Counter[str] = Counter()
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind)]
    said = [pair for report in reports for pair in report.user_properties]
    for what, good, count in (value for name, value in said if name == "counted"):
        well[what] += good
        total[what] += count
    for what, count in total.items():
        terminalreporter.write_line(f"{what}: {well[what]} of {count}")
    for kind, title, lines in (
        ("cell", "faults of real servers: first said after, back after", table),
        ("planted", "planted faults of backups", planted_table),
    ):
        if found := [value for name, value in said if name == kind]:
            for line in ["", title, *lines(found)]:
                terminalreporter.write_line(line)
    for kind in ("failed", "error"):  # names alone, and last: a long output is read from its end
        for report in terminalreporter.getreports(kind):
            terminalreporter.write_line(f"{kind}: {report.nodeid}")
