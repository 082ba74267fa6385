"""Take a backup, choose the newest, and read it whole: levels L0 and L1. Restoring it is for ``restore``."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from dr.action import Context, Done, Effect, Holds, Lasting, Reading, Seen, StepArgs
from dr.errors import StepFailed
from dr.estate.backups import method_of
from dr.estate.database import MANIFEST, differs
from dr.estate.waiting import Deadline
from monitor.errors import CredentialError, TargetError

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
    probe_limit_s: ClassVar[float] = 3600.0  # where the store keeps no list, every byte is read again
    Args: ClassVar[type[StepArgs]] = BackupArgs

    def effects(self, args: BackupArgs) -> tuple[Effect, ...]:
        """Declare the backup."""
        return (Effect(f"system/{args.system}/{args.site}", "backup", "written"),)

    async def run(self, args: BackupArgs, context: Context) -> Done:
        """Write it. Raises GarbledReply when the manifest is of something else."""
        name, deadline = _name(args, context), Deadline(context.world.clock, context.timeout_s)
        manifest = await method_of(context.world, args.system).take(args.site, name, deadline, context.say)
        if (manifest.backup, manifest.system) != (name, args.system):
            raise StepFailed(f"the manifest is of backup '{manifest.backup}' of '{manifest.system}', not of '{name}'")
        return Done(manifest.outputs())

    async def probe(self, args: BackupArgs, context: Context) -> Seen:
        """Ask the store for the backup and its record."""
        name, deadline = _name(args, context), Deadline(context.world.clock, context.timeout_s)
        try:
            manifest = await method_of(context.world, args.system).find(name, deadline)
        except (TargetError, CredentialError, StepFailed) as error:
            return Seen(Holds.CANNOT_TELL, str(error))
        if manifest is None:
            return Seen(Holds.NO, f"the store has no whole backup {name}")
        return Seen(Holds.YES, f"the store has {manifest.bytes} bytes, {manifest.records} records", manifest.outputs())


class BackupSelectArgs(StepArgs):
    """Nothing beside system and site."""


class BackupSelect(Reading):
    """Level L0: the newest backup of the catalogue, that is, of the journal, is young enough and still in its store.

    It yields the manifest recorded when it was taken, and the level that the inventory wants to see proven.
    """

    name: ClassVar[str] = "backup_select"
    summary: ClassVar[str] = "choose the system's newest backup"
    outputs: ClassVar[tuple[str, ...]] = (*OUTPUTS, "age_s", "required_level")
    Args: ClassVar[type[StepArgs]] = BackupSelectArgs

    async def run(self, args: BackupSelectArgs, context: Context) -> Done:
        """Choose it. Raises StepFailed when there is none, or none new enough for the policy."""
        newest = context.world.newest_backup(args.system)
        if newest is None:
            raise StepFailed(f"no backup of {args.system} is known; take one with 'karaula backup {args.system}'")
        age_s = context.world.clock.now() - newest.taken_at
        policy = context.world.system(args.system).backup
        max_age_s = policy.max_age_s
        if age_s > max_age_s:
            too_old = f"is {age_s / HOUR_S:.1f} h old; the policy allows {max_age_s / HOUR_S:.1f} h"
            raise StepFailed(f"the newest backup {newest.id} {too_old}")
        deadline = Deadline(context.world.clock, context.timeout_s)
        if policy.store is not None and await method_of(context.world, args.system).find(newest.id, deadline) is None:
            raise StepFailed(f"the newest backup {newest.id} is not in its store any more; who removed it?")
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
                "required_level": policy.required_level,
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
    at_once: ClassVar[bool] = False
    summary: ClassVar[str] = "read the whole backup and compare it with its recorded manifest"
    outputs: ClassVar[tuple[str, ...]] = ("sha256", "bytes")
    Args: ClassVar[type[StepArgs]] = BackupCheckArgs

    async def run(self, args: BackupCheckArgs, context: Context) -> Done:
        """Compare. Raises StepFailed with what differs."""
        deadline = Deadline(context.world.clock, context.timeout_s)
        found = await method_of(context.world, args.system).check(args.backup, deadline, context.say)
        differs(args, found, ("backup", "system", "sha256", "bytes", "records", "position", "newest_id"))
        return Done({"sha256": found.sha256, "bytes": found.bytes})


def _name(args: StepArgs, context: Context) -> str:
    return f"{args.system}-{context.run_id}"
