"""A daemon killed (SIGKILL) in the middle of a run: how long until the next one has the run going on.

The journal holds 5,000 events of earlier runs, then 100,000. A run of three steps over SSH is under way when its daemon
dies; the next daemon is started at once. Timed is from the start of its process, interpreter and imports included,
until it has asked the host what became of the step under way and has written down the next step's intent: its own time
stamps in the journal. The peer is the least that any Python program of this size needs: a process that imports what the
daemon imports before a run goes on, and ends.
Exits with 1 when the run goes on later than two seconds after the start, on either journal.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.daemon import HOST, SYSTEM, estate, serving
from bench.engine import sshd
from bench.measure import WORK, Cost, Watch, machine, median
from bench.past import EVENTS, write_past
from dr.journal.event import Interrupted, StepProbed, StepStarted

ROUNDS = 5
FEW = 5_000
MOST_S = 2.0
PATIENCE_S = 60.0
STAYS_S = 20  # longer than a daemon needs to die and another to come


def playbook(folder: Path, place: Path) -> None:
    """Write a playbook in the place of backup, whose second step leaves its mark and then keeps its daemon waiting."""
    commands = {
        "first": (["mkdir", "-p", str(place)], ["test", "-d", str(place)]),
        "stays": (["sh", "-c", f"touch {place}/mark; exec sleep {STAYS_S}"], ["test", "-e", f"{place}/mark"]),
        "next": (["rm", "-r", str(place)], ["test", "!", "-e", str(place)]),
    }
    names = list(commands)
    steps = [
        {
            "id": name,
            "action": "ssh_run",
            "args": {"host": HOST, "command": command, "check": check},
            "needs": names[:number][-1:],
            "timeout_s": 60,
        }
        for number, (name, (command, check)) in enumerate(commands.items())
    ]
    text = json.dumps({"kind": "backup", "summary": "A step that stays", "steps": steps})
    (folder / "playbooks" / "backup.yaml").write_text(text)


def written(journal: Path, word: str, run_id: str, step: str = "") -> float | None:
    """Return when the newest such event of the run was written (Unix seconds); None while there is none."""
    db = sqlite3.connect(f"{journal.as_uri()}?mode=ro", uri=True, timeout=5)
    try:
        rows = db.execute("SELECT at, body FROM events WHERE run_id = ? AND word = ?", (run_id, word)).fetchall()
    finally:
        db.close()
    return max((at for at, body in rows if not step or json.loads(body)["step"] == step), default=None)


def awaited(journal: Path, word: str, run_id: str, step: str = "") -> float:
    """Wait for the event; return when it was written."""
    deadline = time.monotonic() + PATIENCE_S
    while (at := written(journal, word, run_id, step)) is None:
        if time.monotonic() > deadline:
            sys.exit(f"bench: run {run_id} has no {word} of {step or 'its own'}; see .karaula/bench/daemon.log")
        time.sleep(0.01)
    return at


def karaula(folder: Path, *words: str) -> str:
    """Run the command line against the daemon."""
    env = os.environ | {"KARAULA_SOCKET": str(folder / "state" / "karaula.sock"), "NO_COLOR": "1"}
    command = [sys.executable, "-m", "console.main", *words]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"bench: karaula {' '.join(words)}: {done.stdout}{done.stderr}")
    return done.stdout


def newest(journal: Path) -> str:
    """Return the id of the run that was written to last."""
    db = sqlite3.connect(f"{journal.as_uri()}?mode=ro", uri=True, timeout=5)
    try:
        found = db.execute(
            "SELECT run_id FROM events WHERE run_id LIKE ? ORDER BY id DESC", (f"{SYSTEM}-backup-%",)
        ).fetchone()
    finally:
        db.close()
    return str(found[0])


def died(folder: Path) -> str:
    """Begin a run, and kill its daemon while the second step is under way; return the run's id."""
    journal = folder / "state" / "journal.sqlite"
    with serving(folder, folder / "state") as daemon:
        karaula(folder, "backup", SYSTEM, "--no-wait", "--as", "ana")
        run_id = newest(journal)
        awaited(journal, StepStarted.__name__, run_id, "stays")
        deadline = time.monotonic() + PATIENCE_S
        while not (folder / "place" / "mark").exists():
            assert time.monotonic() < deadline, "the step leaves no mark"
            time.sleep(0.01)
        daemon.process.send_signal(signal.SIGKILL)
        daemon.process.wait()
    return run_id


def resumed(folder: Path) -> dict[str, float]:
    """Kill a daemon and start the next; return the seconds from its start to each thing that it did."""
    run_id, journal = died(folder), folder / "state" / "journal.sqlite"
    began = time.time()
    with serving(folder, folder / "state"):
        answered = time.time()
        seen = {
            "the run is found, and written down as interrupted": awaited(journal, Interrupted.__name__, run_id),
            "the host was asked what became of the step": awaited(journal, StepProbed.__name__, run_id, "stays"),
            "the next step's intent is written": awaited(journal, StepStarted.__name__, run_id, "next"),
            "it answers over HTTP": answered,
        }
        awaited(journal, "RunEnded", run_id)
    return {what: at - began for what, at in seen.items()}


def imports() -> Cost:
    """Measure a process that imports the daemon and ends."""
    with Watch() as watch:
        subprocess.run([sys.executable, "-c", "import gc; gc.disable(); import console.daemon"], check=True)
    return watch.cost


def shown(events: int) -> float:
    """Measure on a journal of so many events, print each part, and return the seconds until the run goes on."""
    with tempfile.TemporaryDirectory(dir=WORK) as name, sshd(Path(name)) as port:
        folder = Path(name)
        (folder / "state").mkdir()
        written_before = asyncio.run(write_past(folder / "state" / "journal.sqlite", events))
        estate(folder, port)
        playbook(folder, folder / "place")
        rounds = [resumed(folder) for _ in range(ROUNDS)]
    print(f"\nkilled in a run, on a journal of {written_before} events; seconds after the start of the next process")
    print(f"{'':62} {'median':>8} {'worst':>8}")
    for what in rounds[0]:
        took = [each[what] for each in rounds]
        print(f"{what:62} {statistics.median(took):8.2f} {max(took):8.2f}", flush=True)
    return statistics.median(each["the next step's intent is written"] for each in rounds)


def main() -> int:
    """Run it; 1 when the run goes on too late."""
    WORK.mkdir(parents=True, exist_ok=True)
    print(machine())
    short, long = shown(FEW), shown(EVENTS)
    bare = median([imports() for _ in range(ROUNDS)]).wall_s
    print(f"\n{'a process that imports the same and ends, for comparison':62} {bare:8.2f}")
    print(
        f"\nthe run goes on {short:.2f} s after the start of the process, on the long journal {long:.2f} s,"
        f" {short / bare:.1f} and {long / bare:.1f} times what the imports take, of {MOST_S:g} s that it may"
    )
    return 0 if max(short, long) <= MOST_S else 1


if __name__ == "__main__":
    sys.exit(main())
