"""`karaula pause` and `unpause`: nothing starts by itself; `karaula downtime`: nobody is called. Detection goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import click

from console.cli.session import Session, complete_subject, complete_system, segment, talks

if TYPE_CHECKING:
    from console.terminal.screen import Screen
    from console.terminal.shapes import Downtime, DowntimesAnswer, Pause


class Span(click.ParamType[float]):
    """A length of time with its unit: 45m, 2h, 1h30m."""

    name = "time"

    def __init__(self, most: str = "") -> None:
        """Refuse what is longer than ``most``, such as ``7d``; empty: nothing is."""
        self.most = most

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds; fail with a sentence."""
        from console.terminal.words import parse_span
        from monitor.yamlfile import shorten

        if isinstance(value, float):
            return value
        try:
            span = parse_span(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if self.most and span > parse_span(self.most):
            self.fail(f"'{shorten(str(value))}' is longer than {self.most}, which is the most", param, ctx)
        return span


@click.command()
@click.argument("system", required=False, shell_complete=complete_system)
@click.option("--for", "for_s", type=Span("7d"), metavar="TIME", help="How long: 45m, 2h, 1h30m; at most 7d.")
@click.option("--reason", default="", help="Why; it is shown to everybody.")
@talks
def pause(session: Session, system: str | None, for_s: float | None, reason: str) -> None:
    """Let nothing start by itself for SYSTEM (or all) for a while.

    Alarms and measuring go on, and a person may still start a run. Without SYSTEM: the pauses in force.

    \b
    Example:
      karaula pause ncts --for 2h --reason "storage is being replaced"
      karaula pause all --for 30m --reason "power works at main"
      karaula pause
    """  # noqa: D301 - click's mark
    screen = session.screen
    if system is None:
        found: list[Pause] = session.get("/api/pauses")
        screen.document({"pauses": found})
        for said in [_said(one, screen) for one in found] or ["nothing is paused"]:
            screen.line(said)
        return
    if for_s is None or not reason.strip():
        raise click.UsageError("a pause needs --for TIME and --reason TEXT")
    made: Pause = session.post("/api/pauses", {"system": system, "reason": reason, "for_s": for_s})
    screen.document({"pause": made})
    screen.line(f"{_said(made, screen)}; to end it: karaula unpause {system}")


@click.command()
@click.argument("system", shell_complete=complete_system)
@talks
def unpause(session: Session, system: str) -> None:
    """End the pauses of SYSTEM (or of all).

    \b
    Example:
      karaula unpause ncts
    """  # noqa: D301 - click's mark
    from console.terminal import exits

    lifted = session.delete(f"/api/pauses/{segment(system)}")["lifted"]
    session.screen.document({"system": system, "lifted": lifted})
    session.screen.line(f"{system} is not paused any more" if lifted else f"there was no pause of {system}")
    click.get_current_context().exit(exits.DONE if lifted else exits.FAILED)


@click.command()
@click.argument("subject", required=False, shell_complete=complete_subject)
@click.option("--for", "for_s", type=Span("31d"), metavar="TIME", help="How long: 45m, 2h, 1h30m; at most 31d.")
@click.option("--reason", default="", help="Why; it is shown to everybody and kept.")
@click.option("--at", "starts", default="", metavar="TIME", help="From when: '2026-11-30 02:00' in the estate's zone.")
@click.option("--owner", default="", help="Who answers for it; without this, you.")
@click.option("--end", "ending", is_flag=True, help="End the downtimes of SUBJECT (or the one of that id) now.")
@click.option("--past", "past_s", type=Span(), metavar="TIME", help="List also those that ended within this time.")
@talks
def downtime(
    session: Session,
    subject: str | None,
    for_s: float | None,
    reason: str,
    starts: str,
    owner: str,
    ending: bool,
    past_s: float | None,
) -> None:
    """Announce planned works on SUBJECT: what depends on it is covered as well.

    Everything is measured and shown as always; alarms of what is covered are not sent, and no failover is prepared for
    them. What is still wrong at the end is sent then. Without SUBJECT: the downtimes in force and ahead.

    \b
    Example:
      karaula downtime site/dr --for 2h --reason "the UPS is being replaced"
      karaula downtime site/dr --at "2026-11-30 02:00" --for 4h --reason works
      karaula downtime site/dr --end
      karaula downtime --past 7d
    """  # noqa: D301 - click's mark
    from console.terminal import downtime_view, exits

    screen = session.screen
    if subject is None:
        found = cast("DowntimesAnswer", session.get("/api/downtimes", past_s=round(past_s or 0)))
        screen.document(found)
        screen.say(*downtime_view.listed(found, screen))
        return
    if ending:
        ended: list[Downtime] = session.delete(f"/api/downtimes/{subject}")["ended"]
        screen.document({"ended": ended})
        for one in ended:
            screen.line(f"the downtime of {one['subject']} is over; what is wrong is sent from now on")
        if not ended:
            screen.line(f"there is no downtime of {subject} in force or ahead")
        click.get_current_context().exit(exits.DONE if ended else exits.FAILED)
    if for_s is None or not reason.strip():
        raise click.UsageError("a downtime needs --for TIME and --reason TEXT")
    body = {"subject": subject, "reason": reason, "for_s": for_s, "starts": starts, "owner": owner}
    made: Downtime = session.post("/api/downtimes", body)
    screen.document({"downtime": made})
    screen.line(f"{downtime_view.said(made, screen)}; to end it: karaula downtime {made['id']} --end")


def _said(pause: Pause, screen: Screen) -> str:
    what = "everything" if pause["system"] == "all" else pause["system"]
    return f"{what} is paused until {screen.moment(pause['expires_at'])} by {pause['owner']}: {pause['reason']}"
