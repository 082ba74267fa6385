"""`karaula sla excuse | maintenance | withdraw | entries`: what people enter about links' time; nothing is deleted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from console.cli.session import Session, talks

if TYPE_CHECKING:
    from console.terminal.sla_shapes import SlaEntriesAnswer, SlaEntry

F = TypeVar("F", bound=Callable[..., Any])
MOMENT = '"2026-10-14 02:00"'


def _complete_link(ctx: click.Context, parameter: click.Parameter, typed: str) -> list[str]:
    from console.cli.session import complete_subject

    return [found.removeprefix("link/") for found in complete_subject(ctx, parameter, f"link/{typed}")]


def _about_a_time(function: F) -> F:
    for name, text in (("to", "Until when."), ("from", "From when, in the estate's time zone or with an offset.")):
        function = click.option(f"--{name}", f"{name}_", required=True, metavar=MOMENT, help=text)(function)
    with_reason = click.option("--reason", required=True, help="Why; it stands in the report to the operator.")
    return click.argument("link", shell_complete=_complete_link)(with_reason(function))


@click.command()
@_about_a_time
@talks
def excuse(session: Session, link: str, from_: str, to_: str, reason: str) -> None:
    """Accept an operator's excuse (force majeure) for time that LINK lost.

    Only lost time is excused; time in which the link worked stays as it is. The entry carries your name.

    \b
    Example:
      karaula sla excuse blace/primary --from "2026-10-14 02:00" \\
             --to "2026-10-14 09:30" --reason "flood at Kumanovo"
    """  # noqa: D301 - click's mark
    _enter(session, "excused", link, from_, to_, reason)


@click.command()
@_about_a_time
@talks
def maintenance(session: Session, link: str, from_: str, to_: str, reason: str) -> None:
    """Enter maintenance of LINK that was agreed with the operator.

    Its whole time is taken out of the reckoning. Works that were only announced ('karaula downtime') take nothing out.

    \b
    Example:
      karaula sla maintenance blace/primary --from "2026-10-20 01:00" \\
             --to "2026-10-20 03:00" --reason "new router"
    """  # noqa: D301 - click's mark
    _enter(session, "maintenance", link, from_, to_, reason)


@click.command()
@click.argument("number", type=click.IntRange(1))
@click.option("--reason", required=True, help="Why it is taken back.")
@talks
def withdraw(session: Session, number: int, reason: str) -> None:
    """Take entry NUMBER back: it counts no more, and stays to be read.

    \b
    Example:
      karaula sla withdraw 3 --reason "wrong link"
    """  # noqa: D301 - click's mark
    made = cast("SlaEntry", session.post(f"/api/sla/entries/{number}/withdraw", {"reason": reason}))
    session.screen.document({"entry": made})
    session.screen.line(f"entry {number} is withdrawn by entry {made['number']}")


@click.command()
@talks
def entries(session: Session) -> None:
    """List what was entered about links' time, withdrawn entries too.

    \b
    Example:
      karaula sla entries
    """  # noqa: D301 - click's mark
    from console.terminal.screen import table

    answer = cast("SlaEntriesAnswer", session.get("/api/sla/entries"))
    session.screen.document({**answer})
    rows = [
        (
            str(entry["number"]),
            entry["link"].removeprefix("link/"),
            entry["start"][:16],
            entry["end"][:16],
            _kind(entry),
            f"{entry['reason']} ({entry['by']})",
        )
        for entry in answer["entries"]
    ]
    heads = ("NO.", "LINK", "FROM", "TO", "WHAT", "REASON")
    session.screen.say(table(heads, rows, keep=4) if rows else "nothing was entered")


def _kind(entry: SlaEntry) -> str:
    if entry["kind"] == "withdrawn":
        return f"withdraws {entry['withdraws']}"
    return entry["kind"] if entry["standing"] else f"{entry['kind']}, withdrawn"


def _enter(session: Session, kind: str, link: str, start: str, end: str, reason: str) -> None:
    body = {"kind": kind, "link": link, "start": start, "end": end, "reason": reason}
    made = cast("SlaEntry", session.post("/api/sla/entries", body))
    session.screen.document({"entry": made})
    said = f"entry {made['number']}: {made['link']} from {made['start'][:19]} to {made['end'][:19]} is {kind}"
    session.screen.line(f"{said}; to take it back: karaula sla withdraw {made['number']}")
