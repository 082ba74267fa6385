"""The real orchestrator, journal, guards and performer; only the actions are ours, and the clock stands still."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dr.action import Context, Done, Effect, Holds, Output, Seen, StepArgs
from dr.engine.commands import approve
from dr.engine.orchestrator import Orchestrator, Request, Rules
from dr.errors import StepFailed
from dr.guards import RUN_GUARDS, STEP_GUARDS
from dr.journal.event import Event
from dr.journal.run import Run, RunState
from dr.journal.sqlite import SqliteJournal, StepOutput
from dr.playbook.read import PlaybookFile, read_playbooks
from dr.world import World
from monitor.clock import ManualClock
from monitor.credential import Credentials
from monitor.errors import DeadlineExceeded, StateError
from monitor.inventory.model import Inventory
from monitor.inventory.read import read

ROOT = Path(__file__).parents[2]
HOUR_S = 3600.0
PATIENCE_S = 60.0  # the journal's thread and its disk live in real time
INVENTORY = read(ROOT / "tests" / "bad_files" / "good.yaml")


class HeldClock(ManualClock):
    """A clock whose sleepers wake when the test advances it."""

    def __init__(self, now: float = 1_790_000_000.0) -> None:
        super().__init__(now)
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    def advance(self, seconds: float) -> None:
        super().advance(seconds)
        for due, event in self._sleepers:
            if due <= self.monotonic():
                event.set()

    async def sleep(self, seconds: float) -> None:
        event = asyncio.Event()
        self._sleepers.append((self.monotonic() + seconds, event))
        await event.wait()


class FreeArgs(StepArgs):
    """What the planner's rules ask about, and a note."""

    note: str = ""
    where: str = ""
    expect_role: str = ""


async def _well(context: Context) -> Done:
    return Done()


async def _seen(context: Context) -> Seen:
    return Seen(Holds.YES, "seen")


@dataclass
class Act:
    """An action that does what a test says. ``effect`` is the field and its new value."""

    name: str
    effect: tuple[str, str] | None = None
    does: Callable[[Context], Awaitable[Done]] = _well
    sees: Callable[[Context], Awaitable[Seen]] = _seen
    outputs: tuple[str, ...] = ("value",)
    undoable: bool = False
    probe_limit_s: float = 20.0
    summary: str = "a test's"
    Args: type[StepArgs] = FreeArgs
    calls: list[str] = field(default_factory=list)
    args: list[Any] = field(default_factory=list)

    @property
    def reads_only(self) -> bool:
        return self.effect is None

    def effects(self, args: Any) -> tuple[Effect, ...]:
        return () if self.effect is None else (Effect(f"system/{args.system}/{args.site}", *self.effect),)

    async def run(self, args: Any, context: Context) -> Done:
        self.calls.append(f"run {context.attempt}")
        self.args.append(args)
        return await self.does(context)

    async def probe(self, args: Any, context: Context) -> Seen:
        self.calls.append("probe")
        return await self.sees(context)

    async def undo(self, args: Any, context: Context, outputs: Mapping[str, Output]) -> Done:
        self.calls.append("undo")
        return Done()


async def proven(context: Context) -> Done:
    return Done({"proof": "PROVEN"})


class Gate:
    """An action that waits until it is let through."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.open = asyncio.Event()

    async def __call__(self, context: Context) -> Done:
        self.entered.set()
        await self.open.wait()
        return Done({"proof": "PROVEN"})


async def lost(context: Context) -> Done:
    raise DeadlineExceeded("no reply")


async def blind(context: Context) -> Seen:
    return Seen(Holds.CANNOT_TELL, "it does not answer")


async def refused(context: Context) -> Done:
    raise StepFailed("no")


def by_ana(command: object, run: Run, now: float) -> object:
    return command(run, "ana", "why", now)  # type: ignore[operator]  # a command


def acts(**more: Act) -> dict[str, Act]:
    """Return actions under the names that the planner's rules know, all of them succeeding at once."""
    return {
        "fence": Act("fence", ("fence", "on"), proven, outputs=("proof",)),
        "unfence": Act("unfence", ("fence", "off")),
        "promote": Act("promote", ("role", "primary")),
        "demote": Act("demote", ("role", "standby")),
        "wait_replica": Act("wait_replica"),
        "http_check": Act("http_check"),
        "power": Act("power", ("power", "on"), undoable=True),
        "write": Act("write", ("backup", "written")),
        "look": Act("look"),
        **more,
    }


FAILOVER = """
kind: failover
summary: Move it
steps:
  - { id: fence-old, action: fence, site: from, timeout_s: 60 }
  - { id: machines, action: power, timeout_s: 60 }
  - { id: promote, action: promote, needs: [fence-old, machines], timeout_s: 60 }
  - { id: service, action: http_check, needs: [promote], timeout_s: 60, args: { where: service, expect_role: active } }
"""
FAILBACK = """
kind: failback
summary: Move it back
steps:
  - { id: drain, action: demote, site: from, timeout_s: 60 }
  - { id: all-there, action: wait_replica, needs: [drain], timeout_s: 60 }
  - { id: fence-old, action: fence, site: from, needs: [all-there], timeout_s: 60 }
  - { id: machines, action: power, timeout_s: 60 }
  - { id: promote, action: promote, needs: [fence-old, machines], timeout_s: 60 }
  - { id: service, action: http_check, needs: [promote], timeout_s: 60, args: { where: service, expect_role: active } }
"""
BACKUP = """
kind: backup
summary: Write it
steps:
  - { id: write, action: write, site: from, timeout_s: 60 }
"""
TEXTS = {"failover": FAILOVER, "failback": FAILBACK, "backup": BACKUP}


def playbooks(folder: Path, texts: Mapping[str, str]) -> dict[str, PlaybookFile]:
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return read_playbooks(folder)


def world_of(clock: ManualClock, credentials: Path | None = None, inventory: Inventory = INVENTORY) -> World:
    """Return a world without clients: these actions need none."""
    none: Any = None
    return World(inventory, Credentials(credentials), clock, none, {}, none, none, lambda _system: None)


class FickleJournal(SqliteJournal):
    """The real journal on a disk that is full whenever a test says so."""

    full = False
    full_after: int | None = None

    def append(self, run_id: str, seq: int, events: Sequence[Event], outputs: Sequence[StepOutput] = ()) -> None:
        if self.full_after is not None:
            self.full_after -= 1
            self.full = self.full_after < 0
        if self.full:
            raise StateError("database or disk is full")
        super().append(run_id, seq, events, outputs)


@dataclass
class House:
    """One daemon's recovery half and the hands to use it."""

    orchestrator: Orchestrator
    clock: HeldClock
    journal: FickleJournal
    actions: dict[str, Act]

    async def submit(self, playbook: str = "failover", system: str = "ncts", **more: Any) -> Run:
        return await self.orchestrator.submit(Request(playbook, system, more.pop("requester", "ana"), **more))

    async def approve(self, run: Run, by: str = "boris") -> Run:
        return await self.orchestrator.command(run.id, lambda run, now: approve(run, by, "", "", now))

    async def until(self, run: Run, *states: RunState, also: Callable[[Run], bool] = lambda _run: True) -> Run:
        """Let everything go on until the run is in one of ``states`` (none: final)."""
        give_up = time.monotonic() + PATIENCE_S
        while time.monotonic() < give_up:
            run = self.orchestrator.run(run.id)
            if (run.state in states if states else run.state.final) and also(run):
                return run
            await asyncio.sleep(0.001)
        raise AssertionError(f"{run.id} stays {run.state}: {run.pause_reason} {self.orchestrator.problems()}")

    async def moved(self, playbook: str = "failover") -> Run:
        """Carry out a whole hand-over."""
        return await self.until(await self.approve(await self.submit(playbook)))


@asynccontextmanager
async def house(
    folder: Path,
    actions: dict[str, Act] | None = None,
    texts: Mapping[str, str] = TEXTS,
    *,
    clock: HeldClock | None = None,
    epochs: Callable[[str], int] = lambda _system: 0,
    epochs_known: Callable[[str], bool] = lambda _system: True,
    inventory: Inventory = INVENTORY,
    credentials: Path | None = None,
    started: bool = True,
) -> AsyncIterator[House]:
    """Open the house on what is in ``folder``; leaving it is the death of the daemon."""
    clock = clock or HeldClock()
    actions = acts() if actions is None else actions
    known: Any = actions
    rules = Rules(playbooks(folder / "playbooks", texts), known, RUN_GUARDS, STEP_GUARDS, "inventory")
    journal = FickleJournal(folder / "journal.sqlite")
    world = world_of(clock, credentials, inventory)
    orchestrator = Orchestrator(journal, world, rules, epoch_seen=epochs, epoch_known=epochs_known)
    try:
        if started:
            await orchestrator.start()
        yield House(orchestrator, clock, journal, actions)
    finally:
        await orchestrator.stop()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("journal")]
