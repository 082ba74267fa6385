"""`karaula calendar`: what is due next and what became of earlier slots."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import click

from console.cli.session import Session, talks

if TYPE_CHECKING:
    from console.terminal.shapes import CalendarAnswer


@click.command()
@click.option("--slots", type=click.IntRange(0, 100), default=10, show_default=True, help="How many earlier slots.")
@talks
def calendar(session: Session, slots: int) -> None:
    """Show what is due next and what became of earlier slots.

    \b
    Example:
      karaula calendar
      karaula calendar --slots 100 | grep missed
    """  # noqa: D301 - click's mark
    from console.terminal.screen import state, table
    from console.terminal.words import age

    answer = cast("CalendarAnswer", session.get("/api/calendar"))
    screen = session.screen
    screen.document({**answer, "slots": answer["slots"][:slots]})
    due = sorted(answer["upcoming"].items(), key=lambda item: item[1])
    rows = [(job, screen.moment(at), age(screen.now - at)) for job, at in due]
    screen.say(table(("JOB", "DUE", f"({screen.zone})"), rows) if rows else "nothing is scheduled in the inventory")
    past = [
        (slot["job"], screen.moment(slot["due"]), state(slot["state"]), slot["run_id"] or slot["reason"])
        for slot in answer["slots"][:slots]
    ]
    if past:
        screen.say("", table(("EARLIER", "DUE", "BECAME", "RUN OR REASON"), past))
