"""The crash matrix: ``kill -9`` before and after every journal write and every effect of every shipped playbook.

    PYTHONPATH=.:tests python tests/crash/matrix.py [--every N] [--again] [--workers N] [--json] [SCENARIO …]

Each point is a real process that kills itself there, and a second one on what it left. Nothing is flushed or closed on
the way: what counts is what the journal and the simulated estate hold by then. With ``--every N`` each kind of point
(a kind of event or of effect, before or after it) is tried at least once in each scenario, and every N-th of the
others. Exit status 1 when anything was done twice, was writable at two sites, or did not go on.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import shutil
import signal
import socket
import sqlite3
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sim_daemon_kit import ESTATE, SCENARIOS, Daemon, Scenario, live
from sim_kit import Sim
from syscalls_kit import Disk, listen

from dr.engine.perform import Outcome, Performer
from dr.journal.event import Event, GuardRuled, StepProbed
from dr.journal.run import Run
from dr.journal.sqlite import SqliteJournal, StepOutput

APPEND = SqliteJournal.append
ATTEMPTS = 5
ENDED_WELL = frozenset({"SUCCEEDED"})
FOR_A_PERSON = frozenset({"PAUSED", "WAITING", "IN_PROGRESS"})  # the last is a joint run whose member waits


@dataclass(frozen=True)
class Point:
    """The process kills itself ``when`` (before or after) the ``number``-th ``what`` (write or effect)."""

    what: str
    number: int
    when: str
    label: str

    @property
    def kind(self) -> str:
        return f"{self.when} {self.what} {self.label}"

    def __str__(self) -> str:
        return f"{self.when} {self.what} {self.number} ({self.label})"


@dataclass
class Row:
    """What became of one scenario's points."""

    scenario: str
    points: int = 0
    of: int = 0
    resumed: int = 0
    waiting: int = 0
    refused: int = 0
    twice: int = 0
    double_active: int = 0
    mistakes: list[str] = field(default_factory=list)

    def add(self, other: Row) -> None:
        """Add the other's counts and mistakes."""
        for key in ("points", "resumed", "waiting", "refused", "twice", "double_active"):
            setattr(self, key, getattr(self, key) + getattr(other, key))
        self.mistakes += other.mistakes


# -- one process ------------------------------------------------------------------------------------------------------


def in_a_process(folder: Path, act: Callable[[], Any], disk: Disk | None = None) -> tuple[int, Any]:
    """Run ``act`` in a process of its own, on ``disk``; return the signal that ended it (0: none) and what it returned.

    What it returned is None after a death; an exception there is returned as its traceback.
    """
    answer = folder / "answer.json"
    answer.unlink(missing_ok=True)
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            if disk is not None:
                listen(theirs)
            log = logging.FileHandler(folder / "log")
            logging.basicConfig(handlers=[log], level=logging.WARNING, force=True)
            answer.write_text(json.dumps(act()), encoding="utf-8")
            status = 0
        except BaseException:  # noqa: BLE001 - a forked child must never return into its parent's code
            answer.write_text(json.dumps({"state": "broke", "why": traceback.format_exc()}), encoding="utf-8")
        finally:
            os._exit(status)
    theirs.close()
    if disk is not None:
        disk.supervise(ours)
    ours.close()
    _, ended = os.waitpid(pid, 0)
    if os.WIFSIGNALED(ended):
        return os.WTERMSIG(ended), None
    return 0, json.loads(answer.read_text(encoding="utf-8"))


def label_of(events: Sequence[Event]) -> str:
    return "+".join(dict.fromkeys(type(one).__name__ for one in events if not isinstance(one, GuardRuled)))


def watched(daemon: Daemon, see: Callable[[str, str, str], None]) -> None:
    """Tell ``see`` of every write and effect: what it is, before or after it, and its kind."""

    def append(
        self: SqliteJournal, run_id: str, seq: int, events: Sequence[Event], outputs: Sequence[StepOutput] = ()
    ) -> None:
        see("write", "before", label_of(events))
        APPEND(self, run_id, seq, events, outputs)
        see("write", "after", label_of(events))

    SqliteJournal.append = append  # type: ignore[method-assign]  # of this process alone, which is forked
    daemon.sim.hook = lambda when, what: see("effect", when, what)


def dying(point: Point) -> Callable[[Daemon], None]:
    counts: Counter[str] = Counter()

    def see(what: str, when: str, _label: str) -> None:
        counts[f"{what} {when}"] += 1
        if (what, when) == (point.what, point.when) and counts[f"{what} {when}"] == point.number:
            os.kill(os.getpid(), signal.SIGKILL)

    return lambda daemon: watched(daemon, see)


# -- a scenario's points ----------------------------------------------------------------------------------------------


class Course:
    """One scenario: the state it begins with, how it goes without a death, and its points."""

    def __init__(self, scenario: Scenario, base: Path) -> None:
        self.scenario = scenario
        self.base = base
        self.start = base / "start"
        self._prepare()
        well = self.copy("well")
        seen: list[tuple[str, str, str]] = []

        def whole() -> Any:
            found = asyncio.run(live(well, scenario, lambda daemon: watched(daemon, lambda *one: seen.append(one))))
            return [found, seen]

        ended, told = in_a_process(well, whole)
        if ended or not isinstance(told, list) or told[0]["state"] not in ENDED_WELL:
            raise SystemExit(f"{scenario.name} does not end well even without a death: {told}")
        truth = Sim(well / "truth.json", ESTATE)
        self.changes = Counter(truth.changes()) - self.before
        self.picture = _timeless(truth)
        self.points = self._points(told[1])

    def copy(self, name: str) -> Path:
        return shutil.copytree(self.start, self.base / name)

    def _prepare(self) -> None:
        """Make the state that the scenario begins with: what came before it, and how the estate stands."""
        self.start.mkdir(parents=True)
        if self.scenario.after:
            earlier = SCENARIOS[self.scenario.after]
            Sim(self.start / "truth.json", ESTATE).arrange(earlier.arrange)
            ended, told = in_a_process(self.start, lambda: asyncio.run(live(self.start, earlier)))
            if ended or told["state"] not in ENDED_WELL:
                raise SystemExit(f"{earlier.name} before {self.scenario.name}: {told}")
        truth = Sim(self.start / "truth.json", ESTATE)
        truth.arrange(self.scenario.arrange)
        self.before = Counter(truth.changes())

    def _points(self, seen: Iterable[Sequence[str]]) -> list[Point]:
        counts: Counter[str] = Counter()
        found = []
        for what, when, label in seen:
            counts[f"{what} {when}"] += 1
            found.append(Point(what, counts[f"{what} {when}"], when, label))
        return found

    def chosen(self, every: int) -> list[Point]:
        """Return every N-th point, and of each kind at least one."""
        kinds: set[str] = set()
        found = []
        for index, point in enumerate(self.points):
            if index % every == 0 or point.kind not in kinds:
                found.append(point)
            kinds.add(point.kind)
        return found

    # -- one point -----------------------------------------------------------------------------------------------------

    def die_and_go_on(self, point: Point, row: Row, *, again: bool) -> None:
        """Kill a process at the point, let a second one go on, and enter in ``row`` what became of it.

        With ``again`` the second one dies as well, at one of its first writes, and a third goes on.
        """
        row.points += 1
        for attempt in range(ATTEMPTS):  # steps that end at the same moment share a write, so there may be fewer
            folder = self.copy(f"{point.what}-{point.when}-{point.number}-{attempt}")
            ended, told = in_a_process(folder, partial(self._die, folder, point))
            if ended == signal.SIGKILL:
                break
        if ended != signal.SIGKILL:
            row.mistakes.append(f"{point}: it did not die there: {told}")
            return
        second = Point("write", 1 + point.number % 5, ("before", "after")[point.number % 2], "of who went on")
        if again:
            ended, told = in_a_process(folder, lambda: asyncio.run(live(folder, self.scenario, dying(second))))
        if ended == signal.SIGKILL:
            ended, told = in_a_process(folder, lambda: asyncio.run(live(folder, self.scenario)))
        if told is None:
            row.mistakes.append(f"{point}: the next daemon ended by signal {ended}")
            return
        self.judge(folder, str(point), told, row)
        shutil.rmtree(folder)

    def _die(self, folder: Path, point: Point) -> object:
        return asyncio.run(live(folder, self.scenario, dying(point)))

    def judge(self, folder: Path, where: str, told: dict[str, Any], row: Row) -> None:
        """Hold what a daemon says of its run against the truth."""
        truth = Sim(folder / "truth.json", ESTATE)
        done = Counter(truth.changes()) - self.before
        twice, missing = done - self.changes, self.changes - done
        row.twice += twice.total()
        row.double_active += bool(truth.state["double_active"])
        wrong = [f"done twice or without cause: {', '.join(twice)}"] if twice else []
        wrong += [f"two sites of {one} were writable" for one in set(truth.state["double_active"])]
        wrong += [f"{one} ran on production's network" for one in set(truth.state["astray"])]
        wrong += [f"said: {one}" for one in told.get("problems", ())]
        if "Traceback" in (log := (folder / "log").read_text(encoding="utf-8")):
            wrong.append(f"a traceback: {log[-2000:]}")
        if told["state"] in ENDED_WELL:
            row.resumed += not wrong
            wrong += [f"not done, yet SUCCEEDED: {', '.join(missing)}"] if missing else []
            wrong += (
                ["the estate is not as it is without a death"] if not wrong and _timeless(truth) != self.picture else []
            )
        elif told["state"] in FOR_A_PERSON and told["why"]:
            row.waiting += not wrong
        else:
            wrong.insert(0, f"{told['state']}: {told['why']}")
        if wrong:
            row.mistakes.append(f"{where}: {'; '.join(wrong)}")


def _timeless(truth: Sim) -> Any:
    """Return the truth without what a second daemon may well make different: its tokens are higher."""
    picture = json.loads(json.dumps(truth.picture()))
    for database in picture["databases"].values():
        del database["epoch"]
    return picture


# -- mistakes ----------------------------------------------------------------------------------------------------------


def _repeats_blindly() -> None:
    """Take every step of which nothing is known for one that did not happen."""

    async def probe(self: Performer, run: Run, step_id: str) -> Outcome:
        record = run.steps[step_id]
        return Outcome(StepProbed(self.world.clock.now(), step_id, record.attempt, "no", "it is assumed", {}), None)

    Performer.probe = probe  # type: ignore[method-assign]  # that is the mistake


def _never_syncs() -> None:
    """Let the journal say that it is on the disk when it is not."""
    opened = SqliteJournal._open

    def _open(self: SqliteJournal) -> sqlite3.Connection:
        db = opened(self)
        db.execute("PRAGMA synchronous=OFF")
        return db

    SqliteJournal._open = _open  # type: ignore[method-assign]  # that is the mistake


PLANTS: dict[str, Callable[[], object]] = {"repeats-blindly": _repeats_blindly, "never-syncs": _never_syncs}


# -- all of it --------------------------------------------------------------------------------------------------------


def side_by_side(jobs: Sequence[Callable[[], Any]], workers: int) -> list[Any]:
    """Do the jobs in a few processes; return what each returned, in order."""
    pipes = []
    for worker in range(workers):
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                os.close(read)
                done = {index: jobs[index]() for index in range(worker, len(jobs), workers)}
                with os.fdopen(write, "w") as out:
                    json.dump(done, out)
                status = 0
            except BaseException:  # noqa: BLE001 - as above
                traceback.print_exc()
            finally:
                os._exit(status)
        os.close(write)
        pipes.append((pid, read))
    found: dict[str, Any] = {}
    for pid, read in pipes:
        with os.fdopen(read) as source:
            text = source.read()
        os.waitpid(pid, 0)
        if not text:
            raise SystemExit("a worker of the matrix broke")
        found.update(json.loads(text))
    return [found[str(index)] for index in range(len(jobs))]


def explore(names: Sequence[str], every: int, workers: int, *, again: bool) -> list[Row]:
    """Try the points of each scenario; return a row for each."""
    gc.freeze()  # what is forked stays shared
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - memory: what is tried here is not the disk
    with tempfile.TemporaryDirectory(prefix="karaula-matrix-", dir=place) as base:
        rows = [Row(name) for name in names]
        courses = [Course(SCENARIOS[name], Path(base) / name.replace(" ", "")) for name in names]
        jobs: list[Callable[[], Any]] = []
        owners: list[Row] = []
        for row, course in zip(rows, courses, strict=True):
            row.of = len(course.points)
            for point in course.chosen(every):
                jobs.append(lambda course=course, point=point: _tried(course, point, again=again))
                owners.append(row)
        for row, found in zip(owners, side_by_side(jobs, workers), strict=True):
            row.add(Row(**found))
        return rows


def _tried(course: Course, point: Point, *, again: bool) -> dict[str, Any]:
    row = Row(course.scenario.name)
    course.die_and_go_on(point, row, again=again)
    return asdict(row)


def lines(rows: Sequence[Row]) -> list[str]:
    """Render the table."""
    columns = ("points", "resumed", "waiting for a person", "effects twice", "double-active")
    head = "{:18} {:>11} {:>8} {:>21} {:>14} {:>14}".format("playbook", *columns)
    body = [
        f"{row.scenario:18} {f'{row.points} of {row.of}':>11} {row.resumed:>8} {row.waiting:>21} {row.twice:>14} "
        f"{row.double_active:>14}"
        for row in rows
    ]
    total = Row("all", of=sum(row.of for row in rows))
    for row in rows:
        total.add(row)
    last = (
        f"{total.scenario:18} {f'{total.points} of {total.of}':>11} {total.resumed:>8} {total.waiting:>21} "
        f"{total.twice:>14} {total.double_active:>14}"
    )
    return [head, *body, last]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"of: {', '.join(SCENARIOS)} (all)")
    parser.add_argument("--every", type=int, default=1, help="try each kind of point, and every N-th (1: all)")
    parser.add_argument("--again", action="store_true", help="who goes on is killed as well, and a third goes on")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", action="store_true", help="rows as JSON, for the tests")
    parser.add_argument("--plant", choices=sorted(PLANTS), help="a mistake to be seen")
    asked = parser.parse_args()
    PLANTS.get(asked.plant, bool)()
    if strange := [name for name in asked.scenarios if name not in SCENARIOS]:
        parser.error(f"there is no scenario {', '.join(strange)}; there are: {', '.join(SCENARIOS)}")
    rows = explore(asked.scenarios or list(SCENARIOS), asked.every, asked.workers, again=asked.again)
    if asked.json:
        sys.stdout.write(json.dumps([asdict(row) for row in rows]))
        return 0
    mistakes = [f"{row.scenario}, {one}" for row in rows for one in row.mistakes]
    twice = ", and again as it goes on" if asked.again else ""
    told = (f"kill -9 before and after each journal write and each effect{twice}", *lines(rows), *mistakes)
    sys.stdout.write("\n".join(told) + "\n")
    return int(bool(mistakes) or any(row.resumed + row.waiting != row.points for row in rows))


if __name__ == "__main__":
    sys.exit(main())
