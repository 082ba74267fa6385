"""`karaula failover|switchover|reprotect|failback|drill|backup|verify`, `karaula start`: ask for a run and watch it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from console.cli import joint
from console.cli.plan import ANY, complete_playbook, forced_option, set_option, show_plan
from console.cli.session import Session, complete_system, talks
from console.cli.watching import no_wait_option, watched

C = TypeVar("C", bound=Callable[..., Any])


def run_command(name: str) -> Callable[[C], click.Command]:
    """Make a command that asks for a run of the playbook ``name``, or (ANY) of the one that it is given.

    The function decorated gives its help alone.
    """

    def made(described: C) -> click.Command:
        @click.argument("systems", nargs=-1, required=True, metavar="SYSTEM...|all", shell_complete=complete_system)
        @click.option("--reason", default="", help="Why; it is journaled and shown to who approves.")
        @set_option
        @forced_option(name)
        @click.option("--dry-run", is_flag=True, help="Change nothing: the plan, and what it would meet now.")
        @no_wait_option
        @talks
        def command(
            session: Session,
            systems: tuple[str, ...],
            reason: str,
            settings: dict[str, str],
            dry_run: bool,
            no_wait: bool,
            *,
            playbook: str = name,
            forced: bool = False,
        ) -> None:
            wish = {"settings": settings, "forced": forced}
            if dry_run:
                show_plan(session, playbook, systems, wish, look=True)
                return
            if joint.several(systems):
                joint.ask(session, playbook, systems, reason, wish, no_wait=no_wait)
                return
            ask = {"playbook": playbook, "system": systems[0], "reason": reason, **wish}
            watched(session, session.post("/api/runs", ask), no_wait=no_wait)

        if name == ANY:
            command = click.argument("playbook", shell_complete=complete_playbook)(command)
        return click.command(described.__name__, help=described.__doc__)(command)

    return made


@run_command("failover")
def failover() -> None:
    """Move a system whose site is lost to the other site.

    The lost side is fenced off first, the standby promoted, the service's name led there. It waits for the approval
    of a second person. What had not arrived at the other site is lost; the report says how much that was. Several
    systems, or all, become one joint run with one approval, in the order of what they depend on and of priorities.

    \b
    Example:
      karaula failover ncts --dry-run
      karaula failover ncts --reason "main site without power"
      karaula failover all --reason "main site without power"
      karaula failover ncts --forced --reason "main site is under water"
    """  # noqa: D301 - click's mark


@run_command("switchover")
def switchover() -> None:
    """Move a system to the other site while both are well, with nothing lost.

    The active side stops and its last declaration arrives, then it is fenced, the standby promoted, the service's
    name led there, and the old side made the standby. It waits for the approval of a second person.

    \b
    Example:
      karaula switchover ncts --dry-run
      karaula switchover ncts --reason "works on the power of the main site"
    """  # noqa: D301 - click's mark


@run_command("reprotect")
def reprotect() -> None:
    """Make the old side the standby after a failover; the service stays where it is.

    What only the old side still holds is discarded there, and counted: what the failover lost, and what was written
    there and nobody was told is accepted. It waits for the approval of a second person.

    \b
    Example:
      karaula reprotect ncts --reason "main site has power again"
    """  # noqa: D301 - click's mark


@run_command("failback")
def failback() -> None:
    """Bring a system back to its protected site, with nothing lost.

    Both sites must be well. It waits for the approval of a second person.

    \b
    Example:
      karaula failback ncts --reason "main site is repaired"
      karaula failback ncts cdeps ite --reason "main site is repaired"
    """  # noqa: D301 - click's mark


@run_command("drill")
def drill() -> None:
    """Rehearse a failover on isolated copies; production stays as it is.

    \b
    Example:
      karaula drill ncts
    """  # noqa: D301 - click's mark


@run_command("backup")
def backup() -> None:
    """Take a backup of a system's database into the vault.

    \b
    Example:
      karaula backup cdeps --reason "before the upgrade"
    """  # noqa: D301 - click's mark


@run_command("verify")
def verify() -> None:
    """Prove the newest backup: read it whole, restore it, compare what it holds.

    \b
    Example:
      karaula verify cdeps
    """  # noqa: D301 - click's mark


@run_command(ANY)
def start() -> None:
    """Ask for a run of a playbook of your own, by its name.

    The name is that of its file in the folder of playbooks, without '.yaml'; what kind it is of stands in it, and with
    that whether it waits for an approval.

    \b
    Example:
      karaula start careful-switchover ncts --reason "works on the power"
      karaula start patch-round ncts cdeps --dry-run
    """  # noqa: D301 - click's mark
