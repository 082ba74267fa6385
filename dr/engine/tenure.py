"""Holding the lease: renews it in time, lets every run go before it can run out, and takes the runs up again after.

A daemon that was stopped (SIGSTOP, a disk that hangs) finds its time over when it wakes: the timer
that ends its tenure is due before what its steps were waiting for goes on, so nothing more is done under the old lease.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar

from dr.lease import Held, Lease, LeaseLost, Tenancy
from dr.leases.local import LocalLease
from dr.world import World
from monitor.errors import StateError
from monitor.inventory.recovery import LeaseTimes

log = logging.getLogger(__name__)
T = TypeVar("T")


class Acting(Protocol):
    """Whose right to act it is (dr.engine.orchestrator.Orchestrator)."""

    tenancy: Callable[[], Tenancy]
    may_act: Callable[[], Awaitable[None]]
    world: World

    def let_go(self) -> None:
        """Stop acting at once."""
        ...

    async def take_up(self) -> None:
        """Go on under a new lease."""
        ...


class Tenure:
    """Belongs to the event loop; tells ``acting`` whether it may act, to let go when the time is over, and to go on."""

    def __init__(self, lease: Lease, times: LeaseTimes, acting: Acting) -> None:
        self._lease = lease
        self._times = times
        self._clock = acting.world.clock
        self._acting = acting
        acting.tenancy, acting.may_act = self.tenancy, self.held
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lease")
        self._now: Held | None = None
        self._epoch = 0
        self._why = "it was not taken yet"
        self._held = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._turning: asyncio.Task[None] | None = None
        self._going_on: asyncio.Task[None] | None = None
        self._gone_on = 0  # the epoch under which every run was taken up
        self._stuck = ""

    async def start(self) -> None:
        """Take the lease and begin to renew it. Raises StateError, also when another daemon has it."""
        try:
            self._took(await self._in_thread(self._lease.acquire))
        except LeaseLost as error:
            raise StateError(str(error)) from error
        self._gone_on = self._epoch  # whoever starts the daemon takes the runs up
        self._turning = asyncio.create_task(self._turn(), name="lease")

    async def stop(self) -> None:
        """Give the lease up."""
        mine = [task for task in (self._turning, self._going_on) if task is not None]
        for task in mine:
            task.cancel()
        await asyncio.gather(*mine, return_exceptions=True)
        if self._timer is not None:
            self._timer.cancel()
        self._held.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._in_thread(self._lease.release), self._times.retry_timeout_s)
        self._thread.shutdown(wait=False)

    def tenancy(self) -> Tenancy:
        """Return whether this daemon may act now."""
        held = self._now is not None and self._clock.monotonic() < self._stops_at(self._now)
        return Tenancy(held, self._epoch, "" if held else self._why or "it has run out")

    async def held(self) -> None:
        """Wait until this daemon may act."""
        while not self.tenancy().held:
            self._held.clear()
            await self._held.wait()

    def problems(self) -> list[str]:
        """Say that this daemon may not act, and why; empty while it may."""
        now = self.tenancy()
        if not now.held:
            return [f"this daemon does not hold the lease and acts on nothing: {now.why}"]
        return [f"runs that were let go are not taken up again yet: {self._stuck}"] if self._stuck else []

    async def _turn(self) -> None:
        while True:
            await self._clock.sleep(self._times.loop_wait_s)
            taking = self._now is None
            call = self._lease.acquire if taking else self._lease.renew
            try:
                held = await asyncio.wait_for(self._in_thread(call), self._times.retry_timeout_s)
            except TimeoutError:
                self._why = f"its record did not answer within {self._times.retry_timeout_s:g} s"
            except LeaseLost as error:
                self._over(str(error))
            except StateError as error:
                self._why = str(error)
            else:
                if self._now is None and not taking:  # it ran out while it was being renewed
                    continue
                self._took(held)
                if taking:
                    log.warning("the lease is held again, epoch %s", held.epoch)
                self._let_go_on()

    def _let_go_on(self) -> None:
        """Let the runs be taken up, beside us: the lease has to be renewed meanwhile, however long the disk takes."""
        busy = self._going_on is not None and not self._going_on.done()
        if self._gone_on != self._epoch and not busy:
            self._going_on = asyncio.create_task(self._take_up(self._epoch), name="taking up")

    async def _take_up(self, epoch: int) -> None:
        try:
            await self._acting.take_up()
        except Exception as error:  # whatever it was, it is tried again with the next turn
            self._stuck = str(error)
            log.exception("runs that were let go cannot be taken up again")
        else:
            self._gone_on, self._stuck = epoch, ""

    def _took(self, held: Held) -> None:
        self._now, self._epoch, self._why = held, held.epoch, ""
        if self._timer is not None:
            self._timer.cancel()
        left_s = max(0.0, self._stops_at(held) - self._clock.monotonic())
        self._timer = asyncio.get_running_loop().call_later(left_s, self._over, "it was not renewed in time")
        self._held.set()

    def _over(self, why: str) -> None:
        if self._now is None:
            return
        self._now, self._why = None, why
        self._held.clear()
        log.error("the lease is over: %s; every run is let go until it is held again", why)
        self._acting.let_go()

    def _stops_at(self, held: Held) -> float:
        """Return when to stop acting: a little before the lease can be over."""
        return held.until - min(1.0, self._times.ttl_s / 10)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)


def local_tenure(folder: Path, times: LeaseTimes, acting: Acting) -> Tenure:
    """Return the tenure of the lease in the state folder."""
    return Tenure(LocalLease(folder, times.ttl_s, acting.world.clock.monotonic), times, acting)
