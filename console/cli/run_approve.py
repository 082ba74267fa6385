"""`karaula run approve`: a person reads the plan and says yes to exactly that."""

from __future__ import annotations

import sys

import click

from console.cli import joint
from console.cli.run_show import found_run
from console.cli.session import Session, complete_run, talks
from console.cli.watching import no_wait_option, watched


@click.command()
@click.argument("run", shell_complete=complete_run)
@click.option("--reason", default="", help="A remark; it is journaled.")
@click.option("--yes", is_flag=True, help="Do not ask; needed without a terminal.")
@no_wait_option
@talks
def approve(session: Session, run: str, reason: str, yes: bool, no_wait: bool) -> None:
    """Read a waiting run's plan and say yes.

    The plan is shown, and you are asked. What you approve is the plan that you saw and nothing else. Who asked for
    the run cannot approve it; on a shared account say who you are with --as.

    \b
    Example:
      karaula run approve ncts-failover-20261124-013000 --as ana
      karaula run approve ncts-failover-20261124-013000 --as ana --yes --no-wait
    """  # noqa: D301 - click's mark
    from console.terminal.changes import headline
    from console.terminal.run_view import plan_view

    if joint.meant(run):
        joint.approve(session, run, reason, yes=yes, no_wait=no_wait)
        return
    found = found_run(session, run, frozenset({"WAITING"}))
    screen = session.screen
    if found["state"] == "WAITING":  # else the daemon says why not
        expected = session.get(f"/api/runs/{found['id']}/expected")
        screen.say(headline(found), "", *plan_view(found, expected), "")
        if not yes:
            _ask(session, found["id"], found["playbook"], found["system"])
    body = {"reason": reason, "plan_hash": found["plan_hash"]}
    watched(session, session.post(f"/api/runs/{found['id']}/approve", body), no_wait=no_wait)


def _ask(session: Session, run_id: str, playbook: str, system: str) -> None:
    """Ask the person at the terminal. Raises UsageError without one, and click's Exit for a no."""
    from console.terminal import exits

    if session.screen.as_json or not sys.stdin.isatty():
        raise click.UsageError("nobody can be asked without a terminal; --yes approves what was shown")
    if not click.confirm(f"Approve this {playbook} of {system} as {session.whoami()}?", default=False):
        session.screen.note(f"not approved; run {run_id} still waits")
        click.get_current_context().exit(exits.FAILED)
