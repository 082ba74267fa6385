"""A daemon as this process: what signals ask of it, and what its supervisor is told."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import signal
import sys
from collections.abc import Callable

from console.daemon import Daemon
from console.options import Options
from console.supervisor import of_this_process
from monitor.errors import KaraulaError

SWEEP_S = (60.0, 600.0)  # the first after all was polled a few times, then every ten minutes
COLLECT_AT = (10_000, 20, 1_000)  # objects more than before, then rounds of the younger: see ``sweep``
SWITCH_S = 0.001  # measured: the loop wakes beside a thread that computes in half the time of Python's 5 ms


async def run_until_signal(options: Options, started: Callable[[Daemon], None]) -> None:
    """Run a daemon until SIGTERM or SIGINT, reloading at each SIGHUP; ``started`` is called once it serves.

    Raises what ``Daemon`` raises.
    """
    stop, serving = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    reloads: set[asyncio.Task[None]] = set()

    def reload() -> None:
        task = asyncio.create_task(_reload_by_signal(daemon, serving), name="reload")
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, reload)
    gc.set_threshold(*COLLECT_AT)  # before the journal is read: a long one would be gone through again and again
    sys.setswitchinterval(SWITCH_S)
    daemon = Daemon(options)
    await daemon.start()
    started(daemon)
    sweep()
    supervisor = of_this_process()
    supervisor.tell("READY=1")
    serving.set()
    feeding = asyncio.create_task(supervisor.feed(daemon.watch.pulse.problems), name="supervisor")
    sweeping = asyncio.create_task(_sweep_for_ever(), name="sweep")
    try:
        await stop.wait()
    finally:
        for task in (feeding, sweeping, *reloads):
            task.cancel()
        await asyncio.gather(feeding, sweeping, *reloads, return_exceptions=True)
        supervisor.tell("STOPPING=1")
        await daemon.stop()


def sweep() -> None:
    """Free what only points at itself, and let the collector pass over all that is left until the next sweep.

    A full collection holds up everything for a tenth of a second where 100,000 samples are shown; left to itself,
    Python makes one each time a quarter more has come, which in a large estate is several times a minute.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()


async def _sweep_for_ever() -> None:
    first_s, after_s = SWEEP_S
    await asyncio.sleep(first_s)
    while True:
        sweep()
        await asyncio.sleep(after_s)


async def _reload_by_signal(daemon: Daemon, serving: asyncio.Event) -> None:
    await serving.wait()
    with contextlib.suppress(KaraulaError):  # it is logged, and an alarm stands
        await daemon.reload("SIGHUP")


def serve(options: Options, started: Callable[[Daemon], None]) -> None:
    """Run the daemon in this process until it is told to stop; a supervisor's SIGABRT leaves where every thread was."""
    faulthandler.enable()
    asyncio.run(run_until_signal(options, started))
