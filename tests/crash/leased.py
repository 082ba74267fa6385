"""A recovery half of its own in a process, whose one step acts for ever: it writes a line twenty times a second.

``python leased.py FOLDER``: the lines are ``ATTEMPT EPOCH`` in FOLDER/acts; the lease lasts three seconds. Under its
first lease it stops itself (SIGSTOP) in the midst of waiting between two lines: who wakes it finds both the next line
and the end of the lease due.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from orchestrator_kit import INVENTORY, TEXTS, Act, acts, playbooks, world_of

from dr.action import Context, Done, Holds, Seen
from dr.engine.orchestrator import Orchestrator, Request, Rules
from dr.engine.tenure import local_tenure
from dr.guards import RUN_GUARDS, STEP_GUARDS
from dr.journal.sqlite import SqliteJournal
from monitor.clock import RealClock
from monitor.errors import StateError
from monitor.inventory.recovery import LeaseTimes

FOLDER = Path(sys.argv[1])
TIMES = LeaseTimes(ttl_s=3.0, loop_wait_s=0.5, retry_timeout_s=1.0)


async def main() -> None:
    """Hold the lease, act, and say what became of it."""
    journal = SqliteJournal(FOLDER / "journal.sqlite")
    clock: RealClock = RealClock()

    async def act(context: Context) -> Done:
        count = 0
        with (FOLDER / "acts").open("a", encoding="ascii") as lines:
            while True:
                lines.write(f"{context.attempt} {orchestrator.tenancy().epoch}\n")
                lines.flush()
                count += 1
                if (count, context.attempt) == (20, 1):
                    asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGSTOP)
                await asyncio.sleep(0.05)

    async def look(context: Context) -> Seen:
        return Seen(Holds.NO, "it never ends")

    actions = acts(write=Act("write", ("backup", "written"), act, look))
    known: object = actions
    rules = Rules(playbooks(FOLDER / "playbooks", TEXTS), known, RUN_GUARDS, STEP_GUARDS, "inventory")  # type: ignore[arg-type]  # a test's actions
    world = world_of(clock, None, INVENTORY)  # type: ignore[arg-type]  # the real clock
    orchestrator = Orchestrator(journal, world, rules, epoch_seen=lambda _system: 0)
    tenure = local_tenure(FOLDER, TIMES, orchestrator)
    await tenure.start()
    await orchestrator.start()
    await orchestrator.submit(Request("backup", "ncts", "ana"))
    await asyncio.Event().wait()


try:
    asyncio.run(main())
except StateError as error:
    sys.exit(str(error))
