"""`karaula alarms`: the alarms that stand, or the newest of all."""

from __future__ import annotations

import click

from console.cli.session import Session, talks


@click.command()
@click.option("--history", is_flag=True, help="Also those that were cleared.")
@talks
def alarms(session: Session, history: bool) -> None:
    """Show the alarms that stand.

    \b
    Example:
      karaula alarms
      karaula alarms --history --output json
    """  # noqa: D301 - click's mark
    from console.terminal import status_view

    found = session.get("/api/alarms", history=history)
    session.screen.document({"alarms": found})
    session.screen.say(status_view.alarms(found, session.screen) if found else "no alarm stands")
