"""`karaula plan`: what a run would do, with every argument resolved and every guard asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import click

from console.cli import joint
from console.cli.session import Session, complete_system, talks

if TYPE_CHECKING:
    from console.terminal.shapes import Plan

PLAYBOOKS = ("failover", "switchover", "reprotect", "failback", "drill", "backup", "verify")


def complete_playbook(_ctx: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
    """Complete a playbook of those that every estate has."""
    return [name for name in PLAYBOOKS if name.startswith(typed)]


@click.command()
@click.argument("playbook", shell_complete=complete_playbook)
@click.argument("systems", nargs=-1, required=True, metavar="SYSTEM...|all", shell_complete=complete_system)
@talks
def plan(session: Session, playbook: str, systems: tuple[str, ...]) -> None:
    """Show what a run would do; change nothing.

    Each step with its arguments, what it waits for, and what the guards would say if you asked for the run now. Of
    several systems, or of all, the order in which they would be moved.

    \b
    Example:
      karaula plan failover ncts
      karaula plan failover all
      karaula plan drill ite --output json
    """  # noqa: D301 - click's mark
    show_plan(session, playbook, systems)


def show_plan(session: Session, playbook: str, systems: tuple[str, ...]) -> None:
    """Ask for the plan and show it. Raises ClientError."""
    from console.terminal.run_view import plan_view

    if joint.several(systems):
        joint.show_plan(session, playbook, systems)
        return
    found = cast("Plan", session.post("/api/plans", {"playbook": playbook, "system": systems[0]}))
    session.screen.document({"plan": found})
    session.screen.say(*plan_view(found, found["expected"]))
