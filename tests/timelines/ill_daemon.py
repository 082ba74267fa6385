"""``karaula`` that falls ill when it is told to: SIGUSR1 blocks its event loop, SIGUSR2 ends the evaluation of states.

``KARAULA_TEST_BLOCK`` names the file in whose presence it stays blocked; "blocked" in it says that it is.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from console.main import main
from monitor import watch
from monitor.watch import Watch

start = Watch.start


def block() -> None:
    file = Path(os.environ["KARAULA_TEST_BLOCK"])
    file.write_text("blocked")
    while file.exists():
        time.sleep(0.05)


async def starting(self: Watch) -> None:
    await start(self)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, block)
    assert self._ticking is not None
    loop.add_signal_handler(signal.SIGUSR2, self._ticking.cancel)


watch.EVALUATION_WITHIN_S = 5.0
Watch.start = starting  # type: ignore[method-assign]  # that is the point
sys.argv[0] = "karaula"
main()
