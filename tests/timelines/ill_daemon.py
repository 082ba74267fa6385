"""``karaula`` that falls ill when it is told to: SIGUSR1 blocks its event loop for some seconds, SIGUSR2 ends the
evaluation of states.

``KARAULA_TEST_BLOCK_S`` says for how long.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time

from console.main import main
from monitor import watch
from monitor.watch import Watch

start = Watch.start


async def starting(self: Watch) -> None:
    await start(self)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, time.sleep, float(os.environ["KARAULA_TEST_BLOCK_S"]))
    assert self._ticking is not None
    loop.add_signal_handler(signal.SIGUSR2, self._ticking.cancel)


watch.EVALUATION_WITHIN_S = 5.0
Watch.start = starting  # type: ignore[method-assign]  # that is the point
sys.argv[0] = "karaula"
main()
