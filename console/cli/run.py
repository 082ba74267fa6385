"""`karaula run …`: the group of commands about one run."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import click

from console.cli.lazy import LazyGroup

COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "show": ("console.cli.run_show:show", "Show a run as it stands."),
        "watch": ("console.cli.run_show:watch", "Watch a run until it ends."),
        "approve": ("console.cli.run_approve:approve", "Read a waiting run's plan and say yes."),
        "accept-loss": ("console.cli.run_decide:accept_loss", "Accept what a failover would lose, and go on."),
        "deny": ("console.cli.run_decide:deny", "Say no to a waiting run."),
        "answer": ("console.cli.run_decide:answer", "Answer the question that a run asks."),
        "pause": ("console.cli.run_decide:pause", "Let no new step of a run begin."),
        "resume": ("console.cli.run_decide:resume", "Let a paused run go on from where it stopped."),
        "retry": ("console.cli.run_decide:retry", "Do one failed or unknown step again and go on."),
        "ignore": ("console.cli.run_decide:ignore", "Pass over one failed or unknown step and go on."),
        "go-on": ("console.cli.run_decide:go_on", "Let begin what waits for a system whose run did not succeed."),
        "undo": ("console.cli.run_decide:undo", "End a run and take back what it did."),
        "cancel": ("console.cli.run_decide:cancel", "End a run; its final steps are still done."),
        "report": ("console.cli.run_report:report", "Show or save what a run did and what was measured."),
    }
)


@click.command(cls=LazyGroup, where=COMMANDS)
def run() -> None:
    """Look at one run and decide about it.

    RUN is a run's id as 'karaula runs' shows it, or the beginning of one, such as the system; where it may be left
    out, the newest. A joint run (of several systems) is meant where it begins with 'joint-'.

    \b
    Example:
      karaula run show
      karaula run approve ncts-failover-20261124-013000 --as ana
      karaula run retry ncts-failover-20261124-013000 promote
    """  # noqa: D301 - click's mark
