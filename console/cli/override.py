"""`karaula override`: put one rule out of force for one system, for a time, with a reason; most need two persons."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from console.cli.pause import Span
from console.cli.session import Session, segment, talks

if TYPE_CHECKING:
    from console.terminal.shapes import Override


@click.command()
@click.argument("rule", required=False)
@click.argument("system", required=False)
@click.option("--for", "for_s", type=Span("24h"), metavar="TIME", help="How long: 30m, 2h; at most 24h.")
@click.option("--reason", default="", help="Why; it is journaled and shown to everybody.")
@click.option("--confirm", "confirmed", metavar="NUMBER", help="Agree to this override as the second person.")
@click.option("--end", "ended", metavar="NUMBER", help="Take this override back.")
@talks
def override(
    session: Session,
    rule: str | None,
    system: str | None,
    for_s: float | None,
    reason: str,
    confirmed: str | None,
    ended: str | None,
) -> None:
    """Put RULE out of force for SYSTEM for a while. Without RULE: the overrides that stand.

    One person may override blackout and readiness. Every other rule needs a second person, who is neither the one that
    overrides nor the one that asked for the run: until then the override counts for nothing. It ends by itself.

    \b
    Example:
      karaula override blackout ncts --for 1h --reason "the vendor is here"
      karaula override --confirm 3 --as boris
      karaula override --end 3
      karaula override
    """  # noqa: D301 - click's mark
    from console.terminal import override_view

    screen = session.screen
    if confirmed is not None or ended is not None:
        if rule is not None or (confirmed is not None and ended is not None):
            raise click.UsageError("--confirm NUMBER and --end NUMBER stand alone")
        number, word = (confirmed, "confirm") if confirmed is not None else (ended, "end")
        path = f"/api/overrides/{segment((number or '').removeprefix('override/'))}/{word}"
        made: Override = session.post(path, {"reason": reason})
        screen.document({"override": made})
        if confirmed is not None:
            screen.line(override_view.said(made, screen))
        else:
            screen.line(override_view.over(made, session.get("/api/overrides")))
        return
    if rule is None:
        found: list[Override] = session.get("/api/overrides")
        screen.document({"overrides": found})
        for line in [override_view.said(one, screen) for one in found] or ["nothing is overridden"]:
            screen.line(line)
        return
    if system is None or for_s is None or not reason.strip():
        given = {"SYSTEM": system, "--for TIME": for_s, "--reason TEXT": reason.strip()}
        lacks = ", ".join(name for name, value in given.items() if not value)
        raise click.UsageError(f"an override needs RULE SYSTEM --for TIME --reason TEXT; here is no {lacks}")
    asked: Override = session.post("/api/overrides", {"rule": rule, "system": system, "reason": reason, "for_s": for_s})
    screen.document({"override": asked})
    screen.line(override_view.said(asked, screen))
