"""`karaula status`: what is well and what is not, on one screen; or one subject in full."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, cast

import click

from console.cli.session import Mistyped, Session, complete_subject, talks

if TYPE_CHECKING:
    from console.terminal.shapes import StatusAnswer, SubjectAnswer


@click.command()
@click.argument("subject", required=False, shell_complete=complete_subject)
@click.option("--all", "everything", is_flag=True, help="List every subject, the well ones too.")
@talks
def status(session: Session, subject: str | None, everything: bool) -> None:
    """Show what is well and what is not.

    SUBJECT is a system, site, crossing, sensor, … as this command shows it; then that one is shown in full.

    \b
    Example:
      karaula status
      karaula status ncts
      karaula status link/tabanovce/backup
      karaula status --all | grep unknown
    """  # noqa: D301 - click's mark
    from console.terminal import status_view

    screen = session.screen
    answer = cast("StatusAnswer", session.get("/api/status"))
    if subject is not None:
        name = _resolved(subject, [item["subject"] for item in answer["subjects"]])
        one = cast("SubjectAnswer", session.get(f"/api/status/{name}"))
        screen.document(one)
        alarms = [alarm for alarm in answer["alarms"] if alarm["subject"] == name]
        screen.say(*status_view.in_full(one, alarms, screen))
        return
    runs = [run for run in session.get("/api/runs") if not run["final"]]
    pauses = session.get("/api/pauses")
    overrides = session.get("/api/overrides")
    screen.document({**answer, "runs": runs, "pauses": pauses, "overrides": overrides})
    people = status_view.Decided(pauses, overrides)
    screen.say(*status_view.overview(answer, runs, people, screen, everything=everything))


def _resolved(typed: str, known: list[str]) -> str:
    """Return the subject that was meant: its whole name, or what follows its kind. Raises Mistyped."""
    if typed in known:
        return typed
    found = [name for name in known if name.partition("/")[2] == typed]
    for kind in ("system/", "site/", "crossing/"):
        found = [name for name in found if name.startswith(kind)] or found
    if len(found) == 1:
        return found[0]
    if found:
        raise Mistyped(f"'{typed}' may be {', '.join(found)}; write it whole")
    names = [*known, *(name.partition("/")[2] for name in known)]
    close = difflib.get_close_matches(typed, names, n=1)
    hint = f"did you mean '{close[0]}'?" if close else "'karaula status --all' lists what is watched"
    raise Mistyped(f"nothing is watched under '{typed}'; {hint}")
