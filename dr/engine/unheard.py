"""Requests of which the journal said that it could not write them down, and which may stand there all the same.

A commit can stand although the caller was told otherwise (``journal.sqlite``). Whoever asked was told of an error; what
stands is taken up as soon as that can be known, as a restart would, and not only then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from monitor.errors import StateError

if TYPE_CHECKING:
    from dr.engine.orchestrator import Orchestrator

PERHAPS = "it may have been written down all the same"


class Unheard:
    """The ids of such runs and joint runs; ``joint_found`` is told of a joint run that was found."""

    def __init__(self, orchestrator: Orchestrator) -> None:
        """Begin with none."""
        self._orchestrator = orchestrator
        self.ids: set[str] = set()
        self._learning = asyncio.Lock()
        self.joint_found: Callable[[str], None] = lambda _joint_id: None

    def refused(self, run_id: str, error: StateError) -> StateError:
        """Take note of a first event that could not be written; return the error to tell."""
        self.ids.add(run_id)
        return StateError(f"{error}; {PERHAPS}: look at 'karaula runs' before asking again")

    async def learn(self) -> None:
        """Take up those that stand in the journal, forget the others. Raises StateError while that cannot be known."""
        async with self._learning:  # one after the other: what is read twice would be held twice
            orchestrator, ids = self._orchestrator, sorted(self.ids)
            if not ids:
                return
            await orchestrator.held.read(ids)
            self.ids.difference_update(ids)
            for run_id in ids:
                if (run := orchestrator.held.by_id.get(run_id)) is not None:
                    orchestrator.found(run)
                elif run_id in orchestrator.held.joints:
                    self.joint_found(run_id)
