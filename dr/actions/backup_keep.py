"""Keep backups: a copy at a second place that nobody can take back, and no more of them than the policy says."""

from __future__ import annotations

from typing import ClassVar

from dr.action import Context, Done, Effect, Holds, Lasting, Output, Reading, Seen, StepArgs
from dr.backups.catalog import Backup
from dr.backups.retention import doubt, expendable
from dr.errors import StepFailed
from dr.estate.backups import method_of
from dr.estate.copies import second_of
from dr.estate.database import vault
from dr.estate.method import Method
from dr.estate.shell import Shell
from dr.estate.waiting import Deadline
from monitor.errors import CredentialError, TargetError

NO_PLACE = "the inventory has no second place for this system"


class KeepArgs(StepArgs):
    """Nothing beside system and site: which backups are meant, the catalogue says."""


class BackupCopy(Lasting):
    """Copies the newest backup to the second place; without one in the inventory there is nothing to do."""

    name: ClassVar[str] = "backup_copy"
    summary: ClassVar[str] = "copy the newest backup to the second place"
    outputs: ClassVar[tuple[str, ...]] = ("copied",)
    probe_limit_s: ClassVar[float] = 120.0
    Args: ClassVar[type[StepArgs]] = KeepArgs

    def effects(self, args: KeepArgs) -> tuple[Effect, ...]:
        """Declare the copy."""
        return (Effect(f"system/{args.system}/{args.site}", "second copy", "written"),)

    async def run(self, args: KeepArgs, context: Context) -> Done:
        """Copy it. Raises StepFailed when there is no backup."""
        second = second_of(context.world, args.system)
        if second is None:
            context.say(NO_PLACE)
            return Done({"copied": ""})
        newest = _newest(args, context)
        await second.copy(newest.id, Deadline(context.world.clock, context.timeout_s), context.say)
        return Done({"copied": newest.id})

    async def probe(self, args: KeepArgs, context: Context) -> Seen:
        """Ask the second place."""
        second = second_of(context.world, args.system)
        if second is None:
            return Seen(Holds.YES, NO_PLACE, {"copied": ""})
        try:
            newest = _newest(args, context)
            there = await second.has(newest.id, Deadline(context.world.clock, context.timeout_s))
        except (TargetError, CredentialError, StepFailed) as error:
            return Seen(Holds.CANNOT_TELL, str(error))
        evidence = f"the second place has {'a' if there else 'no'} copy of {newest.id}"
        return Seen(Holds.YES, evidence, {"copied": newest.id}) if there else Seen(Holds.NO, evidence)


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
