"""Take a backup, and prove one: select, check its bytes against its manifest, restore it, ask the restored copy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from dr.action import Context, Done, Effect, Holds, Lasting, Output, Reading, Seen, StepArgs
from dr.errors import StepFailed
from dr.estate import database
from dr.estate.database import MANIFEST, Manifest
from dr.estate.waiting import Deadline
from monitor.errors import TargetError

HOUR_S = 3600
OUTPUTS = tuple(name for name in MANIFEST if name != "system")
Label = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,120}$")]
Count = Annotated[int, Field(ge=0)]


class BackupArgs(StepArgs):
    """Nothing beside system and site; the backup is called ``<system>-<run id>``."""


class TakeBackup(Lasting):
    """Writes one backup of the database at the site into the vault; repeated, it is the same one."""

    name: ClassVar[str] = "backup"
    summary: ClassVar[str] = "write a backup of the site's database to the vault"
    outputs: ClassVar[tuple[str, ...]] = OUTPUTS
    probe_limit_s: ClassVar[float] = 3600.0  # every byte of the backup is read again
    Args: ClassVar[type[StepArgs]] = BackupArgs

    def effects(self, args: BackupArgs) -> tuple[Effect, ...]:
        """Declare the backup."""
        return (Effect(f"system/{args.system}/{args.site}", "backup", "written"),)

    async def run(self, args: BackupArgs, context: Context) -> Done:
        """Write it. Raises GarbledReply when the manifest is of something else."""
        name, deadline = _name(args, context), Deadline(context.world.clock, context.timeout_s)
        manifest = await database.backup(context.world, args.system, args.site, name, deadline.left(), context.say)
        if (manifest.backup, manifest.system) != (name, args.system):
            raise StepFailed(f"the manifest is of backup '{manifest.backup}' of '{manifest.system}', not of '{name}'")
        return Done(manifest.outputs())

    async def probe(self, args: BackupArgs, context: Context) -> Seen:
        """Let the vault read the whole backup."""
        try:
            manifest = await database.check(context.world, args.system, _name(args, context), context.timeout_s)
        except TargetError as error:
            return Seen(Holds.CANNOT_TELL, str(error))
        except StepFailed as error:  # the vault has none, or a damaged one
            return Seen(Holds.NO, str(error))
        return Seen(
            Holds.YES, f"the vault reads {manifest.bytes} bytes, {manifest.records} records", manifest.outputs()
        )


class BackupSelectArgs(StepArgs):
    """Nothing beside system and site."""


class BackupSelect(Reading):
    """Answers from the catalogue, that is, from the journal: with the manifest recorded when it was taken."""

    name: ClassVar[str] = "backup_select"
    summary: ClassVar[str] = "choose the system's newest backup"
    outputs: ClassVar[tuple[str, ...]] = (*OUTPUTS, "age_s")
    Args: ClassVar[type[StepArgs]] = BackupSelectArgs

    async def run(self, args: BackupSelectArgs, context: Context) -> Done:
        """Choose it. Raises StepFailed when there is none, or none new enough for the policy."""
        newest = context.world.newest_backup(args.system)
        if newest is None:
            raise StepFailed(f"no backup of {args.system} is known; take one with 'karaula backup {args.system}'")
        age_s = context.world.clock.now() - newest.taken_at
        max_age_s = context.world.system(args.system).backup.max_age_s
        if age_s > max_age_s:
            too_old = f"is {age_s / HOUR_S:.1f} h old; the policy allows {max_age_s / HOUR_S:.1f} h"
            raise StepFailed(f"the newest backup {newest.id} {too_old}")
        context.say(f"{newest.id}: {newest.records} records, {newest.size_bytes} bytes, {age_s / HOUR_S:.1f} h old")
        return Done(
            {
                "backup": newest.id,
                "records": newest.records,
                "position": newest.position,
                "newest_id": newest.newest_id,
                "sha256": newest.sha256,
                "bytes": newest.size_bytes,
                "taken_at": newest.taken_at,
                "age_s": age_s,
            }
        )


class BackupCheckArgs(StepArgs):
    """The manifest as recorded when the backup was taken."""

    backup: Label
    sha256: str
    bytes: Count
    records: Count
    position: Count
    newest_id: str


class BackupCheck(Reading):
    """Level L1: the vault reads every byte, and what it finds is what was recorded."""

    name: ClassVar[str] = "backup_check"
    summary: ClassVar[str] = "read the whole backup and compare it with its recorded manifest"
    outputs: ClassVar[tuple[str, ...]] = ("sha256", "bytes")
    Args: ClassVar[type[StepArgs]] = BackupCheckArgs

    async def run(self, args: BackupCheckArgs, context: Context) -> Done:
        """Compare. Raises StepFailed with what differs."""
        deadline = Deadline(context.world.clock, context.timeout_s)
        found = await database.check(context.world, args.system, args.backup, deadline.left(), context.say)
        _compare(args, found, ("backup", "system", "sha256", "bytes", "records", "position", "newest_id"))
        return Done({"sha256": found.sha256, "bytes": found.bytes})


class RestoreArgs(StepArgs):
    """Which backup, and into which scratch place."""

    backup: Label
    scratch: Label


class Restore:
    """Level L2: the backup restores, into a scratch place that nothing else uses."""

    name: ClassVar[str] = "restore"
    summary: ClassVar[str] = "restore the backup into a scratch place at the vault"
    outputs: ClassVar[tuple[str, ...]] = ("scratch",)
    reads_only: ClassVar[bool] = False
    undoable: ClassVar[bool] = True
    probe_limit_s: ClassVar[float] = 3600.0
    Args: ClassVar[type[StepArgs]] = RestoreArgs

    def effects(self, args: RestoreArgs) -> tuple[Effect, ...]:
        """Declare the scratch place."""
        return (Effect(f"system/{args.system}/{args.site}", "scratch", "restored"),)

    async def run(self, args: RestoreArgs, context: Context) -> Done:
        """Restore it."""
        deadline = Deadline(context.world.clock, context.timeout_s)
        await database.restore(context.world, args.system, args.backup, args.scratch, deadline.left(), context.say)
        return Done({"scratch": args.scratch})

    async def probe(self, args: RestoreArgs, context: Context) -> Seen:
        """Ask whether the scratch place answers; that it holds the right thing is for ``restore_check``."""
        return await _scratch(args, context, wanted=True)

    async def undo(self, args: RestoreArgs, context: Context, outputs: Mapping[str, Output]) -> Done:
        """Discard the scratch place."""
        del outputs
        await database.discard(context.world, args.system, args.scratch, context.timeout_s, context.say)
        return Done()


class RestoreCheckArgs(StepArgs):
    """What the restored copy must hold."""

    scratch: Label
    records: Count
    position: Count
    newest_id: str


class RestoreCheck(Reading):
    """Level L4: the restored copy answers the same question as the original did when the backup was taken."""

    name: ClassVar[str] = "restore_check"
    summary: ClassVar[str] = "ask the restored copy and compare with what was recorded"
    outputs: ClassVar[tuple[str, ...]] = ("records", "position")
    Args: ClassVar[type[StepArgs]] = RestoreCheckArgs

    async def run(self, args: RestoreCheckArgs, context: Context) -> Done:
        """Compare. Raises StepFailed with what differs."""
        deadline = Deadline(context.world.clock, context.timeout_s)
        found = await database.query(context.world, args.system, args.scratch, deadline.left(), context.say)
        if found is None:
            raise StepFailed(f"the restored copy {args.scratch} does not answer")
        _compare(args, found, ("records", "position", "newest_id"))
        return Done({"records": found.records, "position": found.position})


class DiscardArgs(StepArgs):
    """Which scratch place."""

    scratch: Label


class Discard(Lasting):
    """Removes a scratch place; that there is none is well too."""

    name: ClassVar[str] = "discard"
    summary: ClassVar[str] = "remove the scratch place"
    outputs: ClassVar[tuple[str, ...]] = ()
    Args: ClassVar[type[StepArgs]] = DiscardArgs

    def effects(self, args: DiscardArgs) -> tuple[Effect, ...]:
        """Declare that it is gone."""
        return (Effect(f"system/{args.system}/{args.site}", "scratch", "absent"),)

    async def run(self, args: DiscardArgs, context: Context) -> Done:
        """Remove it."""
        await database.discard(context.world, args.system, args.scratch, context.timeout_s, context.say)
        return Done()

    async def probe(self, args: DiscardArgs, context: Context) -> Seen:
        """Ask whether the scratch place answers."""
        return await _scratch(args, context, wanted=False)


def _name(args: StepArgs, context: Context) -> str:
    return f"{args.system}-{context.run_id}"


def _compare(args: object, found: Manifest | database.Restored, names: tuple[str, ...]) -> None:
    wrong = [
        f"{name} is {getattr(found, name)}, recorded was {getattr(args, name)}"
        for name in names
        if getattr(found, name) != getattr(args, name)
    ]
    if wrong:
        raise StepFailed("the backup is not what was recorded: " + "; ".join(wrong))


async def _scratch(args: RestoreArgs | DiscardArgs, context: Context, *, wanted: bool) -> Seen:
    try:
        found = await database.query(context.world, args.system, args.scratch, context.timeout_s)
    except TargetError as error:
        return Seen(Holds.CANNOT_TELL, str(error))
    if found is None:
        return Seen(Holds.NO if wanted else Holds.YES, f"the vault has no scratch place {args.scratch}")
    evidence = f"the scratch place {args.scratch} holds {found.records} records"
    return Seen(Holds.YES, evidence, {"scratch": args.scratch}) if wanted else Seen(Holds.NO, evidence)
