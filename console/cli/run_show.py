"""`karaula run show` and `karaula run watch`: a run as it stands, with its journal and what its steps printed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from console.cli import joint
from console.cli.session import Mistyped, Session, complete_run, segment, talks
from console.cli.watching import watched

if TYPE_CHECKING:
    from console.terminal.drift_view import Compared
    from console.terminal.shapes import Entry, Output, Override, Run


MANY = 1000
UNDER_WAY = frozenset({"ACCEPTED", "WAITING", "IN_PROGRESS", "PAUSED", "CANCELING", "INTERRUPTED"})
NOTHING_TO_JUDGE = frozenset({"no-promotion", "no-rule", "lease-held"})  # a step's guard that was asked for form's sake


def found_run(session: Session, run: str | None, among: frozenset[str] = frozenset()) -> Run:
    """Return the run that ``run`` begins, or the newest. Raises ClientError and Mistyped.

    When several begin so, it is the only one whose state is in ``among``: `approve ncts` means what waits.
    """
    if run is None:
        newest = session.get("/api/runs", limit=1)
        if not newest:
            raise Mistyped("there is no run yet")
        run = newest[0]["id"]
    if not run or "/" in run:
        raise Mistyped(f"'{run}' is not a run's id; 'karaula runs' lists them")
    if among:
        known = session.get("/api/runs", limit=MANY)
        meant = [one["id"] for one in known if one["id"].startswith(run) and one["state"] in among]
        if len(meant) == 1 and run not in {one["id"] for one in known}:
            run = meant[0]
    answer: Run = session.get(f"/api/runs/{segment(run)}")
    return answer


@click.command()
@click.argument("run", required=False, shell_complete=complete_run)
@click.option("--journal", is_flag=True, help="Also the journal, entry by entry.")
@click.option("--log", is_flag=True, help="Also what the steps printed.")
@talks
def show(session: Session, run: str | None, journal: bool, log: bool) -> None:
    """Show a run as it stands, and what can be done about it.

    \b
    Example:
      karaula run show
      karaula run show ncts-failover-20261124-013000 --log
    """  # noqa: D301 - click's mark
    from console.terminal import override_view
    from console.terminal.drift_view import drift_view
    from console.terminal.run_view import guards, head, next_commands, steps_table, votes

    if run is not None and joint.meant(run):
        joint.show(session, run)
        return
    found = found_run(session, run)
    entries: list[Entry] = session.get(f"/api/runs/{found['id']}/journal") if journal else []
    outputs: list[Output] = session.get(f"/api/runs/{found['id']}/outputs") if log else []
    overrides: list[Override] = session.get(f"/api/runs/{found['id']}/overrides")
    screen = session.screen
    drift: list[Compared] = session.get(f"/api/runs/{found['id']}/drift")
    more: dict[str, Any] = {"overrides": overrides, "drift": drift}
    more |= {"journal": entries} if journal else {}
    more |= {"outputs": outputs} if log else {}
    screen.document({"run": found, **more})
    screen.say(head(found, screen), "", steps_table(found["steps"], screen))
    newest = {(verdict["guard"], verdict["step"]): verdict for verdict in found["guards"]}
    judged = [verdict for verdict in newest.values() if verdict["reason"] not in NOTHING_TO_JUDGE]
    if judged:
        screen.say("", guards(judged))
    for one in overrides:
        screen.line(override_view.said(one, screen))
    screen.say(*drift_view(drift))
    screen.say(*votes(found))
    if journal:
        screen.say("", _journal(entries, session))
    for output in outputs:
        name = f"attempt {output['attempt']}" if output["attempt"] > 0 else "undo"
        screen.say("", f"-- {output['step']}, {name}")
        for line in output["text"].splitlines():
            screen.line(line)
    standing = [one for one in overrides if one["ended_at"] is None and one["expires_at"] > screen.now]
    screen.say(*next_commands(found, overrides=standing))


@click.command()
@click.argument("run", required=False, shell_complete=complete_run)
@talks
def watch(session: Session, run: str | None) -> None:
    """Watch a run until it ends.

    \b
    Example:
      karaula run watch
      karaula run watch ncts-failover-20261124-013000
    """  # noqa: D301 - click's mark
    if run is not None and joint.meant(run):
        joint.watched(session, joint.found(session, run))
        return
    watched(session, found_run(session, run, UNDER_WAY))


def _journal(entries: list[Entry], session: Session) -> Any:
    from console.terminal.screen import table

    rows = []
    for entry in entries:
        body = {key: value for key, value in entry["body"].items() if key != "plan" and value not in ("", None, {})}
        said = " ".join(f"{key}={value}" for key, value in body.items())
        rows.append((f"{entry['seq']}", session.screen.moment(entry["at"]), entry["word"], said))
    return table(("", "AT", "ENTRY", "WHAT"), rows, keep=3)
