"""`karaula sla`: a month's service levels, as a table, CSV, JSON, and a report to send to an operator."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

import click

from console.cli.lazy import LazyGroup
from console.cli.session import Session, talks

if TYPE_CHECKING:
    from console.terminal.sla_shapes import SlaAnswer

COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "excuse": ("console.cli.sla_enter:excuse", "Accept an operator's excuse for lost time."),
        "maintenance": ("console.cli.sla_enter:maintenance", "Enter maintenance that was agreed with the operator."),
        "withdraw": ("console.cli.sla_enter:withdraw", "Take an entry back; it stays to be read."),
        "entries": ("console.cli.sla_enter:entries", "List what was entered, withdrawn entries too."),
    }
)
FILES = (
    ("csv", "/api/sla/figures.csv"),
    ("outages", "/api/sla/outages.csv"),
    ("json", "/api/sla/data.json"),
    ("html", "/api/sla/report.html"),
)
TARGET = click.Path(dir_okay=False, allow_dash=True, path_type=Path)


@click.command(cls=LazyGroup, where=COMMANDS, invoke_without_command=True)
@click.option("--month", default="", metavar="2026-10", help="The month; the present one where it is left out.")
@click.option("--operator", default="", metavar="OPERATOR", help="The links of this operator alone.")
@click.option("--csv", type=TARGET, help="Save a line for each link, crossing and operator (- prints it).")
@click.option("--outages", type=TARGET, help="Save a line for each outage, as CSV (- prints it).")
@click.option("--json", type=TARGET, help="Save the data file, whose SHA-256 the report names (- prints it).")
@click.option("--html", type=TARGET, help="Save the report to send to an operator (- prints it).")
@talks
def sla(session: Session, month: str, operator: str, **files: Path | None) -> None:
    """Show how links, crossings and operators kept what was agreed.

    Availability = available / (period - agreed maintenance - excused - unknown), rounded down; beside it what it is
    at worst and at best, if all unknown time was lost or none. A month is closed some minutes after its end; from then
    on its figures stay as they are, and an entry about it makes a new revision.

    \b
    Example:
      karaula sla
      karaula sla --month 2026-10 --operator operator-a
      karaula sla --month 2026-10 --operator operator-a --html report.html
      karaula sla --month 2026-10 --csv - | column -s, -t
    """  # noqa: D301 - click's mark
    from console.terminal.sla_view import sla_view

    if click.get_current_context().invoked_subcommand is not None:
        return
    query = {name: value for name, value in (("month", month), ("operator", operator)) if value}
    wanted = {name: path for name, path in files.items() if path is not None}
    for name, path in FILES:
        if name in wanted:
            _save(session, path, query, wanted[name])
    if wanted:
        return
    answer = cast("SlaAnswer", session.get("/api/sla", **query))
    session.screen.document(cast("Mapping[str, Any]", answer))
    session.screen.say(*sla_view(answer, session.screen))


def _save(session: Session, path: str, query: Mapping[str, str], target: Path) -> None:
    from urllib.parse import urlencode

    body = session.client.text(f"{path}?{urlencode(query)}" if query else path)
    if str(target) == "-":
        click.echo(body, nl=False)
        return
    try:
        target.write_bytes(body.encode())
    except OSError as error:
        raise click.UsageError(f"{target} cannot be written: {error.strerror}") from error
    session.screen.line(f"saved as {target}")
