"""What a journal holds that is not over."""

from __future__ import annotations

from dr.errors import IllegalEvent
from dr.journal.fold import fold_all
from dr.journal.joint import JointAccepted, fold_all_joint
from dr.journal.sqlite import SqliteJournal
from dr.journal.story import Story


def unfinished(journal: SqliteJournal) -> list[str]:
    """Return the runs that are not over, and those that cannot be read, which may not be. Raises StateError."""
    found = []
    for run_id, story in journal.stories().items():
        try:
            over = not story.damage and _over(run_id, story)
        except IllegalEvent:
            over = False
        if not over:
            found.append(run_id)
    return found


def _over(run_id: str, story: Story) -> bool:
    if isinstance(story.events[0], JointAccepted):
        return fold_all_joint(run_id, story.events).final
    return fold_all(run_id, story.events).state.final
