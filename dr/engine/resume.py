"""What a journal holds that is not over."""

from __future__ import annotations

from dr.errors import IllegalEvent
from dr.journal.fold import fold_all
from dr.journal.sqlite import SqliteJournal


def unfinished(journal: SqliteJournal) -> list[str]:
    """Return the runs that are not over, and those that cannot be read, which may not be. Raises StateError."""
    found = []
    for run_id, story in journal.stories().items():
        try:
            over = not story.damage and fold_all(run_id, story.events).state.final
        except IllegalEvent:
            over = False
        if not over:
            found.append(run_id)
    return found
