"""`karaula rights`: who may have what done, as the daemon goes by it now."""

from __future__ import annotations

from typing import Any

import click

from console.cli.session import Session, talks

EVERYBODY = "The inventory gives no rights (docs/guards.md): whoever reaches the daemon may have everything done."
DEEDS = ("request", "approve", "steer", "override")


@click.command()
@click.argument("system", required=False)
@talks
def rights(session: Session, system: str | None) -> None:
    """Show who may have what done; with SYSTEM: for each kind of run of it, by name.

    Nobody approves what they have asked for themselves, whatever their rights.

    \b
    Example:
      karaula rights
      karaula rights ncts
    """  # noqa: D301 - click's mark
    from console.terminal.screen import table

    given: list[dict[str, Any]] = session.get("/api/rights")
    screen = session.screen
    if system is not None:
        found: list[dict[str, Any]] = session.get(f"/api/rights/{system}")
        screen.document({"system": system, "rights": found})
        if not given:
            screen.line(EVERYBODY)
        rows = [(one["kind"], *(", ".join(one[deed]) or "nobody" for deed in DEEDS)) for one in found]
        screen.say(table(("KIND", *(deed.upper() for deed in DEEDS)), rows))
        return
    screen.document({"rights": given})
    if not given:
        screen.line(EVERYBODY)
        return
    columns = ("people", "may", "kinds", "systems")
    rows = [
        (one["name"], *(", ".join(one[column]) or "all" for column in columns), "yes" if one["proven"] else "no")
        for one in given
    ]
    screen.say(table(("NAME", *(column.upper() for column in columns), "OWN ACCOUNT ONLY"), rows))
