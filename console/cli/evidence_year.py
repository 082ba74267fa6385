"""`karaula evidence year`: a year's exercises and recoveries, for the management review and the auditor."""

from __future__ import annotations

from pathlib import Path

import click

from console.cli.session import Session, talks


@click.command("year")
@click.argument("year", type=click.IntRange(2000, 2999))
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Save it as one self-contained page.")
@talks
def year_command(session: Session, year: int, html: Path | None) -> None:
    """Show a year's drills, recoveries and findings, and what an auditor's clauses can take from them.

    \b
    Example:
      karaula evidence year 2026
      karaula evidence year 2026 --html exercises-2026.html
    """  # noqa: D301 - click's mark
    from console.terminal.year_view import year_view

    answer = session.get(f"/api/years/{year}.json")
    session.screen.document({"year": answer})
    if html is not None:
        content = session.client.file(f"/api/years/{year}.html")
        try:
            html.write_bytes(content)
        except OSError as error:
            raise click.UsageError(f"{html} cannot be written: {error.strerror}") from error
        session.screen.line(f"saved as {html}")
        return
    session.screen.say(*year_view(answer, session.screen))
