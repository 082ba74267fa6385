"""The second crash matrix: what fails is the disk, its power, the clock or the database, for every shipped playbook.

    PYTHONPATH=.:tests python tests/crash/faults.py [--workers N] [--json] [SCENARIO …]

The disk is full (ENOSPC) or fails (EIO): at the request, in the midst of the run, at the start after a death. Its power
is lost: whatever was not synced is gone, or there by halves. The clock is set an hour forward or back: while the run
waits for its approval, in its midst, and between a death and the next start. Another process holds the database. Each
cell says how many cases went on by themselves, and how many were refused with a sentence, as they are expected to be.
"""

from __future__ import annotations

import argparse
import asyncio
import errno
import gc
import json
import os
import shutil
import signal
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from matrix import APPEND, ATTEMPTS, PLANTS, Course, Point, Row, dying, in_a_process, side_by_side, watched
from sim_daemon_kit import SCENARIOS, Daemon, Scenario, live
from syscalls_kit import SYNCS_ALONE, Disk

from dr.journal.event import Event
from dr.journal.sqlite import SqliteJournal, StepOutput
from monitor.errors import StateError

HOUR_S = 3600.0
FAILURES = 3  # writes that fail before the fault is over
REFUSED = "refused"
ERRORS = {"disk full": errno.ENOSPC, "disk fails": errno.EIO, "sync fails": errno.EIO | SYNCS_ALONE}
CLOCKS = {"clock +1 h": HOUR_S, "clock -1 h": -HOUR_S}
FAULTS = (*ERRORS, "power lost", *CLOCKS, "database locked")


@dataclass(frozen=True)
class Case:
    """One fault at one moment of a scenario; ``refused`` says that it is expected to be refused first."""

    fault: str
    moment: str
    point: Point | None = None
    refused: bool = False

    def __str__(self) -> str:
        return f"{self.fault}, {self.moment}" + (f" {self.point}" if self.point else "")


class Locker:
    """Another process that holds the journal's database while it is told to."""

    def __init__(self, path: Path) -> None:
        self._orders, orders = os.pipe()
        answers, self._answers = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(orders)
            self._serve(path)
        os.close(self._orders)
        os.close(self._answers)
        self._to, self._from = orders, answers

    def _serve(self, path: Path) -> None:
        try:
            db: sqlite3.Connection | None = None
            while word := os.read(self._orders, 1):
                if word == b"L":
                    db = sqlite3.connect(path, isolation_level=None, timeout=60)
                    db.execute("BEGIN EXCLUSIVE")
                elif db is not None:
                    db.execute("ROLLBACK")
                    db.close()
                os.write(self._answers, b"x")
        finally:
            os._exit(0)

    def hold(self, *, locked: bool) -> None:
        os.write(self._to, b"L" if locked else b"U")
        os.read(self._from, 1)

    def end(self) -> None:
        os.close(self._to)
        os.close(self._from)
        os.waitpid(self.pid, 0)


class Trouble:
    """Lets something fail, and counts what fails for it until it is over."""

    def __init__(self, switch: Callable[[bool], None]) -> None:
        self._switch = switch
        self.failed = 0
        self.on = False

    def set(self, *, on: bool) -> None:
        if on is not self.on:
            self.on = on
            self._switch(on)

    def from_write(self, number: int, then: Callable[[], None] | None = None) -> Callable[[Daemon], None]:
        """Begin just before the journal's ``number``-th write; end, or do ``then``, after a few that failed."""
        count = 0

        def append(
            journal: SqliteJournal, run_id: str, seq: int, events: Sequence[Event], outputs: Sequence[StepOutput] = ()
        ) -> None:
            nonlocal count
            count += 1
            if count == number:
                self.set(on=True)
            try:
                APPEND(journal, run_id, seq, events, outputs)
            except StateError:
                self.failed += 1
                if self.failed == FAILURES:
                    if then is not None:
                        then()
                    self.set(on=False)
                raise

        def prepare(_daemon: Daemon) -> None:
            SqliteJournal.append = append  # type: ignore[method-assign]  # of this process alone, which is forked

        return prepare


class Ordeal:
    """One case of one scenario, in processes of its own."""

    def __init__(self, course: Course, case: Case, row: Row, attempt: int) -> None:
        self.course, self.case, self.row = course, case, row
        self.scenario: Scenario = course.scenario
        self.outlived = False  # the moment of its fault never came
        self.folder = course.copy(f"{case} {attempt}".replace(" ", "-").replace("/", "-"))
        self.state = self.folder / "state"
        self.state.mkdir(exist_ok=True)
        self.disk = Disk(self.state)
        self.locker: Locker | None = None

    def go(self) -> None:
        self.row.points += 1
        before = len(self.row.mistakes)
        try:
            if self.case.fault == "power lost":
                self.lose_power()
            elif self.case.fault in CLOCKS:
                self.set_clock(CLOCKS[self.case.fault])
            else:
                self.fail()
        finally:
            if self.locker is not None:
                self.locker.end()
        if len(self.row.mistakes) == before:
            shutil.rmtree(self.folder)

    # -- the disk and the database -------------------------------------------------------------------------------------

    def fail(self) -> None:
        """Let writes fail, and hold what was said of it against what is expected."""
        moment, point = self.case.moment, self.case.point
        if self.case.fault == "database locked":
            self.locker = Locker(self.state / "journal.sqlite")
        if moment == "at the request":
            self.judge(self.alive(self.asked_twice))
        elif moment == "in the midst" and point is not None:
            trouble = self.trouble()
            told = self.alive(lambda: live(self.folder, self.scenario, trouble.from_write(point.number)), trouble)
            self.judge(told)
        elif moment == "then a death" and point is not None:
            trouble = self.trouble()
            die = trouble.from_write(point.number, lambda: os.kill(os.getpid(), signal.SIGKILL))
            self.alive(lambda: live(self.folder, self.scenario, die), dies=True)
            self.over()
            self.judge(self.alive(lambda: live(self.folder, self.scenario)))
        elif point is not None:
            self.alive(lambda: live(self.folder, self.scenario, dying(point)), dies=True)
            self.judge(self.alive(self.started_twice))

    def trouble(self) -> Trouble:
        return Trouble(self.switch)

    def switch(self, on: bool) -> None:
        if self.locker is not None:
            self.locker.hold(locked=on)
        else:
            self.disk.error = ERRORS[self.case.fault] if on else 0

    def over(self) -> None:
        """End a fault whose process is dead."""
        if self.locker is not None:
            self.locker.hold(locked=False)
        self.disk.error = 0

    async def asked_twice(self) -> Any:
        """Ask while nothing can be written, then again when it can."""
        daemon = Daemon(self.folder)
        await daemon.start()
        try:
            self.switch(on=True)
            said = await _refusal(daemon.ask(self.scenario))
            self.switch(on=False)
            await asyncio.sleep(0.05)
            await daemon.ask(self.scenario)
            return {**await daemon.until_it_stands(self.scenario), REFUSED: said}
        finally:
            await daemon.stop()

    async def started_twice(self) -> Any:
        """Start while nothing can be written, then again when it can."""
        self.switch(on=True)
        said = ""
        try:
            daemon = Daemon(self.folder)
            said = await _refusal(daemon.start())
            await daemon.stop()
        except StateError as error:
            said = str(error)
        self.switch(on=False)
        return {**await live(self.folder, self.scenario), REFUSED: said}

    # -- power and clock -----------------------------------------------------------------------------------------------

    def lose_power(self) -> None:
        """Die at the point, lose what was not synced, and go on."""
        if (point := self.case.point) is None:
            return
        self.alive(lambda: live(self.folder, self.scenario, dying(point)), dies=True)
        self.disk.cut_power(str(point) if "halves" in self.case.moment else "")
        self.judge(self.alive(lambda: live(self.folder, self.scenario)))

    def set_clock(self, by_s: float) -> None:
        """Set the wall clock, of this machine alone."""
        moment, point = self.case.moment, self.case.point

        def jump(daemon: Daemon) -> None:
            daemon.sim.clock.jumped_s += by_s

        if point is None:
            return self.judge(self.alive(lambda: live(self.folder, self.scenario, while_waiting=jump)))
        if moment == "in the midst":
            count = 0

            def prepare(daemon: Daemon) -> None:
                def see(what: str, when: str, _label: str) -> None:
                    nonlocal count
                    count += (what, when) == (point.what, point.when)
                    if count == point.number and (what, when) == (point.what, point.when):
                        jump(daemon)

                watched(daemon, see)

            return self.judge(self.alive(lambda: live(self.folder, self.scenario, prepare)))
        self.alive(lambda: live(self.folder, self.scenario, dying(point)), dies=True)
        return self.judge(self.alive(lambda: live(self.folder, self.scenario, jump)))

    # -- what came of it -----------------------------------------------------------------------------------------------

    def alive(self, act: Callable[[], Any], trouble: Trouble | None = None, *, dies: bool = False) -> Any:
        """Be a daemon on this disk; return what it says, None after the death that is expected."""

        def run() -> Any:
            connect = sqlite3.connect
            sqlite3.connect = lambda *of, **more: connect(*of, **{**more, "timeout": 0.05})  # type: ignore[assignment]  # as impatient as a test
            told = asyncio.run(act())
            return told if trouble is None else {**told, "failed": trouble.failed}

        ended, told = in_a_process(self.folder, run, self.disk)
        if dies and ended != signal.SIGKILL:
            self.outlived = True
            self.row.mistakes.append(f"{self.case}: it did not die: {told}")
        elif not dies and ended:
            self.row.mistakes.append(f"{self.case}: it ended by signal {ended}")
        return told

    def judge(self, told: Any) -> None:
        if told is None:
            self.row.mistakes.append(f"{self.case}: it said nothing")
            return
        if (self.case.fault in ERRORS and not self.disk.answered) or told.get("failed", FAILURES) < FAILURES:
            self.outlived = True
            self.row.mistakes.append(f"{self.case}: nothing failed, so nothing was tried")
            return
        said = told.get(REFUSED, "")
        if self.case.refused and not said:
            self.row.mistakes.append(f"{self.case}: it was not refused")
            return
        if self.case.refused and told["state"] == "CANCELED":
            self.row.refused += 1
            return
        self.row.refused += bool(said)
        self.course.judge(self.folder, str(self.case), told, self.row)


async def _refusal(asking: Any) -> str:
    try:
        await asking
    except StateError as error:
        return str(error)
    return ""


# -- all of it --------------------------------------------------------------------------------------------------------


def cases(course: Course) -> dict[str, list[Case]]:
    """Return the cases of each cell of the scenario's line."""
    writes = [point for point in course.points if (point.what, point.when) == ("write", "before")]
    midst = [writes[len(writes) * part // 4] for part in (2, 1, 3)]
    begun = [one for one in course.points if one.when == "after" and one.label.endswith("StepStarted")]
    under_way = begun[len(begun) // 2]
    found: dict[str, list[Case]] = {}
    for fault in (*ERRORS, "database locked"):
        found[fault] = [
            Case(fault, "at the start", under_way, refused=True),
            Case(fault, "in the midst", midst[0]),
            Case(fault, "at the request", refused=True),
            Case(fault, "then a death", midst[0]),
            *(Case(fault, "in the midst", point) for point in midst[1:]),
        ]
    cuts = [point for point in course.points if point.what == "write"]
    cuts = cuts[:: max(1, len(cuts) // 8)]
    found["power lost"] = [
        Case("power lost", how, point)
        for point in (*cuts[len(cuts) * 3 // 4 :], *cuts[: len(cuts) * 3 // 4])  # late ones first: more may be lost
        for how in ("unsynced writes dropped", "unsynced writes there by halves")
    ]
    attended = course.scenario.playbook not in {"backup", "verify", "drill"}
    for fault, by_s in CLOCKS.items():
        waiting = [Case(fault, "while it waits", refused=by_s > 0)] if attended else []
        found[fault] = [
            *waiting,
            Case(fault, "before the next start", under_way),
            *(Case(fault, "in the midst", point) for point in midst),
        ]
    return found


def explore(names: Sequence[str], most: int, workers: int) -> dict[str, dict[str, Row]]:
    """Try at most ``most`` cases of each cell (0: all); return a row a cell, by scenario and fault."""
    gc.freeze()  # what is forked stays shared
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - the disk's part is played here
    with tempfile.TemporaryDirectory(prefix="karaula-faults-", dir=place) as base:
        found: dict[str, dict[str, Row]] = {name: {} for name in names}
        jobs: list[Callable[[], Any]] = []
        owners: list[Row] = []
        for name in names:
            course = Course(SCENARIOS[name], Path(base) / name.replace(" ", ""))
            for fault, all_cases in cases(course).items():
                row = found[name][fault] = Row(name, of=len(all_cases))
                for case in all_cases[: most or None]:
                    jobs.append(lambda course=course, case=case: _tried(course, case))
                    owners.append(row)
        for row, told in zip(owners, side_by_side(jobs, workers), strict=True):
            row.add(Row(**told))
        return found


def _tried(course: Course, case: Case) -> dict[str, Any]:
    for attempt in range(ATTEMPTS):  # as in the other matrix: there may be fewer writes than points
        row = Row(course.scenario.name)
        ordeal = Ordeal(course, case, row, attempt)
        ordeal.go()
        if not ordeal.outlived:
            break
    return asdict(row)


def lines(found: dict[str, dict[str, Row]]) -> Iterator[str]:
    """Render the table: of how many cases how many went on, and how many were refused first."""
    yield f"{'playbook':18} " + " ".join(f"{fault:>16}" for fault in FAULTS)
    for name, cells in found.items():
        yield f"{name:18} " + " ".join(f"{_cell(cells[fault]):>16}" for fault in FAULTS)
    total = Row("all", of=sum(row.of for cells in found.values() for row in cells.values()))
    for cells in found.values():
        for row in cells.values():
            total.add(row)
    yield (
        f"{total.points} of {total.of} cases: {total.resumed} went on to their end, {total.refused} refused first "
        f"with a sentence, effects twice: {total.twice}, double-active: {total.double_active}"
    )


def _cell(row: Row) -> str:
    return f"{row.resumed}/{row.points}" + (f", {row.refused} refused" if row.refused else "")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"of: {', '.join(SCENARIOS)} (all)")
    parser.add_argument("--most", type=int, default=0, help="try at most so many cases of each cell (0: all)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", action="store_true", help="rows as JSON, for the tests")
    parser.add_argument("--plant", choices=sorted(PLANTS), help="a mistake to be seen")
    asked = parser.parse_args()
    PLANTS.get(asked.plant, bool)()
    if strange := [name for name in asked.scenarios if name not in SCENARIOS]:
        parser.error(f"there is no scenario {', '.join(strange)}; there are: {', '.join(SCENARIOS)}")
    found = explore(asked.scenarios or list(SCENARIOS), asked.most, asked.workers)
    if asked.json:
        rows = {name: {key: asdict(row) for key, row in cells.items()} for name, cells in found.items()}
        sys.stdout.write(json.dumps(rows))
        return 0
    mistakes = [f"{name}, {one}" for name, cells in found.items() for row in cells.values() for one in row.mistakes]
    told = ("faults of disk, power, clock and database in the midst of every playbook", *lines(found), *mistakes)
    sys.stdout.write("\n".join(told) + "\n")
    return int(bool(mistakes))


if __name__ == "__main__":
    sys.exit(main())
