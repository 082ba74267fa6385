"""`karaula findings` and `karaula finding …`: what runs found, who sees to it until when, and what became of it."""

from __future__ import annotations

from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from console.cli.session import Session, complete_run, complete_system, reasoned, segment, talks

if TYPE_CHECKING:
    from console.terminal.finding_shapes import Finding, FindingDetail


class Day(click.ParamType[date]):
    """A day: 2026-12-10."""

    name = "day"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """Return the day; fail with a sentence."""
        if isinstance(value, date):
            return value
        try:
            return date.fromisoformat(str(value))
        except ValueError:
            self.fail(f"'{value}' is no day; write it like 2026-12-10", param, ctx)


@click.command()
@click.option("--all", "everything", is_flag=True, help="Also those that are closed or accepted.")
@talks
def findings(session: Session, everything: bool) -> None:
    """List the findings that somebody still has to see to, the worst first.

    What the report of a run finds is entered by itself; what people find they enter: karaula finding add.

    \b
    Example:
      karaula findings
      karaula findings --all --output json
    """  # noqa: D301 - click's mark
    from console.terminal.finding_view import findings_table

    found: list[Finding] = session.get("/api/findings", everything=everything)
    session.screen.document({"findings": found})
    session.screen.say(*findings_table(found, session.screen))


@click.group()
def finding() -> None:
    """Say what becomes of one finding.

    An action has an owner and a day; what was done is closed by another person.

    \b
    Example:
      karaula finding agree 3 "second DNS" --owner ana --due 2026-12-10
      karaula finding done 3 "change 4711"
      karaula finding close 3 --as boris
    """  # noqa: D301 - click's mark


@finding.command()
@click.argument("number")
@talks
def show(session: Session, number: str) -> None:
    """Show one finding with all that became of it.

    \b
    Example:
      karaula finding show 3
    """  # noqa: D301 - click's mark
    from console.terminal.finding_view import history

    found: FindingDetail = session.get(f"/api/findings/{segment(number)}")
    _shown(session, found)
    session.screen.say(*history(found, session.screen))


@finding.command()
@click.argument("system", shell_complete=complete_system)
@click.argument("what")
@click.option("--critical", is_flag=True, help="It could cost the recovery.")
@click.option("--run", default="", shell_complete=complete_run, help="The run in which it was found.")
@talks
def add(session: Session, system: str, what: str, critical: bool, run: str) -> None:
    """Enter what a person found in an exercise or in an audit.

    \b
    Example:
      karaula finding add ncts "the phone list is old" --critical
    """  # noqa: D301 - click's mark
    body = {"system": system, "what": what, "run": run, "severity": "critical" if critical else "warning"}
    _shown(session, session.post("/api/findings", body))


@finding.command()
@click.argument("number")
@click.argument("what")
@click.option("--owner", required=True, help="Who does it.")
@click.option("--due", type=Day(), required=True, metavar="DAY", help="The last day for it: 2026-12-10.")
@talks
def agree(session: Session, number: str, what: str, owner: str, due: date) -> None:
    """Agree on an action against it; the newest one counts.

    \b
    Example:
      karaula finding agree 3 --owner ana --due 2026-12-10 "second DNS"
    """  # noqa: D301 - click's mark
    session.get(f"/api/findings/{segment(number)}")  # and so the estate's time zone is known
    end = datetime.combine(due, time.max, ZoneInfo(session.client.zone))
    _follow(session, number, "agree", text=what, owner=owner, due_at=end.timestamp())


@finding.command()
@click.argument("number")
@click.argument("evidence")
@talks
def done(session: Session, number: str, evidence: str) -> None:
    """Say that the action was done, and where that can be seen.

    \b
    Example:
      karaula finding done 3 "change 4711"
    """  # noqa: D301 - click's mark
    _follow(session, number, "done", text=evidence)


@finding.command()
@click.argument("number")
@click.option("--comment", default="", help="What you looked at.")
@talks
def close(session: Session, number: str, comment: str) -> None:
    """Close it, as another person than the one who did the work.

    \b
    Example:
      karaula finding close 3 --comment "seen in the drill"
    """  # noqa: D301 - click's mark
    _follow(session, number, "close", text=comment)


@finding.command()
@click.argument("number")
@click.option("--reason", required=True, callback=reasoned, help="Why nothing is done.")
@talks
def accept(session: Session, number: str, reason: str) -> None:
    """Take the risk as it is.

    \b
    Example:
      karaula finding accept 3 --reason "replaced in spring"
    """  # noqa: D301 - click's mark
    _follow(session, number, "accept", text=reason)


@finding.command()
@click.argument("number")
@click.option("--reason", required=True, callback=reasoned, help="Why it is not over.")
@talks
def reopen(session: Session, number: str, reason: str) -> None:
    """Open it again.

    \b
    Example:
      karaula finding reopen 3 --reason "it came back"
    """  # noqa: D301 - click's mark
    _follow(session, number, "reopen", text=reason)


def _follow(session: Session, number: str, word: str, **body: Any) -> None:
    _shown(session, session.post(f"/api/findings/{segment(number)}/{word}", body))


def _shown(session: Session, found: Finding) -> None:
    from console.terminal.finding_view import finding_lines

    session.screen.document({"finding": found})
    session.screen.say(*finding_lines(found, session.screen))
