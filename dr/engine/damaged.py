"""Runs whose journal cannot be read: said aloud, and what that means for the next run. Pure (docs/decisions/0013)."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from dr.guard import Ruling, Verdict
from dr.journal.run import Run
from dr.journal.story import Story

NAME = "journal"


def sentence(run_id: str, story: Story) -> str:
    """Say what is damaged, what that stops, and what to do."""
    whose = f"of {story.system}" if story.system else "of a system that cannot be told"
    return (
        f"the journal of run {run_id} {whose} is damaged ({story.damage}): what it did is not known, nothing starts "
        "by itself there. Look where the system is active and what is fenced, then start what is needed yourself."
    )


def verdicts(run: Run, damaged: Mapping[str, Story], systems: Collection[str]) -> list[Verdict]:
    """Return what stands against the run, nothing as a rule.

    Beside a damaged run of its system (or of one that cannot be told) it begins only when a person asked for it: the
    run may have been under way, and where the system is active may be other than the journal says.
    """
    if run.system not in systems:
        gone = f"the inventory has no system '{run.system}' any more; ask anew for one that it has"
        return [Verdict(NAME, Ruling.REFUSE, "unknown-system", gone)]
    by_person = run.origin == "person"
    return [
        Verdict(
            NAME,
            Ruling.ALLOW if by_person else Ruling.REFUSE,
            "person-despite-damage" if by_person else "damaged-run",
            sentence(run_id, story),
        )
        for run_id, story in damaged.items()
        if story.system in {"", run.system}
    ]
