"""A journal of 100,000 events: how long it takes to open, beside reading the same rows with sqlite3 and json alone.

The journal holds months of nights as the engine writes them (past.py). "Open" is from nothing to an orchestrator that
could answer: every event decoded and checked, every run folded. The peer checks nothing and keeps dicts. Then a whole
daemon, from the start of its process until it answers over HTTP, on this journal and on an empty one.
Exits with 1 when the journal opens in more than two seconds.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.daemon import estate, serving
from bench.measure import WORK, Cost, Watch, machine, median, rss_bytes, table
from bench.past import EVENTS, write_past
from bench.standin import engine
from console.process import COLLECT_AT

ROUNDS = 5
MOST_S = 2.0
MEBIBYTE = 2**20


def plain(path: Path) -> None:
    """Read every event with nothing but what Python brings."""
    db = sqlite3.connect(path)
    rows = [json.loads(row[0]) for row in db.execute("SELECT body FROM events ORDER BY id")]
    db.close()
    assert len(rows) >= EVENTS


async def opened(path: Path) -> None:
    """Open it as the daemon does; leave it as it was."""
    async with engine(path, lambda _step: 0.0) as orchestrator:
        assert not orchestrator.problems()
        assert len(orchestrator.runs()) > 1000


def measured(how: str, path: Path) -> tuple[Cost, int]:
    """Measure one way of reading in a process of its own; return its cost and the memory that it grew by."""
    printed = subprocess.run([sys.executable, __file__, how, path], check=True, capture_output=True, text=True).stdout
    wall_s, cpu_s, grown = json.loads(printed)
    return Cost(wall_s, cpu_s), grown


def one(how: str, path: Path) -> None:
    """Read once, in this process, and print what it took."""
    gc.set_threshold(*COLLECT_AT)  # as a daemon does
    before = rss_bytes()
    with Watch() as watch:
        plain(path) if how == "plain" else asyncio.run(opened(path))
    print(json.dumps([watch.cost.wall_s, watch.cost.cpu_s, rss_bytes() - before]))


def started(folder: Path, state: Path) -> Cost:
    """Measure from the start of a daemon's process until it answers over HTTP."""
    began = time.perf_counter()
    with serving(folder, state) as daemon:
        return Cost(time.perf_counter() - began, daemon.cpu_s())


def main() -> int:
    """Run it; 1 when it takes too long."""
    WORK.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=WORK) as name:
        folder = Path(name)
        path = folder / "past.sqlite"
        events = asyncio.run(write_past(path))
        both: dict[str, list[tuple[Cost, int]]] = {"plain": [], "opened": []}
        for _ in range(ROUNDS):
            for how, found in both.items():
                found.append(measured(how, path))
        estate(folder)
        (folder / "full").mkdir()
        path.rename(folder / "full" / "journal.sqlite")
        empty, full = ([started(folder, folder / state) for _ in range(ROUNDS)] for state in ("empty", "full"))
    print(machine())
    theirs, ours = (median([cost for cost, _ in both[how]]) for how in ("plain", "opened"))
    rows = [
        (f"sqlite3 and json.loads alone (median of {ROUNDS})", theirs),
        ("karaula, journal opened, every run folded", ours),
        ("karaula serve, empty journal, until it answers", median(empty)),
        ("karaula serve, this journal, until it answers", median(full)),
    ]
    table(f"a journal of {events} events; times: wall / processor beside sqlite3 and json.loads", rows, beside=0)
    grown = " and ".join(f"{how} {max(grown for _, grown in found) / MEBIBYTE:.0f} MiB" for how, found in both.items())
    print(f"\nmemory: {grown}\nit opens in {ours.wall_s:.2f} s, of {MOST_S:g} s that it may")
    return 0 if ours.wall_s <= MOST_S else 1


if __name__ == "__main__":
    if len(sys.argv) == 3:
        one(sys.argv[1], Path(sys.argv[2]))
        sys.exit(0)
    sys.exit(main())
