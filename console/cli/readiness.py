"""`karaula readiness`: how ready systems are for a recovery, check by check."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import click

from console.cli.session import Session, complete_system, segment, talks

if TYPE_CHECKING:
    from console.terminal.readiness_shapes import ReadinessAnswer


@click.command()
@click.argument("system", required=False, shell_complete=complete_system)
@talks
def readiness(session: Session, system: str | None) -> None:
    """Show how ready systems are for a recovery to where they stand by.

    Each check is green, amber, red, or unknown where nobody has found out, which counts as worse than amber. Red in
    what a drill stands on (replica, machines, access, capacity) refuses drills; it never holds up what a person decides
    about production.

    Exit code 0: nothing is red; 1: something is.

    \b
    Example:
      karaula readiness
      karaula readiness ncts --output json
    """  # noqa: D301 - click's mark
    from console.terminal import exits
    from console.terminal.readiness_view import readiness_view

    answer = cast("ReadinessAnswer", session.get(f"/api/readiness/{segment(system)}" if system else "/api/readiness"))
    session.screen.document({**answer})
    for number, found in enumerate(answer["systems"]):
        session.screen.say(*([""] if number else []), *readiness_view(found))
    red = any(found["total"] == "red" for found in answer["systems"])
    click.get_current_context().exit(exits.FAILED if red else exits.DONE)
