"""The `karaula` command: finds the sub-command, and turns whatever goes wrong into one message and an exit code.

Nothing heavy is imported here. No traceback reaches a user: an error that was foreseen is one message on standard
error; any other is a defect, whose trace is written to a file that the message names.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NoReturn

import click

from console.cli.lazy import JSON_WANTED, LazyGroup
from console.terminal import exits
from console.version import VERSION
from monitor.errors import InventoryError, KaraulaError

COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "status": ("console.cli.status:status", "Show what is well and what is not."),
        "alarms": ("console.cli.alarms:alarms", "Show the alarms that stand."),
        "runs": ("console.cli.runs:runs", "List the newest runs."),
        "tokens": ("console.cli.tokens:tokens", "Show which fencing tokens were handed out."),
        "run": ("console.cli.run:run", "Look at one run and decide about it."),
        "readiness": ("console.cli.readiness:readiness", "Show how ready systems are for a recovery."),
        "plan": ("console.cli.plan:plan", "Show what a run would do; change nothing."),
        "failover": ("console.cli.start:failover", "Move a system whose site is lost to the other site."),
        "switchover": ("console.cli.start:switchover", "Move a system to the other site while both are well."),
        "reprotect": ("console.cli.start:reprotect", "Make the old side the standby after a failover."),
        "failback": ("console.cli.start:failback", "Bring a system back to its protected site."),
        "drill": ("console.cli.start:drill", "Rehearse a failover, isolated from production."),
        "backup": ("console.cli.start:backup", "Take a backup of a system."),
        "verify": ("console.cli.start:verify", "Prove the newest backup by restoring it."),
        "start": ("console.cli.start:start", "Run a playbook of your own."),
        "backups": ("console.cli.backups:backups", "List the backups and what was proven of them."),
        "calendar": ("console.cli.calendar:calendar", "Show what is due next and what became of earlier slots."),
        "sla": ("console.cli.sla:sla", "Show how links and operators kept what was agreed."),
        "pause": ("console.cli.pause:pause", "Let nothing start by itself for a while."),
        "unpause": ("console.cli.pause:unpause", "End a pause."),
        "downtime": ("console.cli.pause:downtime", "Announce planned works; nobody is called for them."),
        "override": ("console.cli.override:override", "Put a rule out of force for a system, for a while."),
        "rights": ("console.cli.rights:rights", "Show who may have what done."),
        "check": ("console.cli.check:check", "Say every mistake in the inventory and the playbooks."),
        "actions": ("console.cli.actions:actions", "List what a playbook's steps can do, and who brings it."),
        "inventory": (
            "console.cli.inventory.group:inventory",
            "Bring entries into the inventory, and hand them to others.",
        ),
        "reload": ("console.cli.reload:reload", "Read the inventory and the playbooks anew, without a pause."),
        "prove": ("console.cli.prove:prove", "Explore every course a playbook's run can take."),
        "evidence": ("console.cli.evidence:evidence", "Prove that the record of runs stands as it was written."),
        "findings": ("console.cli.findings:findings", "List what runs found and who sees to it."),
        "finding": ("console.cli.findings:finding", "Say what becomes of one finding."),
        "schema": ("console.cli.schema:schema", "Print the JSON Schema that editors use."),
        "serve": ("console.cli.serve:serve", "Run the daemon."),
        "vantage": ("console.cli.vantage:vantage", "Look at the systems from another place."),
        "lab": ("console.cli.simulated.group:lab", "Break and mend the simulated estate."),
        "completion": ("console.cli.completion:completion", "Print the completion script of a shell."),
    }
)
LOCAL_STATE = ".karaula/state"
EPILOG = "Exit codes:\n\n\b\n" + "\n".join(f"  {code:3}  {words}" for code, words in exits.MEANINGS.items())


class Told(click.ClickException):
    """An error that was foreseen, on its way to standard error."""

    def __init__(self, message: str, exit_code: int) -> None:
        """Carry the message as it is shown."""
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # typed as the class's, read from the instance

    def show(self, file: Any = None) -> None:
        """Write the message alone: it is a sentence for the user."""
        click.echo(self.message, file=file or sys.stderr)


class Karaula(LazyGroup):
    """The root group: the border at which foreseen errors become messages."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Raises click's exceptions alone (and defects)."""
        try:
            return super().invoke(ctx)
        except KaraulaError as error:
            code = _exit_code(error)
            if ctx.meta.get(JSON_WANTED):
                name = getattr(error, "code", "mistakes" if isinstance(error, InventoryError) else "error")
                body = {"schema_version": 1, "error": {"code": name, "message": str(error)}}
                click.echo(json.dumps(body, indent=2, ensure_ascii=False))
            raise Told(str(error), code) from error
        except KeyboardInterrupt:
            click.echo(err=True)
            raise click.exceptions.Exit(exits.INTERRUPTED) from None


@click.command(cls=Karaula, where=COMMANDS, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, expose_value=False, help="Show the trace of a defect at once.")
@click.version_option(VERSION, message="karaula %(version)s")
def karaula() -> None:
    """Watch the estate and move its systems to safety.

    \b
    Example:
      karaula status                    what is well and what is not
      karaula plan failover ncts        what a failover would do, step by step
      karaula failover ncts --reason "main lost power"
      karaula run approve RUN --as ana  a second person agrees
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines


def main() -> NoReturn:
    """Run the command line and end the process."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that lacks a letter must not cost the message
    try:
        karaula.main(prog_name="karaula")
    except Exception as error:  # noqa: BLE001 - the outermost border: what comes here is a defect
        click.echo(_defect(error), err=True)
    sys.exit(exits.FAILED)


def _exit_code(error: KaraulaError) -> int:
    from monitor.errors import StateError  # noqa: PLC0415 - only when something went wrong

    code = getattr(error, "exit_code", None)
    if isinstance(code, int):
        return code
    return exits.REFUSED if isinstance(error, StateError) else exits.FAILED


def _defect(error: Exception) -> str:
    """Return the one line for a defect; its trace is shown with --debug, else written to a file."""
    import os  # noqa: PLC0415 - only for a defect
    import tempfile  # noqa: PLC0415 - likewise

    trace = "".join(traceback.format_exception(error))
    what = f"this is a defect in karaula, not your mistake: {type(error).__name__}: {error}"
    if "--debug" in sys.argv:
        return f"{trace}\n{what}"
    folder = LOCAL_STATE if os.access(LOCAL_STATE, os.W_OK) else tempfile.gettempdir()
    handle, path = tempfile.mkstemp(".txt", "karaula-defect-", folder)
    with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
        file.write(f"{' '.join(sys.argv)}\n\n{trace}")
    return f"{what}; its trace is in {path}"


if __name__ == "__main__":
    main()
