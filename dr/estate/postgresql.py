"""PostgreSQL as backups need it: what a database holds, a dump of exactly that, and a throwaway server to prove it.

The throwaway server listens on nothing but a socket in its own folder, keeps no archive, follows nobody and loads no
library: a restored copy of production must not act as production.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, ValidationError

from dr.errors import StepFailed
from dr.estate.database import Count, Moment, Name, Restored
from dr.estate.shell import Say, Shell, below
from dr.estate.waiting import Deadline
from monitor.inventory.backups import Postgresql, verified

DUMPED = "karaula-dumped"
LOCK_WAIT = "10s"
SAID_LINES = "4"
PORT = "5432"
ANSWERS_EVERY_S = 0.2
QUIET = (
    "listen_addresses=",
    f"port={PORT}",
    "archive_mode=off",
    "hot_standby=off",
    "max_wal_senders=0",
    "max_logical_replication_workers=0",
    "shared_preload_libraries=",
    "ssl=off",
    "fsync=off",
    "logging_collector=off",
)


class Mark(BaseModel):
    """What a database held at one moment; ``wal`` and ``wal_bytes`` only where a point was set in the WAL."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    records: Count
    position: Count
    newest_id: Name
    taken_at: Moment
    size: Count
    wal: Name = ""
    wal_bytes: Count = 0


NOW = "SELECT json_build_object('taken_at', extract(epoch FROM clock_timestamp())::float8);"
BEGUN = "SELECT json_build_object('taken_at', extract(epoch FROM transaction_timestamp())::float8);"
FACTS = (
    "SELECT json_build_object('size', pg_database_size(current_database()),"
    " 'wal_bytes', (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_segment_size'));"
)


def _question(entry: Postgresql) -> str:
    return f"SELECT row_to_json(asked) FROM ({entry.question.strip().rstrip(';')}) AS asked;"  # noqa: S608 - the inventory's own


@dataclass(frozen=True, slots=True)
class Source:
    """The database at a site, asked from the vault; ``shell`` brings its password in PGPASSWORD."""

    shell: Shell
    entry: Postgresql
    site: str

    async def mark(self, point: str, deadline: Deadline, say: Say) -> Mark:
        """Set ``point`` in the WAL and say what the database holds there, nobody writing meanwhile.

        Raises TargetError, StepFailed. The segment with the point is closed, so that it is archived soon.
        """
        lock = [f"LOCK TABLE {', '.join(self.entry.lock)} IN SHARE MODE;"] if self.entry.lock else []
        script = [
            "BEGIN;",
            f"SET LOCAL lock_timeout = '{LOCK_WAIT}';",
            *lock,
            _question(self.entry),
            NOW,
            FACTS,
            f"SELECT json_build_object('point', pg_create_restore_point('{point}')::text);",
            "COMMIT;",
            "SELECT json_build_object('wal', pg_walfile_name(pg_switch_wal()));",
        ]
        return self._read(await self._script(script, deadline, say))

    async def dump(self, path: str, deadline: Deadline, say: Say) -> Mark:
        """Dump the database into ``path``; say what it held, by the same snapshot. Raises TargetError, StepFailed.

        It is as old as its snapshot: what is written while the question takes its time is not in it.
        """
        program = below(self.entry.programs, "pg_dump")
        words = [program, "--format=custom", "--no-password", f"--dbname={self._connection()}", f"--file={path}"]
        script = [
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;",
            "SELECT pg_export_snapshot() AS snapshot \\gset",
            "\\setenv KARAULA_SNAPSHOT :snapshot",
            _question(self.entry),
            BEGUN,
            FACTS,
            f'\\! {shlex.join(words)} --snapshot="$KARAULA_SNAPSHOT" && echo {DUMPED}',
            "COMMIT;",
        ]
        lines = await self._script(script, deadline, say)
        if DUMPED not in lines:
            raise StepFailed(f"pg_dump of {self.site} did not end well; see the step's output")
        return self._read([line for line in lines if line != DUMPED])

    async def _script(self, lines: list[str], deadline: Deadline, say: Say) -> list[str]:
        argv = [below(self.entry.programs, "psql"), "-XAtqw", "-v", "ON_ERROR_STOP=1", "-d", self._connection()]
        given = ("\n".join(lines) + "\n").encode()
        printed = await self.shell.must(argv, deadline, say, stdin=given, locked=True)
        return [line for line in printed.splitlines() if line]

    def _connection(self) -> str:
        try:
            return verified(self.entry.connections[self.site])
        except KeyError as error:
            raise StepFailed(f"the inventory has no connection to the database at {self.site}") from error

    def _read(self, lines: list[str]) -> Mark:
        try:
            facts = [json.loads(line) for line in lines]
            return Mark.model_validate({key: value for fact in facts for key, value in fact.items()})
        except (ValueError, AttributeError, ValidationError) as error:
            wanted = "one row with records, position (whole numbers) and newest_id (text)"
            raise StepFailed(f"the inventory's question to PostgreSQL must yield {wanted}") from error


@dataclass(frozen=True, slots=True)
class Throwaway:
    """A server of its own in ``folder`` of the vault: data, configuration, socket and log."""

    shell: Shell
    entry: Postgresql
    folder: str

    @property
    def data(self) -> str:
        """The cluster's files."""
        return below(self.folder, "data")

    async def start(self, deadline: Deadline, say: Say) -> None:
        """Start it on its files and wait until it answers. Raises StepFailed with what it wrote to its log."""
        for name, text in (("postgresql.conf", ""), ("hba.conf", "local all all trust\n"), ("ident.conf", "")):
            await self.shell.put(below(self.folder, name), text, deadline)
        paths = {"config_file": "postgresql.conf", "hba_file": "hba.conf", "ident_file": "ident.conf"}
        settings = [f"{name}={below(self.folder, file)}" for name, file in paths.items()]
        settings += [*QUIET, f"unix_socket_directories={self.folder}"]
        options = " ".join(f"-c {shlex.quote(one)}" for one in settings)
        log = below(self.folder, "log")
        wait_s = str(max(1, int(deadline.left()) - 1))
        argv = [*self._pg_ctl, "-s", "-w", "-t", wait_s, "-l", log, "-o", options, "start"]
        result = await self.shell.run(argv, deadline, say)
        # pg_ctl is content once recovery has begun; a server that recovers to a point answers at its end, or ends.
        while not result.exit_status and not await self.answers(deadline):
            if deadline.over:
                raise StepFailed("PostgreSQL was still recovering the restored files when the time was over")
            await deadline.clock.sleep(ANSWERS_EVERY_S)
            result = await self.shell.run([*self._pg_ctl, "status"], deadline)
        if result.exit_status:
            said = (await self.shell.run(["tail", "-n", "12", log], deadline)).stdout.splitlines()
            fatal = [line[line.index("FATAL") :] for line in said if "FATAL" in line]
            why = " ".join((fatal or said[-1:] or ["it says nothing"])[-1].split())
            raise StepFailed(f"PostgreSQL does not start on the restored files: {why}")

    async def load(self, dump: str, deadline: Deadline, say: Say) -> None:
        """Make a new cluster, start it and load ``dump``. Raises TargetError, StepFailed."""
        user = self.entry.superuser
        program = below(self.entry.programs, "initdb")
        flags = ["-D", self.data, "-U", user, "-A", "trust", "-E", "UTF8", "--no-sync"]
        await self.shell.must([program, *flags], deadline)
        await self.start(deadline, say)
        at = ["-h", self.folder, "-p", PORT, "-U", user]
        if self.entry.database != "postgres":
            await self.shell.must(
                [below(self.entry.programs, "createdb"), *at, "-T", "template0", self.entry.database], deadline
            )
        restore = [below(self.entry.programs, "pg_restore"), *at, "-d", self.entry.database]
        await self.shell.must([*restore, "--exit-on-error", "--no-owner", "--no-privileges", dump], deadline, say)

    async def answers(self, deadline: Deadline) -> bool:
        """Tell whether it takes connections. Raises TargetError."""
        argv = [below(self.entry.programs, "pg_isready"), "-q", "-h", self.folder, "-p", PORT]
        return (await self.shell.run(argv, deadline)).exit_status == 0

    async def ask(self, deadline: Deadline, say: Say) -> Restored | None:
        """Return what it answers to the inventory's question; None when it does not run. Raises as ``Source``."""
        if not await self.answers(deadline):
            return None
        at = ["-h", self.folder, "-p", PORT, "-U", self.entry.superuser, "-d", self.entry.database]
        argv = [below(self.entry.programs, "psql"), "-XAtqw", "-v", "ON_ERROR_STOP=1", *at]
        printed = await self.shell.must(argv, deadline, say, stdin=_question(self.entry).encode())
        try:
            return Restored.model_validate_json(printed)
        except ValidationError as error:
            raise StepFailed("the restored copy does not answer the inventory's question with one row") from error

    async def remove(self, deadline: Deadline, say: Say) -> None:
        """Stop it at once and remove its folder. Raises TargetError, StepFailed."""
        if await self.shell.exists(below(self.data, "postmaster.pid"), deadline):
            await self.shell.run([*self._pg_ctl, "-s", "-m", "immediate", "stop"], deadline, say)
        await self.shell.must(["rm", "-rf", "--one-file-system", "--", self.folder], deadline, say)

    @property
    def _pg_ctl(self) -> list[str]:
        return [below(self.entry.programs, "pg_ctl"), "-D", self.data]
