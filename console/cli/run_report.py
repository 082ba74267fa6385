"""`karaula run report`: what a run did and what was measured, as text, JSON, or a page to keep."""

from __future__ import annotations

from pathlib import Path

import click

from console.cli.run_show import found_run
from console.cli.session import Session, complete_run, talks


@click.command()
@click.argument("run", required=False, shell_complete=complete_run)
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Save it as one self-contained page.")
@click.option("--json", "as_json", is_flag=True, help="The whole report as JSON (as --output json).")
@talks
def report(session: Session, run: str | None, html: Path | None, as_json: bool) -> None:
    """Show or save what a run did and what was measured.

    \b
    Example:
      karaula run report
      karaula run report ncts-failover-20261124-013000 --html failover.html
      karaula run report --json > failover.json
    """  # noqa: D301 - click's mark
    from console.terminal.report_view import report_view

    session.screen.as_json = session.screen.as_json or as_json
    found = found_run(session, run)
    answer = session.get(f"/api/runs/{found['id']}/report.json")
    session.screen.document({"report": answer})
    if html is not None:
        page = session.client.text(f"/api/runs/{found['id']}/report.html")
        try:
            html.write_text(page, encoding="utf-8")
        except OSError as error:
            raise click.UsageError(f"{html} cannot be written: {error.strerror}") from error
        session.screen.line(f"saved as {html}")
        return
    session.screen.say(*report_view(answer, session.screen))
