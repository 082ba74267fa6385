"""Prove a backup by using it: restore it (L2), start a server on it (L3), ask it (L4), and leave nothing behind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from dr.action import Context, Done, Effect, Holds, Lasting, Output, Reading, Seen, StepArgs
from dr.errors import StepFailed
from dr.estate.backups import method_of
from dr.estate.database import differs
from dr.estate.waiting import Deadline
from monitor.errors import CredentialError, TargetError

Label = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,120}$")]
Count = Annotated[int, Field(ge=0)]


class RestoreArgs(StepArgs):
    """Which backup, and into which scratch place."""

    backup: Label
    scratch: Label


class Restore:
    """Level L2: the backup restores, into a scratch place that nothing else uses and that has room for it."""

    name: ClassVar[str] = "restore"
    summary: ClassVar[str] = "restore the backup into a scratch place at the vault"
    outputs: ClassVar[tuple[str, ...]] = ("scratch", "restored_bytes", "free_bytes")
    reads_only: ClassVar[bool] = False
    undoable: ClassVar[bool] = True
    probe_limit_s: ClassVar[float] = 3600.0
    Args: ClassVar[type[StepArgs]] = RestoreArgs

    def effects(self, args: RestoreArgs) -> tuple[Effect, ...]:
        """Declare the scratch place."""
        return (Effect(f"system/{args.system}/{args.site}", "scratch", "restored"),)

    async def run(self, args: RestoreArgs, context: Context) -> Done:
        """Restore it; say what it takes and what its disk has left."""
        deadline = Deadline(context.world.clock, context.timeout_s)
        method = method_of(context.world, args.system)
        await method.restore(args.backup, args.scratch, deadline, context.say)
        return Done(await _room(args, context, deadline))

    async def probe(self, args: RestoreArgs, context: Context) -> Seen:
        """Ask whether the scratch place is there; that it holds the right thing is for ``restore_check``."""
        return await _scratch(args, context, wanted=True)

    async def undo(self, args: RestoreArgs, context: Context, outputs: Mapping[str, Output]) -> Done:
        """Discard the scratch place."""
        del outputs
        return await _discarded(args, context)


class RestoreStart:
    """Level L3: what was restored boots; a server of its own answers, beside production and unseen by it."""

    name: ClassVar[str] = "restore_start"
    summary: ClassVar[str] = "start a server on the restored copy and wait until it answers"
    outputs: ClassVar[tuple[str, ...]] = ("took_s",)
    reads_only: ClassVar[bool] = False
    undoable: ClassVar[bool] = True
    probe_limit_s: ClassVar[float] = 60.0
    Args: ClassVar[type[StepArgs]] = RestoreArgs

    def effects(self, args: RestoreArgs) -> tuple[Effect, ...]:
        """Declare the server."""
        return (Effect(f"system/{args.system}/{args.site}", "scratch server", "running"),)

    async def run(self, args: RestoreArgs, context: Context) -> Done:
        """Start it. Raises StepFailed with what it wrote to its log."""
        clock = context.world.clock
        begun, deadline = clock.monotonic(), Deadline(clock, context.timeout_s)
        method = method_of(context.world, args.system)
        if not await method.started(args.scratch, deadline):
            await method.start(args.backup, args.scratch, deadline, context.say)
        return Done({"took_s": round(clock.monotonic() - begun, 3)})

    async def probe(self, args: RestoreArgs, context: Context) -> Seen:
        """Ask whether it answers."""
        deadline = Deadline(context.world.clock, context.timeout_s)
        try:
            runs = await method_of(context.world, args.system).started(args.scratch, deadline)
        except (TargetError, CredentialError, StepFailed) as error:
            return Seen(Holds.CANNOT_TELL, str(error))
        if runs:
            return Seen(Holds.YES, f"the copy in {args.scratch} answers", {"took_s": 0.0})
        return Seen(Holds.NO, f"the copy in {args.scratch} does not answer")

    async def undo(self, args: RestoreArgs, context: Context, outputs: Mapping[str, Output]) -> Done:
        """Discard the scratch place with its server."""
        del outputs
        return await _discarded(args, context)


class RestoreCheckArgs(StepArgs):
    """What the restored copy must hold."""

    scratch: Label
    records: Count
    position: Count
    newest_id: str


class RestoreCheck(Reading):
    """Level L4: the restored copy answers the same question as the original did when the backup was taken."""

    name: ClassVar[str] = "restore_check"
    at_once: ClassVar[bool] = False
    summary: ClassVar[str] = "ask the restored copy and compare with what was recorded"
    outputs: ClassVar[tuple[str, ...]] = ("records", "position")
    Args: ClassVar[type[StepArgs]] = RestoreCheckArgs

    async def run(self, args: RestoreCheckArgs, context: Context) -> Done:
        """Compare. Raises StepFailed with what differs."""
        deadline = Deadline(context.world.clock, context.timeout_s)
        found = await method_of(context.world, args.system).ask(args.scratch, deadline, context.say)
        if found is None:
            raise StepFailed(f"the restored copy {args.scratch} does not answer")
        differs(args, found, ("records", "position", "newest_id"))
        return Done({"records": found.records, "position": found.position})


class DiscardArgs(StepArgs):
    """Which scratch place."""

    scratch: Label


class Discard(Lasting):
    """Removes a scratch place and the server in it; that there is none is well too."""

    name: ClassVar[str] = "discard"
    summary: ClassVar[str] = "stop the restored copy's server and remove the scratch place"
    outputs: ClassVar[tuple[str, ...]] = ()
    Args: ClassVar[type[StepArgs]] = DiscardArgs

    def effects(self, args: DiscardArgs) -> tuple[Effect, ...]:
        """Declare that both are gone."""
        subject = f"system/{args.system}/{args.site}"
        return (Effect(subject, "scratch", "absent"), Effect(subject, "scratch server", "absent"))

    async def run(self, args: DiscardArgs, context: Context) -> Done:
        """Remove it."""
        return await _discarded(args, context)

    async def probe(self, args: DiscardArgs, context: Context) -> Seen:
        """Ask whether the scratch place is there."""
        return await _scratch(args, context, wanted=False)


async def _discarded(args: RestoreArgs | DiscardArgs, context: Context) -> Done:
    deadline = Deadline(context.world.clock, context.timeout_s)
    await method_of(context.world, args.system).discard(args.scratch, deadline, context.say)
    return Done()


async def _room(args: RestoreArgs | DiscardArgs, context: Context, deadline: Deadline) -> dict[str, Output]:
    used, free = await method_of(context.world, args.system).room(args.scratch, deadline)
    return {"scratch": args.scratch, "restored_bytes": used, "free_bytes": free}


async def _scratch(args: RestoreArgs | DiscardArgs, context: Context, *, wanted: bool) -> Seen:
    deadline = Deadline(context.world.clock, context.timeout_s)
    try:
        method = method_of(context.world, args.system)
        there = await (method.restored if wanted else method.present)(args.scratch, deadline)
        outputs = await _room(args, context, deadline) if there and wanted else {}
    except (TargetError, CredentialError, StepFailed) as error:
        return Seen(Holds.CANNOT_TELL, str(error))
    evidence = f"the vault has {'the' if there else 'no'} scratch place {args.scratch}"
    return Seen(Holds.YES if there is wanted else Holds.NO, evidence, outputs)
