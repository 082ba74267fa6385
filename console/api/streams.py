"""A run as a stream of server-sent events: what listens, what is kept for a slow reader, how all are let go.

The reader is told the run's whole state at each change and the lines that its steps print. A reader that falls behind
loses lines, never the newest state.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from console.api.joint_views import joint_view
from console.api.views import run_detail_view
from dr.engine.joint import JointRuns
from dr.engine.orchestrator import Orchestrator
from dr.journal.event import Event
from dr.journal.joint import Joint
from dr.journal.run import Run

KEPT = 1000
STILL_HERE_S = 15.0


class Streams:
    """The streams of one application. ``open`` is how many are read now."""

    def __init__(self) -> None:
        """Begin with none."""
        self._open: set[_Listening | _Looking] = set()

    @property
    def open(self) -> int:
        """Return how many streams are being read."""
        return len(self._open)

    def close(self) -> None:
        """End every stream: the daemon stops."""
        for listening in self._open:
            listening.end()

    async def of_run(self, orchestrator: Orchestrator, run_id: str) -> AsyncIterator[str]:
        """Yield the run's events until it is final or the daemon stops (WHATWG HTML, 9.2)."""

        def view(run: Run) -> dict[str, Any]:
            return run_detail_view(run, orchestrator.world.inventory.rights).model_dump()

        listening = _Listening(orchestrator.run(run_id), view)
        leave = orchestrator.subscribe(listening.changed, listening.heard)
        self._open.add(listening)
        try:
            while True:
                for kind, body in listening.take():
                    yield sse(kind, body)
                if listening.over:
                    return
                try:
                    await asyncio.wait_for(listening.wake.wait(), STILL_HERE_S)
                except TimeoutError:
                    yield ": still here\n\n"
        finally:
            self._open.discard(listening)
            leave()

    async def of_joint(self, joints: JointRuns, joint_id: str) -> AsyncIterator[str]:
        """Yield the joint run whenever it, or a member's run, has changed, until it is final or the daemon stops."""
        looking = _Looking(joint_id)
        leave = joints.subscribe(looking.changed)
        self._open.add(looking)
        try:
            while True:
                looking.wake.clear()
                joint = joints.joint(joint_id)
                rights = joints.orchestrator.world.inventory.rights
                yield sse("joint", joint_view(joint, joints.runs(joint), rights).model_dump())
                if looking.ended or joint.final:
                    return
                while not looking.wake.is_set():
                    try:
                        await asyncio.wait_for(looking.wake.wait(), STILL_HERE_S)
                    except TimeoutError:
                        yield ": still here\n\n"
        finally:
            self._open.discard(looking)
            leave()


class _Looking:
    """Who looks at a joint run: woken by each change, shown the newest state."""

    def __init__(self, joint_id: str) -> None:
        self.wake = asyncio.Event()
        self.ended = False
        self._id = joint_id

    def changed(self, joint: Joint) -> None:
        if joint.id == self._id:
            self.wake.set()

    def end(self) -> None:
        self.ended = True
        self.wake.set()


class _Listening:
    """What one reader has not been told yet."""

    def __init__(self, run: Run, view: Callable[[Run], dict[str, Any]]) -> None:
        self.view = view
        self.wake = asyncio.Event()
        self.over = False
        self._ended = False
        self._id = run.id
        self._newest = run
        self._told: Run | None = None
        self._waiting: list[tuple[str, Any]] = [("run", run)]

    def changed(self, run: Run, _events: Sequence[Event]) -> None:
        if run.id == self._id:
            self._newest = run
            self._put("run", run)

    def heard(self, run_id: str, step: str, attempt: int, line: str) -> None:
        if run_id == self._id:
            self._put("line", {"step": step, "attempt": attempt, "line": line})

    def end(self) -> None:
        self._ended = True
        self.wake.set()

    def _put(self, kind: str, body: Any) -> None:
        if len(self._waiting) < KEPT:
            self._waiting.append((kind, body))
        self.wake.set()

    def take(self) -> list[tuple[str, Any]]:
        """Return what happened since the last call, the newest state last if that was dropped."""
        self.wake.clear()
        taken, self._waiting = self._waiting, []
        for kind, body in taken:
            if kind == "run":
                self._told = body
        if self._told is not self._newest:
            self._told = self._newest
            taken.append(("run", self._newest))
        self.over = self._ended or self._newest.state.final
        return [(kind, self.view(body) if kind == "run" else body) for kind, body in taken]


def sse(kind: str, body: Any) -> str:
    """Return one event as it goes over the wire."""
    return f"event: {kind}\ndata: {json.dumps(body)}\n\n"
