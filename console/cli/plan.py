"""`karaula plan`: what a run would do, with every argument resolved and every guard asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from console.cli import joint
from console.cli.session import Session, complete_system, talks

if TYPE_CHECKING:
    from console.terminal.ahead_view import Ahead
    from console.terminal.shapes import Plan

F = TypeVar("F", bound=Callable[..., Any])
ANY = ""
PLAYBOOKS = ("failover", "switchover", "reprotect", "failback", "drill", "backup", "verify")


def complete_playbook(_ctx: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
    """Complete a playbook of those that every estate has."""
    return [name for name in PLAYBOOKS if name.startswith(typed)]


def _settings(_ctx: click.Context, _parameter: click.Parameter, typed: tuple[str, ...]) -> dict[str, str]:
    found = dict(one.partition("=")[::2] for one in typed)
    for one in typed:
        if "=" not in one:
            raise click.BadParameter(f"'{one}' is not NAME=VALUE")
    return found


def set_option(function: F) -> F:
    """Add ``--set NAME=VALUE``."""
    return click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="NAME=VALUE",
        callback=_settings,
        help="A parameter of the playbook; may be given several times.",
    )(function)


def forced_option(playbook: str) -> Callable[[F], F]:
    """Add ``--forced`` to what can be forced: a failover."""
    if playbook not in {"failover", ANY}:
        return lambda function: function
    return click.option("--forced", is_flag=True, help="The protected site is lost: leave out what is asked of it.")


@click.command()
@click.argument("playbook", shell_complete=complete_playbook)
@click.argument("systems", nargs=-1, required=True, metavar="SYSTEM...|all", shell_complete=complete_system)
@set_option
@forced_option(ANY)
@click.option("--look", is_flag=True, help="Also look at what each step would meet now; takes some seconds.")
@talks
def plan(
    session: Session, playbook: str, systems: tuple[str, ...], settings: dict[str, str], forced: bool, look: bool
) -> None:
    """Show what a run would do; change nothing.

    Each step with its arguments, what it waits for, and what the guards would say if you asked for the run now. Of
    several systems, or of all, the order in which they would be moved.

    With --look the world is asked as well: of a step that changes something, whether that is so already; of one that
    only looks and comes before any change, whether the run would get past it.

    \b
    Example:
      karaula plan failover ncts
      karaula plan switchover ncts --look
      karaula plan failover all
      karaula plan drill ite --output json
    """  # noqa: D301 - click's mark
    show_plan(session, playbook, systems, {"settings": settings, "forced": forced}, look=look)


def show_plan(
    session: Session, playbook: str, systems: tuple[str, ...], wish: Mapping[str, Any], *, look: bool
) -> None:
    """Ask for the plan and show it; with ``look`` also what it would meet. Raises ClientError."""
    from console.terminal.ahead_view import ahead_view
    from console.terminal.readiness_view import readiness_view
    from console.terminal.run_view import plan_view

    if joint.several(systems):
        joint.show_plan(session, playbook, systems, wish, look=look)
        return
    ask = {"playbook": playbook, "system": systems[0], **wish}
    found = cast("Plan", session.post("/api/plans", ask))
    met: list[Ahead] = session.post("/api/looks", ask) if look else []
    session.screen.document({"plan": found, **({"looks": met} if look else {})})
    session.screen.say(*plan_view(found, found["expected"]))
    if look:
        session.screen.say("", *ahead_view(found["system"], met))
    if found["readiness"] is not None:
        session.screen.say("", *readiness_view(found["readiness"]))
