"""``karaula`` whose process kills itself (SIGKILL) at one write of its journal: before it, or just after it is durable.

Used as ``KARAULA_TEST_CRASH=before:7 python crashing_daemon.py serve …``; only runs of the named system count.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

from console.main import main
from dr.journal.event import Event
from dr.journal.sqlite import SqliteJournal, StepOutput

when, _, number = os.environ["KARAULA_TEST_CRASH"].partition(":")
left = int(number)
append = SqliteJournal.append


def crashing_append(
    self: SqliteJournal, run_id: str, seq: int, events: Sequence[Event], output: StepOutput | None = None
) -> None:
    global left  # noqa: PLW0603 - one countdown a process
    left -= 1
    if left == 0 and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    append(self, run_id, seq, events, output)
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)


SqliteJournal.append = crashing_append  # type: ignore[method-assign]  # that is the point
sys.argv[0] = "karaula"
main()
