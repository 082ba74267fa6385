"""A daemon as this process: what signals ask of it, and what its supervisor is told."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import signal
from collections.abc import Callable

from console.daemon import Daemon
from console.options import Options
from console.supervisor import of_this_process
from monitor.errors import KaraulaError


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
    daemon = Daemon(options)
    await daemon.start()
    started(daemon)
    gc.collect()
    gc.freeze()  # what was read and made until now stays: the collector need not walk through it again and again
    supervisor = of_this_process()
    supervisor.tell("READY=1")
    serving.set()
    feeding = asyncio.create_task(supervisor.feed(daemon.watch.pulse.problems), name="supervisor")
    try:
        await stop.wait()
    finally:
        for task in (feeding, *reloads):
            task.cancel()
        await asyncio.gather(feeding, *reloads, return_exceptions=True)
        supervisor.tell("STOPPING=1")
        await daemon.stop()


async def _reload_by_signal(daemon: Daemon, serving: asyncio.Event) -> None:
    await serving.wait()
    with contextlib.suppress(KaraulaError):  # it is logged, and an alarm stands
        await daemon.reload("SIGHUP")


def serve(options: Options, started: Callable[[Daemon], None]) -> None:
    """Run the daemon in this process until it is told to stop; a supervisor's SIGABRT leaves where every thread was."""
    faulthandler.enable()
    asyncio.run(run_until_signal(options, started))
