"""``karaula`` whose process kills itself (SIGKILL) at one write of its journal: before it, or just after it is durable.

Used as ``KARAULA_TEST_CRASH=before:7:ncts python crashing_daemon.py serve …``: before the seventh write of runs of
``ncts``. ``count:FILE:ncts`` kills nothing and leaves a line in FILE for every such write.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from console.main import main
from dr.journal.event import Event
from dr.journal.sqlite import SqliteJournal, StepOutput

when, what, system = os.environ["KARAULA_TEST_CRASH"].split(":")
written = 0
append = SqliteJournal.append


def crashing_append(
    self: SqliteJournal, run_id: str, seq: int, events: Sequence[Event], output: StepOutput | None = None
) -> None:
    global written  # noqa: PLW0603 - one countdown a process
    if not run_id.startswith(f"{system}-"):
        append(self, run_id, seq, events, output)
        return
    written += 1
    if when == "before" and written == int(what):
        os.kill(os.getpid(), signal.SIGKILL)
    append(self, run_id, seq, events, output)
    if when == "after" and written == int(what):
        os.kill(os.getpid(), signal.SIGKILL)
    if when == "count":
        with Path(what).open("a", encoding="utf-8") as lines:
            lines.write(f"{run_id} {' '.join(type(event).__name__ for event in events)}\n")


SqliteJournal.append = crashing_append  # type: ignore[method-assign]  # that is the point
sys.argv[0] = "karaula"
main()
