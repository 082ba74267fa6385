"""The command line against a real application on a real Unix socket, with steps whose outcomes a test dictates.

Orchestrator, guards, journal, HTTP and the socket are the daemon's own; only the watch and the actions are not.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from click.testing import CliRunner, Result

from console.api.desk import Desk
from console.api.front import Front
from console.drifting import Drifting
from console.files import Changes
from console.main import karaula
from console.proofs import Proofs
from console.readiness import Readying
from console.reload import Reloaded
from console.reporting import Reporting
from console.responding import Responding
from console.serving import Doors
from dr.action import Context, Done, Effect, Holds, Lasting, Reading, Seen, StepArgs
from dr.actions.ask import Ask
from dr.engine.joint import JointRuns
from dr.engine.orchestrator import Orchestrator, Rules
from dr.errors import StepFailed
from dr.evidence.tracker import Tracker
from dr.forecast import Past
from dr.guards import RUN_GUARDS, STEP_GUARDS
from dr.journal.sqlite import SqliteJournal
from dr.playbook.read import read_playbooks
from dr.schedule import Scheduler
from dr.world import World
from monitor.clock import Clock, RealClock
from monitor.credential import Credentials
from monitor.errors import DeadlineExceeded, InventoryError
from monitor.inventory.model import Inventory
from monitor.inventory.read import read
from monitor.inventory.shard import Shard
from monitor.metrics.press import Page
from monitor.probe import Observation
from monitor.problem import Problem
from monitor.status.alarm import Alarm
from monitor.status.downtime import Downtime
from monitor.status.state import Flip, Status

ROOT = Path(__file__).resolve().parents[1]
PATIENCE_S = 60.0
NOW = 1_795_490_000.0  # 24 November 2026, 04:13:20 in Skopje
PLAYBOOKS = {
    "failover": """
kind: failover
summary: Fence, promote, see it answer
steps:
  - {id: fence, action: fence, site: from, timeout_s: 600, description: Cut the power of the old side}
  - {id: promote, action: promote, site: to, timeout_s: 600, needs: [fence], description: Let the other side write}
  - {id: service, action: http_check, site: to, timeout_s: 600, needs: [promote],
     args: {where: service, expect_role: active}}
""",
    # Of kind verify: a real drill needs the actions that compare production, which are not what is tested here.
    "drill": """
kind: verify
summary: Copy, look, clean up
steps:
  - {id: copy, action: change, timeout_s: 600, description: Make an isolated copy}
  - {id: ask, action: look, timeout_s: 600, needs: [copy], description: Ask the copy}
finally:
  - {id: clean, action: look, timeout_s: 600, description: Take the copy away}
""",
    "asking": """
kind: verify
summary: Ask first
steps:
  - {id: ready, action: ask, timeout_s: 600, args: {question: "Is ${system.key} quiet?", choices: ["yes", "no"]}}
  - {id: take, action: look, timeout_s: 5, needs: [ready]}
""",
    "backup": "kind: backup\nsummary: Back up\nsteps:\n  - {id: take, action: look, timeout_s: 600}\n",
}


@dataclass
class Script:
    """What happens in which step: ``fail`` (once for each word), ``lost``, ``hold`` until released, else well."""

    words: dict[str, list[str]] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    blind: set[str] = field(default_factory=set)
    released: threading.Event = field(default_factory=threading.Event)


class WhereArgs(StepArgs):
    """As ``http_check`` has them."""

    where: str = "front"
    expect_role: str = ""


@cache
def estate() -> Inventory:
    return read(ROOT / "inventory.yaml")


class Look(Reading):
    """Looks, as the script says."""

    summary: ClassVar[str] = "look"
    outputs: ClassVar[tuple[str, ...]] = ("found",)
    Args: ClassVar[type[StepArgs]] = StepArgs

    def __init__(self, name: str, script: Script) -> None:
        self.name = name  # type: ignore[misc]  # one class serves several names
        self.script = script

    async def run(self, args: StepArgs, context: Context) -> Done:
        await obey(self.script, context)
        return Done({"found": 7})


class Check(Look):
    Args: ClassVar[type[StepArgs]] = WhereArgs


class Change(Lasting):
    """Changes something, as the script says."""

    summary: ClassVar[str] = "change"
    outputs: ClassVar[tuple[str, ...]] = ("proof",)
    Args: ClassVar[type[StepArgs]] = StepArgs

    def __init__(self, name: str, effect: tuple[str, str], script: Script) -> None:
        self.name = name  # type: ignore[misc]  # as above
        self.effect = effect
        self.script = script

    def effects(self, args: StepArgs) -> tuple[Effect, ...]:
        return (Effect(f"system/{args.system}/{args.site}", *self.effect),)

    async def run(self, args: StepArgs, context: Context) -> Done:
        await obey(self.script, context)
        return Done({"proof": "PROVEN"})

    async def probe(self, args: StepArgs, context: Context) -> Seen:
        if context.step in self.script.blind:
            return Seen(Holds.CANNOT_TELL, "nobody answers")
        happened = context.step in self.script.done
        return Seen(Holds.YES, "it is so", {"proof": "PROVEN"}) if happened else Seen(Holds.NO, "it is not so")


async def obey(script: Script, context: Context) -> None:
    """Do what the script says of this step. Raises StepFailed and DeadlineExceeded."""
    words = script.words.get(context.step, [])
    word = words.pop(0) if words else "well"
    context.say(f"{context.step} on its way")
    if word == "hold":
        await asyncio.to_thread(script.released.wait, PATIENCE_S)
    if word == "fail":
        raise StepFailed(f"{context.step} said no")
    script.done.add(context.step)
    if word == "lost":
        raise DeadlineExceeded(f"{context.step} did not answer")


def actions(script: Script) -> dict[str, Any]:
    """Return the actions by name, all obeying ``script``."""
    changes = {"fence": ("fence", "on"), "promote": ("role", "primary"), "change": ("bubble", "up")}
    made: list[Any] = [Look("look", script), Check("http_check", script)]
    made += [Change(name, effect, script) for name, effect in changes.items()]
    return {"ask": Ask(), **{action.name: action for action in made}}


class FakeDowntimes:
    """A record of planned downtimes that lasts as long as the test."""

    def __init__(self) -> None:
        self.kept: list[Downtime] = []

    def in_force(self, now: float) -> tuple[Downtime, ...]:
        return tuple(each for each in self.kept if each.in_force(now))

    def upcoming(self, lines: object, zone: str, now: float) -> list[Downtime]:
        return [each for each in self.kept if each.start > now]

    def between(self, start: float, end: float) -> list[Downtime]:
        return [each for each in self.kept if each.end > start and each.start < end]

    async def announce(self, downtime: Downtime, now: float) -> None:
        self.kept.append(downtime)

    async def end(self, name: str, by: str, now: float) -> list[Downtime]:
        ended = [replace(each, end=now, ended_by=by) for each in self.kept if name in (each.id, each.subject)]
        self.kept = [each for each in self.kept if name not in (each.id, each.subject)] + ended
        return ended


@dataclass
class FakeWatch:
    """What is held true, as the test says."""

    held: dict[str, Status] = field(default_factory=dict)
    standing: list[Alarm] = field(default_factory=list)
    changes: list[Flip] = field(default_factory=list)
    seen: dict[str, Observation] = field(default_factory=dict)
    isolated: str = ""
    swinging: set[str] = field(default_factory=set)
    planned: dict[str, Downtime] = field(default_factory=dict)
    downtimes: FakeDowntimes = field(default_factory=FakeDowntimes)

    def flapping(self) -> frozenset[str]:
        return frozenset(self.swinging)

    def covered(self) -> Mapping[str, Downtime]:
        return self.planned

    def statuses(self) -> Mapping[str, Status]:
        return self.held

    def status(self, subject: str) -> Status | None:
        return self.held.get(subject)

    def observation(self, subject: str) -> Observation | None:
        return self.seen.get(subject)

    def last_good(self, subject: str) -> Observation | None:
        return self.seen.get(subject)

    def flips(self, subject: str | None = None, limit: int = 100) -> list[Flip]:
        return [flip for flip in self.changes if subject in {None, flip.subject}][:limit]

    def subscribe(self, callback: object) -> None:
        """Nothing changes here by itself."""

    def alarms(self, *, active_only: bool = True) -> list[Alarm]:
        return [alarm for alarm in self.standing if alarm.cleared_at is None or not active_only]


class StillClock(RealClock):
    """It is always ``NOW``; what waits, waits for real."""

    def now(self) -> float:
        return NOW


class DeskDaemon:
    """The application on a Unix socket, on a loop in a thread of its own."""

    def __init__(self, folder: Path, clock: Clock | None = None) -> None:
        self.folder = folder
        self.script = Script()
        self.watch = FakeWatch()
        self.clock = clock or RealClock()
        self.broken: list[str] = []
        self.refusals: dict[str, str] = {}
        self.mistakes: list[Problem] = []
        self.reloaded = Reloaded(NOW, Changes(), ())
        self.reloaded_by: list[str] = []
        self.socket = folder / "k.sock"
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="daemon")

    def start(self) -> None:
        self._thread.start()
        self.call(self._start())

    def stop(self) -> None:
        self.script.released.set()
        self.call(self._stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(PATIENCE_S)
        self.loop.close()

    def call(self, coroutine: Any) -> Any:
        """Run ``coroutine`` on the daemon's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(PATIENCE_S)

    def until(self, what: str, holds: Callable[[], Any]) -> None:
        """Wait until ``holds()`` is true, asking again and again."""
        end = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < end, f"never came: {what}"
            time.sleep(0.01)

    def hear(self, run_id: str, step: str, line: str) -> None:
        """Have a step under way print a line."""
        self.loop.call_soon_threadsafe(self.orchestrator._listeners.heard, run_id, step, 1, line)

    def onlookers(self) -> int:
        """Return how many look on at runs, or at the lines of their steps."""
        listeners = self.orchestrator._listeners
        return len(listeners._changes) + len(listeners._lines)

    def when(self, state: str, act: Callable[[str], None]) -> None:
        """Call ``act(run id)`` in a thread of its own, once, when a run first comes to ``state``."""
        told: list[str] = []

        def changed(run: Any, _events: Any) -> None:
            if run.state.value == state and not told:
                told.append(run.id)
                threading.Thread(target=act, args=(run.id,)).start()

        self.loop.call_soon_threadsafe(self.orchestrator.subscribe, changed)

    def karaula(self, *words: str, name: str = "ana", **environment: str) -> Result:
        """Run the command line in this process, without a terminal."""
        variables = {"COLUMNS": None, "KARAULA_SOCKET": str(self.socket), "KARAULA_AS": name, **environment}
        return CliRunner(env=variables).invoke(karaula, list(words), catch_exceptions=False)

    def json(self, *words: str, code: int = 0, name: str = "ana") -> Any:
        result = self.karaula(*words, "--output", "json", name=name)
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)

    async def _start(self) -> None:
        books = self.folder / "playbooks"
        books.mkdir(exist_ok=True)
        for name, text in PLAYBOOKS.items():
            (books / f"{name}.yaml").write_text(text)
        journal = SqliteJournal(self.folder / "journal.sqlite")
        readying = Readying(lambda: self.watch, lambda: self.orchestrator, Proofs(self.folder))  # type: ignore[arg-type,return-value]  # as much of it as the command line shows
        world = World(
            estate(),
            Credentials(None),
            self.clock,
            None,  # type: ignore[arg-type]  # no client is used
            {},
            None,  # type: ignore[arg-type]  # likewise
            None,  # type: ignore[arg-type]  # likewise
            lambda _system: None,
            readiness=readying.of,
        )
        rules = Rules(read_playbooks(books), actions(self.script), RUN_GUARDS, STEP_GUARDS, "inventory")
        self.orchestrator = Orchestrator(journal, world, rules, epoch_seen=lambda _system: 0)
        await self.orchestrator.start()
        self.joints = JointRuns(self.orchestrator)
        await self.joints.start()
        self.tracker = Tracker(journal, self.orchestrator, self.clock)
        await self.tracker.load()
        schedules = estate().schedules
        zone = estate().estate.timezone
        scheduler = Scheduler(
            journal.calendar,
            self.orchestrator.in_thread,
            schedules,
            zone,
            self.clock,
            None,
            lambda _ref: None,  # type: ignore[arg-type]  # never ticked
        )
        past = Past(self.orchestrator)
        drifting = Drifting(self.watch, self.orchestrator, self.clock, estate)  # type: ignore[arg-type]  # likewise
        reporting = Reporting(self.orchestrator, self.joints, past, self.clock, estate, drifting)
        desk = Desk(
            version="0",
            inventory=estate(),
            shard=Shard(),
            watch=self.watch,  # type: ignore[arg-type]  # as much of it as the command line shows
            orchestrator=self.orchestrator,
            joints=self.joints,
            responding=Responding(self.watch, self.orchestrator, self.clock, estate(), estate().responses),  # type: ignore[arg-type]  # likewise
            credentials=Credentials(self.folder),
            scheduler=scheduler,
            clock=self.clock,
            metrics=no_metrics,
            problems=lambda: self.broken,
            faults=lambda: self.broken,
            reload=self._reload,
            not_ready=list,
            reporting=reporting,
            drifting=drifting,
            past=past,
            readying=readying,
            tracker=self.tracker,
            refusals=lambda: self.refusals,
        )
        self.desk = desk
        await self.open_doors()

    async def open_doors(self) -> None:
        """Listen (again)."""
        self.doors = Doors(self.socket, "127.0.0.1", 0)
        self.doors.bind()
        self.front = Front(self.desk, frozenset())
        await self.doors.open(self.front)

    async def _stop(self) -> None:
        await self.doors.close()
        await self.joints.stop()
        await self.orchestrator.stop()

    async def _reload(self, by: str) -> Reloaded:
        if self.mistakes:
            raise InventoryError(self.mistakes)
        self.reloaded_by.append(by)
        return self.reloaded


@contextmanager
def desk_daemon(clock: Clock | None = None) -> Iterator[DeskDaemon]:
    """Run one; its folder has a short name, for a socket's path may have 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="karaula-cli-"))
    daemon = DeskDaemon(folder, clock)
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.stop()
        shutil.rmtree(folder)


async def no_metrics(_accept: str, _accept_encoding: str) -> Page:
    return Page(b"", "text/plain", "")


def still() -> StillClock:
    return StillClock()


def without_times(text: str) -> str:
    """Return ``text`` with ids, times of day, lengths and hashes replaced, so that the rest can be pinned."""
    text = re.sub(r"-\d{8}-\d{6}", "-ID", text)
    text = re.sub(r"\b\d\d:\d\d:\d\d\b|\b\d{1,2} [A-Z][a-z]{2} \d\d:\d\d\b", "TIME", text)  # the latter: of another day
    text = re.sub(r"\b(\d+ h \d\d min|\d+ min \d\d s|\d+(\.\d)? s)\b", "SPAN", text)
    text = re.sub(r"\bplan [0-9a-f]{12}\b", "plan HASH", text)
    return re.sub(r"user \w+", "user USER", text)
