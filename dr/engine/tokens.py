"""Fencing tokens: each is above all that were handed out here or seen at the databases of the system.

A token is drawn when a run begins, and anew by whoever drives the run after a restart or a lost lease: what was sent
under the old one then does nothing more at a resource that has seen the new one. It is never drawn above the token of
somebody else who has acted on the system meanwhile: such a run may not go on (guard ``lease``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dr.engine.orchestrator import Orchestrator
    from dr.journal.run import Run

Seen = Callable[[str], int]
Known = Callable[[str], bool]


class Tokens:
    """Draws tokens for the runs of an orchestrator."""

    def __init__(self, orchestrator: Orchestrator, seen: Seen, known: Known) -> None:
        """``seen(system)`` is the highest token found at its databases; ``known(system)``: they were asked for it."""
        self._orchestrator = orchestrator
        self._seen = seen
        self._known = known
        self._last = 0

    def next(self, run: Run) -> int:
        """Return a token that is above all others, and not below the lease's epoch."""
        self._last = self.above(run.system)
        return self._last

    def above(self, system: str) -> int:
        """Return the token that would be drawn next; it is not handed out."""
        epoch = self._orchestrator.tenancy().epoch
        return max(self._of(system), epoch - 1, self._handed_out()) + 1

    def handed_out(self, system: str) -> int:
        """Return the highest token that a run of the system was given, so far as the journal can be read; 0: none."""
        of_runs = (run.token for run in self._orchestrator.runs() if run.system == system)
        return max((0, *of_runs, *(story.token for story in self._orchestrator.held.damaged.values())))

    def seen(self, system: str) -> int:
        """Return the highest token that was found at the system's databases; 0: none."""
        return self._of(system)

    def known(self, run: Run) -> bool:
        """Tell whether it is known what the databases have seen, as far as the run gives them orders."""
        return not run.plan.attended or self._known(run.system)

    def overtaken(self, run: Run) -> int:
        """Return the token that the databases have seen and that nobody here handed out; 0: none that concerns it."""
        seen = self._of(run.system) if run.plan.attended else 0
        return seen if seen > self._handed_out() else 0

    def _of(self, system: str) -> int:
        return self._seen(system) if system in self._orchestrator.world.inventory.systems else 0

    def _handed_out(self) -> int:
        return max(self._last, self._orchestrator.held.token)
