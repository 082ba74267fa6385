"""``karaula`` whose process kills itself (SIGKILL) at one write of its journal: before it, or just after it is durable.

Used as ``KARAULA_TEST_CRASH=before:StepStarted promote:ncts python crashing_daemon.py serve …``: before the write that
begins step promote of runs of ``ncts``. Which events share a write is a matter of moments, so a write is named by any
event in it. ``count:FILE:ncts`` kills nothing and leaves a line in FILE for every such event.
"""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from console.main import main
from dr.journal.event import Event, GuardRuled
from dr.journal.sqlite import SqliteJournal, StepOutput

when, what, system = os.environ["KARAULA_TEST_CRASH"].split(":")
told: Counter[str] = Counter()
append = SqliteJournal.append


def marks(events: Sequence[Event]) -> list[str]:
    """Name the events, but for guards' answers: ``VotesHeard``, ``StepStarted promote``, ``VotesHeard (2)``."""
    found = []
    for event in events:
        if isinstance(event, GuardRuled):
            continue
        name = f"{type(event).__name__} {getattr(event, 'step', '')}".strip()
        told[name] += 1
        found.append(name if told[name] == 1 else f"{name} ({told[name]})")
    return found


def crashing_append(
    self: SqliteJournal, run_id: str, seq: int, events: Sequence[Event], outputs: Sequence[StepOutput] = ()
) -> None:
    if not run_id.startswith(f"{system}-"):
        append(self, run_id, seq, events, outputs)
        return
    here = marks(events)
    if when == "before" and what in here:
        os.kill(os.getpid(), signal.SIGKILL)
    append(self, run_id, seq, events, outputs)
    if when == "after" and what in here:
        os.kill(os.getpid(), signal.SIGKILL)
    if when == "count":
        with Path(what).open("a", encoding="utf-8") as lines:
            lines.writelines(f"{mark}\n" for mark in here)


SqliteJournal.append = crashing_append  # type: ignore[method-assign]  # that is the point
sys.argv[0] = "karaula"
main()
