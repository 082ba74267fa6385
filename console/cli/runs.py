"""`karaula runs`: the newest runs, one line each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from console.cli.session import Session, talks

if TYPE_CHECKING:
    from console.terminal.joint_shapes import Joint
    from console.terminal.screen import Cell, Screen
    from console.terminal.shapes import RunLine


@click.command()
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many at most.")
@talks
def runs(session: Session, limit: int) -> None:
    """List the newest runs.

    \b
    Example:
      karaula runs
      karaula runs --limit 500 --output json
    """  # noqa: D301 - click's mark
    from console.terminal.screen import table

    found: list[RunLine] = session.get("/api/runs", limit=limit)
    joint: list[Joint] = session.get("/api/joint-runs", limit=limit)
    screen = session.screen
    screen.document({"runs": found, "joint_runs": joint})
    headings = ("RUN", "STATE", "STEPS", "BEGUN", "TOOK", "BY")
    lines = [*((run["accepted_at"], _row(run, screen)) for run in found)]
    lines += [(one["accepted_at"], _joint_row(one, screen)) for one in joint]
    rows = [row for _, row in sorted(lines, key=lambda line: line[0], reverse=True)[:limit]]
    screen.say(table(headings, rows) if found else "no run yet; a harmless one: karaula drill SYSTEM")


def _row(run: RunLine, screen: Screen) -> tuple[Cell, ...]:
    from console.terminal.screen import state
    from console.terminal.words import span

    begun = run["started_at"] or run["accepted_at"]
    end = run["ended_at"] if run["ended_at"] is not None else screen.now
    steps = f"{run['steps_done']}/{run['steps_total']}"
    return run["id"], state(run["state"]), steps, screen.moment(begun), span(end - begun), run["requester"]


def _joint_row(joint: Joint, screen: Screen) -> tuple[Cell, ...]:
    from console.terminal.screen import state
    from console.terminal.words import span

    begun = joint["approved_at"] or joint["accepted_at"]
    end = joint["ended_at"] if joint["ended_at"] is not None else screen.now
    runs = [member["run"] for member in joint["members"] if member["run"] is not None]
    steps = f"{sum(run['steps_done'] for run in runs)}/{sum(member['steps'] for member in joint['members'])}"
    return joint["id"], state(joint["state"]), steps, screen.moment(begun), span(end - begun), joint["requester"]
