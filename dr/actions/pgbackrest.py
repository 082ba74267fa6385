"""pgBackRest and pg_dump for whatever a playbook wants, beside the nightly backups: before an upgrade, for a copy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from dr.action import Context, Done, Effect, Holds, HostKey, Lasting, Output, Reading, Seen, StepArgs
from dr.errors import StepFailed
from dr.estate.pgbackrest import Stanzas
from dr.estate.restoring import filled_by, make_target, remove_target
from dr.estate.shell import Shell, host_of
from dr.estate.waiting import Deadline
from monitor.errors import CredentialError, TargetError
from monitor.inventory.backups import Place, trusts_anybody, verified
from monitor.inventory.values import Key, Reference, Text

Number = Annotated[int, Field(ge=1, le=256)]


class PgbackrestArgs(StepArgs):
    """A stanza as ``host`` sees it; ``cipher_password`` names a credential, where the configuration has no key."""

    host: HostKey
    stanza: Key
    config: Place = "/etc/pgbackrest/pgbackrest.conf"
    repository: Number = 1
    cipher_password: Reference | None = None


class PgbackrestBackupArgs(PgbackrestArgs):
    """A full one, or what has changed since a full one (diff) or since any (incr)."""

    kind: Literal["full", "diff", "incr"] = "incr"


class PgbackrestBackup(Lasting):
    """Takes one backup; repeated, it is the same one."""

    name: ClassVar[str] = "pgbackrest_backup"
    summary: ClassVar[str] = "take a pgBackRest backup of a stanza"
    outputs: ClassVar[tuple[str, ...]] = ("label", "bytes")
    probe_limit_s: ClassVar[float] = 120.0
    Args: ClassVar[type[StepArgs]] = PgbackrestBackupArgs

    def effects(self, args: PgbackrestBackupArgs) -> tuple[Effect, ...]:
        """Declare the backup."""
        return (Effect(f"host/{args.host}", f"stanza {args.stanza}", f"{args.kind} backup"),)

    async def run(self, args: PgbackrestBackupArgs, context: Context) -> Done:
        """Take it, unless an attempt of this step has."""
        deadline, stanzas = _deadline(context), _stanzas(args, context)
        entry = await stanzas.named(_key(context), deadline)
        if entry is None:
            entry = await stanzas.back_up(_key(context), args.kind, deadline, context.say)
        return Done({"label": entry.label, "bytes": entry.info.size})

    async def probe(self, args: PgbackrestBackupArgs, context: Context) -> Seen:
        """Ask the repository for the step's backup."""
        try:
            entry = await _stanzas(args, context).named(_key(context), _deadline(context))
        except (TargetError, CredentialError, StepFailed) as error:
            return Seen(Holds.CANNOT_TELL, str(error))
        if entry is None:
            return Seen(Holds.NO, f"stanza {args.stanza} has no backup of this step")
        outputs: dict[str, Output] = {"label": entry.label, "bytes": entry.info.size}
        return Seen(Holds.YES, f"stanza {args.stanza} has backup {entry.label}", outputs)


class PgbackrestCheck(Reading):
    """Reads every file of the stanza's repository; damage to any backup or to the archive fails the step."""

    name: ClassVar[str] = "pgbackrest_check"
    at_once: ClassVar[bool] = False
    summary: ClassVar[str] = "read a stanza's whole repository and check it"
    outputs: ClassVar[tuple[str, ...]] = ("backups",)
    Args: ClassVar[type[StepArgs]] = PgbackrestArgs

    async def run(self, args: PgbackrestArgs, context: Context) -> Done:
        """Check it. Raises StepFailed with what is damaged."""
        deadline, stanzas = _deadline(context), _stanzas(args, context)
        stanza = await stanzas.stanza(deadline)
        labels = {entry.label for entry in stanza.backup}
        await stanzas.verify(labels, deadline, context.say)
        return Done({"backups": len(labels)})


class PgbackrestRestoreArgs(PgbackrestArgs):
    """Which backup (``latest`` or a label), and the new folder for the cluster's files."""

    label: Annotated[str, Field(pattern=r"^(latest|\d{8}-\d{6}F(_\d{8}-\d{6}[DI])?)$")] = "latest"
    target: Place


class PgbackrestRestore:
    """Restores into a folder that must not be there yet; it starts nothing. Undone, the folder is gone again."""

    name: ClassVar[str] = "pgbackrest_restore"
    summary: ClassVar[str] = "restore a pgBackRest backup into a new folder of a host"
    outputs: ClassVar[tuple[str, ...]] = ("target",)
    reads_only: ClassVar[bool] = False
    undoable: ClassVar[bool] = True
    probe_limit_s: ClassVar[float] = 60.0
    Args: ClassVar[type[StepArgs]] = PgbackrestRestoreArgs

    def effects(self, args: PgbackrestRestoreArgs) -> tuple[Effect, ...]:
        """Declare the folder."""
        return (Effect(f"host/{args.host}", f"folder {args.target}", "restored"),)

    async def run(self, args: PgbackrestRestoreArgs, context: Context) -> Done:
        """Restore. Raises StepFailed when something else is at the target."""
        deadline, stanzas = _deadline(context), _stanzas(args, context)
        if not await filled_by(stanzas.shell, args.target, _key(context), deadline):
            done = await make_target(stanzas.shell, args.target, _key(context), deadline)
            await stanzas.restore(args.label, args.target, ("--type=immediate",), deadline, context.say)
            await done()
        return Done({"target": args.target})

    async def probe(self, args: PgbackrestRestoreArgs, context: Context) -> Seen:
        """Look whether this step filled the folder to the end."""
        try:
            there = await filled_by(_stanzas(args, context).shell, args.target, _key(context), _deadline(context))
        except (TargetError, CredentialError, StepFailed) as error:
            return Seen(Holds.CANNOT_TELL, str(error))
        evidence = f"{args.target} at {args.host} was {'' if there else 'not '}filled by this step"
        return Seen(Holds.YES, evidence, {"target": args.target}) if there else Seen(Holds.NO, evidence)

    async def undo(self, args: PgbackrestRestoreArgs, context: Context, outputs: Mapping[str, Output]) -> Done:
        """Remove the folder, if this step made it."""
        del outputs
        await remove_target(_stanzas(args, context).shell, args.target, _key(context), _deadline(context))
        return Done()


class DatabaseDumpArgs(StepArgs):
    """Which database, by libpq's connection string without a password, and the new file for its dump."""

    host: HostKey
    connection: Text
    password: Reference | None = None
    path: Place
    program: Place = "/usr/bin/pg_dump"

    @field_validator("connection")
    @classmethod
    def _of_somebody_known(cls, connection: str) -> str:
        if trusts_anybody(connection):
            raise ValueError(
                "whoever answers would be taken for the database: leave sslmode out, it is verify-full then"
            )
        return connection


class DatabaseDump(Lasting):
    """Writes a dump in pg_dump's custom format; it has its name only when it is whole and on the disk."""

    name: ClassVar[str] = "database_dump"
    summary: ClassVar[str] = "dump a PostgreSQL database into a file of a host"
    outputs: ClassVar[tuple[str, ...]] = ("path", "bytes")
    Args: ClassVar[type[StepArgs]] = DatabaseDumpArgs

    def effects(self, args: DatabaseDumpArgs) -> tuple[Effect, ...]:
        """Declare the file."""
        return (Effect(f"host/{args.host}", f"file {args.path}", "dumped"),)

    async def run(self, args: DatabaseDumpArgs, context: Context) -> Done:
        """Dump. Raises StepFailed when there is such a file, of whomever."""
        deadline, shell = _deadline(context), _shell(args, context)
        if await shell.exists(args.path, deadline):
            raise StepFailed(f"there is a file {args.path} at {args.host} already: dump into a new one")
        part = f"{args.path}.part"
        flags = ["--format=custom", "--no-password", f"--file={part}", f"--dbname={verified(args.connection)}"]
        await shell.must([args.program, *flags], deadline, context.say, locked=True)
        await shell.must(["sync", part], deadline)
        await shell.must(["mv", "-n", "--", part, args.path], deadline)
        return Done({"path": args.path, "bytes": await shell.size(args.path, deadline)})

    async def probe(self, args: DatabaseDumpArgs, context: Context) -> Seen:
        """Look whether the file is there: it never is by halves."""
        deadline, shell = _deadline(context), _shell(args, context)
        try:
            if not await shell.exists(args.path, deadline):
                return Seen(Holds.NO, f"there is no file {args.path} at {args.host}")
            size = await shell.size(args.path, deadline)
        except (TargetError, CredentialError, StepFailed) as error:
            return Seen(Holds.CANNOT_TELL, str(error))
        return Seen(Holds.YES, f"{args.path} at {args.host} has {size} bytes", {"path": args.path, "bytes": size})


def _key(context: Context) -> str:
    return f"{context.run_id}-{context.step}"


def _deadline(context: Context) -> Deadline:
    return Deadline(context.world.clock, context.timeout_s)


def _stanzas(args: PgbackrestArgs, context: Context) -> Stanzas:
    """Return the stanza. Raises StepFailed for an unknown host."""
    name = f"PGBACKREST_REPO{args.repository}_CIPHER_PASS"
    secrets = {name: args.cipher_password} if args.cipher_password else {}
    shell = Shell(context.world, host_of(context.world, args.host), f".karaula-{args.stanza}.lock", secrets)
    return Stanzas(shell, args.stanza, args.config, args.repository)


def _shell(args: DatabaseDumpArgs, context: Context) -> Shell:
    secrets = {"PGPASSWORD": args.password} if args.password else {}
    return Shell(context.world, host_of(context.world, args.host), f".karaula-dump-{args.system}.lock", secrets)
