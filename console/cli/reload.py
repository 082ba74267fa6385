"""`karaula reload`: the daemon reads the inventory and the playbooks anew, or says every mistake in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from console.cli.session import Session, talks

if TYPE_CHECKING:
    from console.terminal.shapes import Reloaded

WORDS = ("added", "removed", "changed", "others")  # the last are no subjects: schedules, notify, playbooks …


@click.command()
@talks
def reload(session: Session) -> None:
    """Read the inventory and the playbooks anew, without a pause.

    What stays keeps its status, alarms and history; what is new starts UNKNOWN; runs under way keep their plans. With
    any mistake nothing changes: each is printed, the old inventory goes on, and an alarm stands until it is mended.
    SIGHUP to the daemon does the same, and tells its log.

    Exit code 0: done; 1: mistakes; 3: a run under way forbids it.

    \b
    Example:
      karaula check
      karaula reload
    """  # noqa: D301 - click's mark
    done: Reloaded = session.post("/api/reload", {})
    screen = session.screen
    screen.document({"reload": done})
    listed = (done["added"], done["removed"], done["changed"], done["others"])
    for word, names in zip(WORDS, listed, strict=True):
        for name in names:
            screen.line(f"{'changed' if word == 'others' else word:8} {name}")
    counts = ", ".join(f"{len(names)} {word}" for word, names in zip(WORDS, listed, strict=True) if names)
    screen.line(f"reloaded: {counts}" if counts else "reloaded: nothing has changed")
    for note in done["notes"]:
        screen.note(note)
