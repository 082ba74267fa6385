"""What every command that moves a run does afterwards: watch it, show it, end with its exit code."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from console.cli.session import Session

if TYPE_CHECKING:
    from console.terminal.shapes import Run

F = TypeVar("F", bound=Callable[..., Any])


def no_wait_option(function: F) -> F:
    """Add ``--no-wait``."""
    return click.option("--no-wait", is_flag=True, help="Return at once instead of watching the run to its end.")(
        function
    )


def watched(session: Session, run: Run, *, no_wait: bool = False, good: frozenset[str] = frozenset()) -> None:
    """Watch the run, then end the command with its exit code; a state in ``good`` is what was wanted.

    Raises ClientError and click's Exit.
    """
    from console.terminal import exits
    from console.terminal.changes import changes
    from console.terminal.follow import follow
    from console.terminal.report_view import measured
    from console.terminal.run_view import next_commands

    screen = session.screen
    if no_wait:
        screen.document({"run": run})
        for sentence in changes(None, run, screen):
            screen.line(sentence)
        if not run["final"]:
            screen.line(f"  karaula run watch {run['id']}   (watch it to its end)")
        return
    ended = follow(session, run)
    screen.document({"run": ended})
    if ended["final"] and ended["started_at"] is not None and not screen.as_json:
        report = session.get(f"/api/runs/{ended['id']}/report.json")
        screen.say("", measured(report))
    if screen.live:
        screen.say(*next_commands(ended))
    code = exits.DONE if ended["state"] in good else exits.of_run(ended["state"])
    click.get_current_context().exit(code)
