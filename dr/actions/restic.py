"""restic for whatever a playbook wants kept: files of any host, not only the nightly backups of the systems' databases.

A step's snapshot has the tag ``karaula=<run>-<step>``, so a step that is asked for again finds what it did.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from dr.action import Context, Done, Effect, Holds, HostKey, Lasting, Output, Reading, Seen, StepArgs
from dr.errors import StepFailed
from dr.estate.restic import TAG, Repository
from dr.estate.restoring import filled_by, make_target, remove_target
from dr.estate.shell import Shell, host_of
from dr.estate.waiting import Deadline
from monitor.errors import CredentialError, TargetError
from monitor.inventory.backups import Place
from monitor.inventory.backups import Repository as Location
from monitor.inventory.values import Reference, Text

Percent = Annotated[int, Field(ge=1, le=100)]


class ResticArgs(StepArgs):
    """A restic repository as ``host`` reaches it; ``password`` names a credential."""

    host: HostKey
    repository: Location
    password: Reference
    options: tuple[Text, ...] = ()


class ResticBackupArgs(ResticArgs):
    """What is backed up, absolute."""

    paths: Annotated[tuple[Place, ...], Field(min_length=1)]


class ResticBackup(Lasting):
    """Writes one snapshot; repeated, it is the same one."""

    name: ClassVar[str] = "restic_backup"
    summary: ClassVar[str] = "back up files of a host into a restic repository"
    outputs: ClassVar[tuple[str, ...]] = ("snapshot",)
    probe_limit_s: ClassVar[float] = 120.0
    Args: ClassVar[type[StepArgs]] = ResticBackupArgs

    def effects(self, args: ResticBackupArgs) -> tuple[Effect, ...]:
        """Declare the snapshot."""
        return (Effect(f"host/{args.host}", f"restic {args.repository}", f"snapshot of {' '.join(args.paths)}"),)

    async def run(self, args: ResticBackupArgs, context: Context) -> Done:
        """Write it, unless an attempt of this step has."""
        deadline, repository, tag = _deadline(context), _repository(args, context), f"{TAG}{_key(context)}"
        if not await repository.snapshots(tag, deadline):
            await repository.back_up(args.paths, [tag], deadline, context.say)
        found = await repository.snapshots(tag, deadline)
        if not found:
            raise StepFailed(f"restic ended well, but {args.repository} has no snapshot of this step")
        return Done({"snapshot": found[0].id})

    async def probe(self, args: ResticBackupArgs, context: Context) -> Seen:
        """Ask the repository for the step's snapshot."""
        try:
            found = await _repository(args, context).snapshots(f"{TAG}{_key(context)}", _deadline(context))
        except (TargetError, CredentialError, StepFailed) as error:
            return Seen(Holds.CANNOT_TELL, str(error))
        if not found:
            return Seen(Holds.NO, f"{args.repository} has no snapshot of this step")
        return Seen(Holds.YES, f"{args.repository} has snapshot {found[0].id[:8]}", {"snapshot": found[0].id})


class ResticCheckArgs(ResticArgs):
    """How much of the data is read."""

    read_percent: Percent = 100


class ResticCheck(Reading):
    """Reads the repository; a flipped bit or a missing file fails the step."""

    name: ClassVar[str] = "restic_check"
    at_once: ClassVar[bool] = False
    summary: ClassVar[str] = "read a restic repository and check it"
    outputs: ClassVar[tuple[str, ...]] = ("snapshots",)
    Args: ClassVar[type[StepArgs]] = ResticCheckArgs

    async def run(self, args: ResticCheckArgs, context: Context) -> Done:
        """Check it. Raises StepFailed with what is damaged."""
        deadline, repository = _deadline(context), _repository(args, context)
        await repository.check(args.read_percent, deadline, context.say)
        return Done({"snapshots": len(await repository.snapshots("", deadline))})


class ResticRestoreArgs(ResticArgs):
    """Which snapshot (its id, or the output of a ``restic_backup``), and the new folder that it is restored into."""

    snapshot: Annotated[str, Field(pattern=r"^[0-9a-f]{8,64}$")]
    target: Place


class ResticRestore:
    """Restores into a folder that must not be there yet; undone, the folder is gone again."""

    name: ClassVar[str] = "restic_restore"
    summary: ClassVar[str] = "restore a restic snapshot into a new folder of a host"
    outputs: ClassVar[tuple[str, ...]] = ("target",)
    reads_only: ClassVar[bool] = False
    undoable: ClassVar[bool] = True
    probe_limit_s: ClassVar[float] = 60.0
    Args: ClassVar[type[StepArgs]] = ResticRestoreArgs

    def effects(self, args: ResticRestoreArgs) -> tuple[Effect, ...]:
        """Declare the folder."""
        return (Effect(f"host/{args.host}", f"folder {args.target}", "restored"),)

    async def run(self, args: ResticRestoreArgs, context: Context) -> Done:
        """Restore. Raises StepFailed when something else is at the target."""
        deadline, repository = _deadline(context), _repository(args, context)
        if not await filled_by(repository.shell, args.target, _key(context), deadline):
            done = await make_target(repository.shell, args.target, _key(context), deadline)
            await repository.restore(args.snapshot, args.target, deadline, context.say)
            await done()
        return Done({"target": args.target})

    async def probe(self, args: ResticRestoreArgs, context: Context) -> Seen:
        """Look whether this step filled the folder to the end."""
        shell = _repository(args, context).shell
        try:
            there = await filled_by(shell, args.target, _key(context), _deadline(context))
        except (TargetError, CredentialError, StepFailed) as error:
            return Seen(Holds.CANNOT_TELL, str(error))
        evidence = f"{args.target} at {args.host} was {'' if there else 'not '}filled by this step"
        return Seen(Holds.YES, evidence, {"target": args.target}) if there else Seen(Holds.NO, evidence)

    async def undo(self, args: ResticRestoreArgs, context: Context, outputs: Mapping[str, Output]) -> Done:
        """Remove the folder, if this step made it."""
        del outputs
        await remove_target(_repository(args, context).shell, args.target, _key(context), _deadline(context))
        return Done()


def _key(context: Context) -> str:
    return f"{context.run_id}-{context.step}"


def _deadline(context: Context) -> Deadline:
    return Deadline(context.world.clock, context.timeout_s)


def _repository(args: ResticArgs, context: Context) -> Repository:
    """Return the repository. Raises StepFailed for an unknown host."""
    secrets = {"RESTIC_PASSWORD": args.password}
    shell = Shell(context.world, host_of(context.world, args.host), f".karaula-restic-{args.system}.lock", secrets)
    return Repository(shell, args.repository, args.options)
