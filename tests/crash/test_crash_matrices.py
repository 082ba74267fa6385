"""A sample of both crash matrices: each kind of point, each fault, in every shipped playbook; and that they can fail.

Of failover and drill every point.

All of them: ``./do matrix``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faults import FAULTS
from matrix import Row
from sim_daemon_kit import PLAYBOOKS, ROOT, SCENARIOS
from syscalls_kit import lacking

pytestmark = pytest.mark.proof
WHOLE = ["drill", "failover"]
HERE = Path(__file__).parent
Record = Callable[[str, object], None]


def told(script: str, *arguments: str) -> Any:
    argv = [sys.executable, str(HERE / script), "--json", "--workers", "2", *arguments]
    paths = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests")))}
    done = subprocess.run(argv, check=False, capture_output=True, text=True, env=paths, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


def need_a_disk_that_fails() -> None:
    """Skip on a machine where that cannot be played, fail in CI."""
    if why := lacking():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(why)


def test_every_shipped_playbook_has_a_line() -> None:
    assert {scenario.playbook for scenario in SCENARIOS.values()} == PLAYBOOKS.keys()
    assert any(scenario.joint for scenario in SCENARIOS.values())
    assert any(scenario.forced for scenario in SCENARIOS.values())


@pytest.mark.parametrize(("every", "scenarios"), [(1, WHOLE), (12, [*SCENARIOS.keys() - set(WHOLE)])])
def test_kill_9_before_and_after_writes_and_effects(every: int, scenarios: list[str], record_property: Record) -> None:
    rows = [Row(**row) for row in told("matrix.py", "--every", str(every), *sorted(scenarios))]
    assert [row.scenario for row in rows] == sorted(scenarios)
    for row in rows:
        all_of_them = "each point" if row.of == row.points else f"a sample of {row.of} points"
        what = f"kill -9 before and after writes and effects, {row.scenario} ({all_of_them})"
        record_property("counted", (what, row.resumed + row.waiting, row.points))
        assert not row.mistakes, "\n".join(row.mistakes)
        assert (row.twice, row.double_active) == (0, 0)
        assert row.resumed + row.waiting == row.points > 0
        assert every > 1 or row.points == row.of


def test_disk_power_clock_and_database_fail_in_the_midst(record_property: Record) -> None:
    need_a_disk_that_fails()
    found = told("faults.py", "--most", "2")
    assert [*found] == [*SCENARIOS]
    for name, cells in found.items():
        assert {*cells} == {*FAULTS}
        for fault, cell in cells.items():
            row = Row(**cell)
            record_property("counted", (f"{fault} in a playbook's midst", row.points - len(row.mistakes), row.points))
            assert not row.mistakes, f"{name}: " + "\n".join(row.mistakes)
            assert (row.twice, row.double_active) == (0, 0)
            assert row.points == 2


@pytest.mark.parametrize(
    ("script", "plant", "arguments"),
    [
        ("matrix.py", "repeats-blindly", ("--every", "1000", "switchover")),
        ("faults.py", "never-syncs", ("--most", "2", "failover")),
    ],
)
def test_a_planted_mistake_is_seen(script: str, plant: str, arguments: tuple[str, ...]) -> None:
    if script == "faults.py":
        need_a_disk_that_fails()
    found = told(script, "--plant", plant, *arguments)
    rows = [Row(**row) for row in (found if script == "matrix.py" else found["failover"].values())]
    assert sum(row.twice for row in rows) > 0
    assert any(row.mistakes for row in rows)
