"""`karaula run report`: what a run did and what was measured, as text, JSON, or a page to keep."""

from __future__ import annotations

from pathlib import Path

import click

from console.cli import joint
from console.cli.run_show import found_run
from console.cli.session import Session, complete_run, talks


@click.command()
@click.argument("run", required=False, shell_complete=complete_run)
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Save it as one self-contained page.")
@click.option("--pdf", type=click.Path(dir_okay=False, path_type=Path), help="Save it as a PDF, to print or to file.")
@click.option("--json", "as_json", is_flag=True, help="The whole report as JSON (as --output json).")
@talks
def report(session: Session, run: str | None, html: Path | None, pdf: Path | None, as_json: bool) -> None:
    """Show or save what a run did and what was measured; of a joint run the whole, with its members.

    \b
    Example:
      karaula run report
      karaula run report ncts-failover-20261124-013000 --html failover.html
      karaula run report ncts-failover-20261124-013000 --pdf failover.pdf
      karaula run report --json > failover.json
      karaula run report joint-failover-20261124-013000 --pdf all.pdf
    """  # noqa: D301 - click's mark
    from console.terminal.joint_view import report_view as joint_report_view
    from console.terminal.report_view import report_view

    session.screen.as_json = session.screen.as_json or as_json
    whole = run is not None and joint.meant(run)
    where = joint.report_of(session, run or "") if whole else f"/api/runs/{found_run(session, run)['id']}/report"
    answer = session.get(f"{where}.json")
    session.screen.document({"report": answer})
    for form, path in (("html", html), ("pdf", pdf)):
        if path is None:
            continue
        content = session.client.file(f"{where}.{form}")
        try:
            path.write_bytes(content)
        except OSError as error:
            raise click.UsageError(f"{path} cannot be written: {error.strerror}") from error
        session.screen.line(f"saved as {path}")
    if html is not None or pdf is not None:
        return
    view = joint_report_view if whole else report_view
    session.screen.say(*view(answer, session.screen))
