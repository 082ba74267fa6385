"""`karaula tokens`: the fencing tokens that runs were given, and that databases have seen."""

from __future__ import annotations

from typing import Any

import click

from console.cli.session import Session, talks


@click.command()
@talks
def tokens(session: Session) -> None:
    """Show, for each system, which fencing tokens were handed out and which its databases have seen.

    A host that says that its kept token is damaged is given the highest one shown here for the system, by
    karaula-gate keep FILE TOKEN (docs/targets.md). Never a lower one: what was sent before could be carried out late.

    \b
    Example:
      karaula tokens
    """  # noqa: D301 - click's mark
    from console.terminal.screen import table

    found: list[dict[str, Any]] = session.get("/api/tokens")
    session.screen.document({"tokens": found})
    rows = [(one["system"], *(str(one[name] or "none") for name in ("handed_out", "seen", "next"))) for one in found]
    session.screen.say(table(("SYSTEM", "HANDED OUT", "SEEN AT ITS DATABASES", "NEXT"), rows))
