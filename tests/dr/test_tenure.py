"""A lease that is lost while the disk hangs: nothing that was written then is forgotten, and every run is taken up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from orchestrator_kit import Act, FickleJournal, Gate, HeldClock, acts, house, world_of

from dr.engine.tenure import Tenure
from dr.journal.event import Event, Interrupted, RunEnded, StepStarted, StepSucceeded
from dr.journal.fold import fold_all
from dr.journal.run import RunState
from dr.journal.sqlite import StepOutput
from dr.lease import Held, LeaseLost, Tenancy
from dr.world import World
from monitor.errors import StateError
from monitor.inventory.recovery import LeaseTimes

pytestmark = pytest.mark.anyio
TIMES = LeaseTimes(ttl_s=30.0, loop_wait_s=10.0, retry_timeout_s=10.0)


class HangingJournal(FickleJournal):
    """A journal whose disk takes the write that holds ``hangs_at``, and says so only when it is let."""

    hangs_at: type[Event] | None = None

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.hangs, self.goes_on = threading.Event(), threading.Event()

    def append(self, run_id: str, seq: int, events: Sequence[Event], outputs: Sequence[StepOutput] = ()) -> None:
        super().append(run_id, seq, events, outputs)
        if self.hangs_at is not None and any(isinstance(event, self.hangs_at) for event in events):
            self.hangs_at = None
            self.hangs.set()
            assert self.goes_on.wait(60)


@pytest.mark.parametrize("word", [StepStarted, StepSucceeded, RunEnded, Interrupted])
async def test_what_the_disk_has_taken_when_the_lease_was_lost_is_known_when_runs_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: type[Event]
) -> None:
    monkeypatch.setattr("orchestrator_kit.FickleJournal", HangingJournal)
    gate = Gate()
    async with house(tmp_path, acts(write=Act("write", ("backup", "written"), gate))) as at:
        journal, orchestrator = at.journal, at.orchestrator
        assert isinstance(journal, HangingJournal)
        if word is StepStarted:
            journal.hangs_at = word
        asking = asyncio.create_task(at.submit("backup"))
        if word is not StepStarted:
            await gate.entered.wait()
            journal.hangs_at = word
            if word is Interrupted:
                orchestrator.let_go()
                taking_up = asyncio.create_task(orchestrator.take_up())
            else:
                gate.open.set()
        await asyncio.to_thread(journal.hangs.wait, 60)
        orchestrator.let_go()
        await asyncio.sleep(0)  # each of them learns that it has to let go, while the disk still hangs
        journal.goes_on.set()
        if word is Interrupted:
            await taking_up
        await orchestrator.take_up()
        gate.open.set()
        run = await at.until(await asking)
        assert run.state is RunState.SUCCEEDED
        assert run == fold_all(run.id, journal.load()[run.id])
        assert orchestrator.events(run.id) == journal.load()[run.id]
        assert orchestrator.problems() == []


class OneLease:
    """A lease that somebody else takes when ``lost`` is set."""

    def __init__(self, clock: HeldClock) -> None:
        self.clock = clock
        self.epoch = self.renewed = 0
        self.lost = False

    def acquire(self) -> Held:
        self.epoch, self.lost = self.epoch + 1, False
        return Held(self.epoch, self.clock.monotonic() + 30.0)

    def renew(self) -> Held:
        if self.lost:
            raise LeaseLost("somebody else has it")
        self.renewed += 1
        return Held(self.epoch, self.clock.monotonic() + 30.0)

    def release(self) -> None:
        pass


class Runs:
    """Whoever acts under the lease; ``taking_up`` says how that goes."""

    tenancy: Callable[[], Tenancy]

    def __init__(self, world: World) -> None:
        self.world = world
        self.calls = 0
        self.gate = asyncio.Event()
        self.fails: Exception | None = None

    def let_go(self) -> None:
        pass

    async def take_up(self) -> None:
        self.calls += 1
        if self.fails is not None:
            raise self.fails
        await self.gate.wait()


@asynccontextmanager
async def lost() -> AsyncIterator[tuple[Tenure, OneLease, Runs, Callable[[Callable[[], bool]], object]]]:
    """Lose the lease; the last is how to let time pass until something is so."""
    clock = HeldClock()
    lease, runs = OneLease(clock), Runs(world_of(clock))
    tenure = Tenure(lease, TIMES, runs)  # type: ignore[arg-type]  # what it gives it is set by it
    await tenure.start()

    async def until(holds: Callable[[], bool]) -> None:
        for _ in range(60_000):
            if holds():
                return
            clock.advance(1.0)
            await asyncio.sleep(0.001)
        raise AssertionError("it never came to that")

    try:
        lease.lost = True
        runs.fails = StateError("database or disk is full")
        await until(lambda: runs.calls > 0)
        yield tenure, lease, runs, until
    finally:
        await tenure.stop()


async def test_runs_that_cannot_be_taken_up_are_tried_again_under_a_lease_that_is_renewed() -> None:
    async with lost() as (tenure, lease, runs, until):
        await until(lambda: runs.calls > 2)
        assert tenure.problems() == ["runs that were let go are not taken up again yet: database or disk is full"]
        assert lease.epoch == 2, "it was renewed all the while"
        runs.fails = None
        runs.gate.set()
        calls = runs.calls
        await until(lambda: tenure.problems() == [])
        renewed = lease.renewed
        await until(lambda: lease.renewed > renewed + 2)
        assert runs.calls == calls + 1, "what was taken up is not taken up again"


async def test_a_disk_that_hangs_while_runs_are_taken_up_does_not_keep_the_lease_from_being_taken_again() -> None:
    async with lost() as (tenure, lease, runs, until):
        runs.fails = None
        calls = runs.calls
        await until(lambda: runs.calls > calls)  # it hangs from now on
        renewed = lease.renewed
        await until(lambda: lease.renewed > renewed + 2)
        lease.lost = True
        await until(lambda: lease.epoch == 3)
        assert tenure.tenancy().held
        runs.gate.set()
        await until(lambda: runs.calls == calls + 2)
        await until(lambda: tenure.problems() == [])
