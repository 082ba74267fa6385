"""Keep backups: a copy at a second place that nobody can take back, and no more of them than the policy says."""

from __future__ import annotations

from typing import ClassVar

from dr.action import Context, Done, Effect, Holds, Lasting, Output, Reading, Seen, StepArgs
from dr.backups.catalog import ONE_PLACE, Backup, owed
from dr.backups.retention import doubt, expendable
from dr.errors import StepFailed
from dr.estate.backups import method_of
from dr.estate.copies import second_of
from dr.estate.database import vault
from dr.estate.method import Method
from dr.estate.shell import Shell
from dr.estate.waiting import Deadline
from monitor.errors import CredentialError, TargetError

FOR_OLDER = 0.9  # of a step's time
NO_PLACE = "the inventory has no second place for this system"


class KeepArgs(StepArgs):
    """Nothing beside system and site: which backups are meant, the catalogue says."""


class BackupCopy(Lasting):
    """Copies to the second place what is owed to it: the newest backup, and older ones that it was not given in time.

    The step is about the newest; older ones that still cannot be copied stay owed, and the next run tries again.
    Without a second place in the inventory there is nothing to do.
    """

    name: ClassVar[str] = "backup_copy"
    summary: ClassVar[str] = "copy the newest backup, and any that is still owed, to the second place"
    outputs: ClassVar[tuple[str, ...]] = ("copied", "owed")
    probe_limit_s: ClassVar[float] = 120.0
    Args: ClassVar[type[StepArgs]] = KeepArgs

    def effects(self, args: KeepArgs) -> tuple[Effect, ...]:
        """Declare the copy."""
        return (Effect(f"system/{args.system}/{args.site}", "second copy", "written"),)

    async def run(self, args: KeepArgs, context: Context) -> Done:
        """Copy them, the newest first. Raises StepFailed when there is no backup, and what keeps the newest alone."""
        second = second_of(context.world, args.system)
        if second is None:
            context.say(NO_PLACE)
            return Done({"copied": "", "owed": ""})
        newest, older = _to_copy(args, context)
        if newest is not None:
            try:
                await second.copy(newest.id, Deadline(context.world.clock, context.timeout_s), context.say)
            except TargetError as error:
                raise type(error)(f"{newest.id} is {ONE_PLACE}: {error}") from error
            except StepFailed as error:
                said = f"{newest.id} is {ONE_PLACE}: {error}"
                raise StepFailed(said, retry_helps=error.retry_helps) from error
        copied, left = [] if newest is None else [newest.id], []
        deadline = Deadline(context.world.clock, context.timeout_s * FOR_OLDER)  # what is done by then is written down
        for backup in older:
            try:
                await second.copy(backup.id, deadline, context.say)
            except (TargetError, StepFailed) as error:
                context.say(f"{backup.id} is still {ONE_PLACE}: {error}")
                left.append(backup.id)
            else:
                copied.append(backup.id)
        return Done({"copied": " ".join(copied), "owed": " ".join(left)})

    async def probe(self, args: KeepArgs, context: Context) -> Seen:
        """Ask the second place; what the step is about is the newest."""
        second = second_of(context.world, args.system)
        if second is None:
            return Seen(Holds.YES, NO_PLACE, {"copied": "", "owed": ""})
        try:
            newest, older = _to_copy(args, context)
            deadline = Deadline(context.world.clock, context.timeout_s)
            there = {one.id: await second.has(one.id, deadline) for one in (*([newest] if newest else []), *older)}
        except (TargetError, CredentialError, StepFailed) as error:
            return Seen(Holds.CANNOT_TELL, str(error))
        if newest is not None and not there[newest.id]:
            return Seen(Holds.NO, f"the second place has no copy of {newest.id}")
        copied = [name for name, copy in there.items() if copy]
        left = [name for name, copy in there.items() if not copy]
        evidence = f"the second place has a copy of {', '.join(copied)}" if copied else "no copy is owed"
        return Seen(Holds.YES, evidence, {"copied": " ".join(copied), "owed": " ".join(left)})


def _to_copy(args: KeepArgs, context: Context) -> tuple[Backup | None, list[Backup]]:
    """Return the newest backup, None when it was copied already, and the older ones that are owed."""
    newest = _newest(args, context)
    older = [one for one in owed(context.world.backups(args.system)) if one.id != newest.id]
    return (newest if newest.copied_at is None else None), older


class CopyCheck(Reading):
    """The second place has a sound copy of the newest backup, and refuses to let it be removed."""

    name: ClassVar[str] = "copy_check"
    at_once: ClassVar[bool] = False
    summary: ClassVar[str] = "check the copy at the second place, and that it cannot be removed from here"
    outputs: ClassVar[tuple[str, ...]] = ("copies", "append_only")
    Args: ClassVar[type[StepArgs]] = KeepArgs

    async def run(self, args: KeepArgs, context: Context) -> Done:
        """Check both. Raises StepFailed with what is amiss."""
        second = second_of(context.world, args.system)
        if second is None:
            context.say(f"{NO_PLACE}: its backups are in one place only")
            return Done({"copies": 1, "append_only": False})
        deadline = Deadline(context.world.clock, context.timeout_s)
        await second.check(_newest(args, context).id, deadline, context.say)
        await second.refuses_removal(deadline, context.say)
        return Done({"copies": 2, "append_only": True})


class BackupExpire(Lasting):
    """Removes what the retention does not keep; never the newest proven backup, nothing while a clock is in doubt."""

    name: ClassVar[str] = "backup_expire"
    summary: ClassVar[str] = "remove the backups that the retention does not keep"
    outputs: ClassVar[tuple[str, ...]] = ("removed", "kept")
    probe_limit_s: ClassVar[float] = 120.0
    Args: ClassVar[type[StepArgs]] = KeepArgs

    def effects(self, args: KeepArgs) -> tuple[Effect, ...]:
        """Declare that the store holds what the policy wants."""
        return (Effect(f"system/{args.system}/{args.site}", "retention", "applied"),)

    async def run(self, args: KeepArgs, context: Context) -> Done:
        """Remove them, oldest first. Raises StepFailed when a clock is in doubt."""
        world, policy = context.world, context.world.system(args.system).backup
        backups = world.backups(args.system)
        kept = sum(one.removed_at is None for one in backups)
        if policy.retention is None:
            context.say("the inventory has no retention for this system: nothing is removed")
            return Done({"removed": "", "kept": kept})
        deadline = Deadline(world.clock, context.timeout_s)
        shell = Shell(world, vault(world, args.system), "")
        said = await shell.must(["date", "+%s"], deadline)
        vault_now = float(said) if said.strip().isdecimal() else 0.0
        if why := doubt(backups, world.clock.now(), policy.max_age_s, vault_now):
            raise StepFailed(f"nothing is removed: {why}")
        method, gone = method_of(world, args.system), []
        for name in await _removable(expendable(backups, policy.retention), method, deadline):
            context.say(f"removing {name}")
            await method.remove(name, deadline, context.say)
            gone.append(name)
        return Done({"removed": " ".join(gone), "kept": kept - len(gone)})

    async def probe(self, args: KeepArgs, context: Context) -> Seen:
        """Ask the store whether anything is there that should not be."""
        world, policy = context.world, context.world.system(args.system).backup
        backups = world.backups(args.system)
        kept = [one.id for one in backups if one.removed_at is None]
        if policy.retention is None:
            return Seen(Holds.YES, "the inventory has no retention", {"removed": "", "kept": len(kept)})
        method, deadline = method_of(world, args.system), Deadline(world.clock, context.timeout_s)
        try:
            too_many = await _removable(expendable(backups, policy.retention), method, deadline)
            there = await method.names(deadline)
        except (TargetError, CredentialError, StepFailed) as error:
            return Seen(Holds.CANNOT_TELL, str(error))
        if left := [name for name in too_many if name in there]:
            return Seen(Holds.NO, f"the store still has {', '.join(left)}")
        outputs: dict[str, Output] = {"removed": " ".join(too_many), "kept": len(kept) - len(too_many)}
        return Seen(Holds.YES, "the store holds what the retention keeps", outputs)


async def _removable(too_many: list[Backup], method: Method, deadline: Deadline) -> list[str]:
    """Return the names of those that no backup which stays is built on, oldest first."""
    names = [one.id for one in too_many]
    needed = await method.needed(frozenset(names), deadline) if names else frozenset()
    return [name for name in names if name not in needed]


def _newest(args: KeepArgs, context: Context) -> Backup:
    newest = context.world.newest_backup(args.system)
    if newest is None:
        raise StepFailed(f"no backup of {args.system} is known; take one with 'karaula backup {args.system}'")
    return newest
