"""Run a command on a host of the inventory."""

from __future__ import annotations

import shlex
from typing import Annotated, ClassVar

from pydantic import Field

from dr.action import Context, Done, Effect, Holds, HostKey, Lasting, Seen, StepArgs
from dr.errors import StepFailed
from dr.estate import commands
from dr.estate.waiting import Deadline
from monitor.errors import TargetError

FIRST_CHARS = 500
# What karaula-gate ends with when it ran nothing (docs/targets.md), and the shell when there is no such command.
NOT_ASKED = frozenset({64, 75, 76, 78, 124, 126, 127})


class SshRunArgs(StepArgs):
    """``check`` is a command that exits with 0 when, and only when, the effect of ``command`` holds.

    It is not optional: after a crash or a time-out there is no other way to tell what became of the command. An exit
    status that says that ``check`` itself was not carried out (``NOT_ASKED``) tells nothing of the effect.
    ``{epoch}`` in either is the run's fencing token, for hosts that refuse an old one (docs/targets.md).
    """

    host: HostKey
    command: Annotated[tuple[str, ...], Field(min_length=1)]
    check: Annotated[tuple[str, ...], Field(min_length=1)]
    expect_exit: Annotated[int, Field(ge=0, le=255)] = 0


class SshRun(Lasting):
    """The command is run once an attempt, never sent twice."""

    name: ClassVar[str] = "ssh_run"
    summary: ClassVar[str] = "run a command on a host over SSH"
    outputs: ClassVar[tuple[str, ...]] = ("exit_status", "stdout")
    Args: ClassVar[type[StepArgs]] = SshRunArgs

    def effects(self, args: SshRunArgs) -> tuple[Effect, ...]:
        """Declare that the command was done; what that means only ``check`` knows."""
        return (Effect(f"host/{args.host}", "command", shlex.join(args.command)),)

    async def run(self, args: SshRunArgs, context: Context) -> Done:
        """Run it. Raises StepFailed when its exit status is another one."""
        host = context.world.inventory.hosts.get(args.host)
        if host is None:
            raise StepFailed(f"the inventory has no host '{args.host}'")
        deadline = Deadline(context.world.clock, context.timeout_s)
        argv = commands.filled(args.command, epoch=context.token)
        result = await commands.run(context.world, host, argv, deadline.left(), context.say)
        if result.exit_status != args.expect_exit:
            raise StepFailed(f"exit status {result.exit_status}, expected {args.expect_exit}")
        return Done({"exit_status": result.exit_status, "stdout": result.stdout.strip()[:FIRST_CHARS]})

    async def probe(self, args: SshRunArgs, context: Context) -> Seen:
        """Run ``check``."""
        host = context.world.inventory.hosts.get(args.host)
        if host is None:
            return Seen(Holds.CANNOT_TELL, f"the inventory has no host '{args.host}'")
        try:
            argv = commands.filled(args.check, epoch=context.token)
            result = await commands.run(context.world, host, argv, context.timeout_s)
        except TargetError as error:
            return Seen(Holds.CANNOT_TELL, str(error))
        evidence = f"'{shlex.join(args.check)}' at {args.host} ends with exit status {result.exit_status}"
        if result.exit_status in NOT_ASKED:
            return Seen(
                Holds.CANNOT_TELL, f"{evidence}, so it was not carried out: {result.stderr.strip()[:FIRST_CHARS]}"
            )
        if result.exit_status:
            return Seen(Holds.NO, evidence)
        return Seen(Holds.YES, evidence, {"exit_status": args.expect_exit, "stdout": ""})
