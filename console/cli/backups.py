"""`karaula backups`: the backups and what was proven of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import click

from console.cli.session import Session, talks

if TYPE_CHECKING:
    from rich.text import Text

    from console.terminal.shapes import Backup, BackupsAnswer

EXPLAINED = 3


@click.command()
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many at most.")
@talks
def backups(session: Session, limit: int) -> None:
    """List the backups and what was proven of them.

    Proven is a backup that was read whole and restored, and held what it should. What counts after a loss is the age
    of the newest proven one.

    \b
    Example:
      karaula backups
    """  # noqa: D301 - click's mark
    from console.terminal.screen import cell, table
    from console.terminal.words import BAD, GOOD, age, size

    answer = cast("BackupsAnswer", session.get("/api/backups"))
    screen = session.screen
    screen.document({**answer, "backups": answer["backups"][:limit]})
    newest = [
        (system, cell(screen.moment(at), GOOD) if at else cell("none", BAD), age(screen.now - at) if at else "")
        for system, at in sorted(answer["proven_at"].items())
    ]
    screen.say(table(("SYSTEM", "NEWEST PROVEN", ""), newest))
    rows = [
        (
            backup["id"],
            screen.moment(backup["taken_at"]),
            f"{backup['records']}",
            size(backup["size_bytes"]),
            _proof(backup),
        )
        for backup in answer["backups"][:limit]
    ]
    if not rows:
        screen.say("", "no backup was taken yet; take one: karaula backup SYSTEM")
        return
    screen.say("", table(("BACKUP", "TAKEN", "RECORDS", "SIZE", "PROOF"), rows))
    failed = [backup for backup in answer["backups"][:limit] if backup["failed"]]
    for backup in failed[:EXPLAINED]:
        screen.say("", cell(f"{backup['id']}: {backup['failed']}"))


def _proof(backup: Backup) -> Text:
    from console.terminal.screen import cell
    from console.terminal.words import BAD, GOOD, QUIET

    if backup["failed"]:
        return cell("FAILED, see below", BAD)
    return cell("proven", GOOD) if backup["verified_at"] else cell("not verified yet", QUIET)
