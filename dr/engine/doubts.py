"""Guards that lack only knowledge are asked again for a while before their answer is believed.

After a restart, or in the midst of a change, nothing is observed for some seconds: a run that paused for that would
call a person for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from dr.guard import Ruling, Verdict
from monitor.clock import Clock

ASK_AGAIN_S = 1.0


class Doubts:
    """Remembers since when each step (empty: the run) is asked about; ``ask_at`` is when to ask next (wall time)."""

    def __init__(self, clock: Clock, patience_s: float) -> None:
        self._clock = clock
        self._patience_s = patience_s
        self._since: dict[str, float] = {}
        self.ask_at: float | None = None

    def hold(self, step: str, verdicts: Sequence[Verdict]) -> bool:
        """Tell whether to ask again, which is noted in ``ask_at``; else the verdicts are to be believed."""
        against = [verdict for verdict in verdicts if verdict.ruling is not Ruling.ALLOW]
        refused = [verdict for verdict in against if verdict.ruling is Ruling.REFUSE]
        return self.lacks(step, lacking=bool(refused) and all(verdict.again for verdict in refused))

    def lacks(self, what: str, *, lacking: bool) -> bool:
        """Tell whether to look again because ``what`` is not known yet, which is noted likewise."""
        if not lacking:
            self._since.pop(what, None)
            return False
        now = self._clock.monotonic()
        if now - self._since.setdefault(what, now) >= self._patience_s:
            del self._since[what]
            return False
        self.ask_at = self._clock.now() + ASK_AGAIN_S
        return True
