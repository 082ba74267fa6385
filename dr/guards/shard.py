"""A daemon that watches only a part of the estate does no recovery: the first of them does, and it alone."""

from __future__ import annotations

from dr.guard import Facts, Guard, Ruling, Verdict
from dr.journal.run import Run

NAME = "shard"


def only_on_the_first(shard: str) -> Guard:
    """Return the guard of a daemon that is started with ``--shard`` ``2/5``, and not the first."""

    def elsewhere(run: Run, facts: Facts, step: str | None, now: float) -> Verdict:
        """Refuse every run."""
        del facts, step, now
        sentence = (
            f"this daemon only watches (shard {shard}); runs are made by the daemon of shard 1, which sees all of "
            f"{run.system}: ask there"
        )
        return Verdict(NAME, Ruling.REFUSE, "other-shard", sentence)

    return elsewhere
