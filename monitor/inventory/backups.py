"""How a system's backups are taken, kept, and proven: the method as data, one policy a system.

What stands under ``store`` says who writes and reads the backups; without it the database kind's own commands do.
Everything runs on the ``vault``, which fetches: whoever takes the database host cannot reach its backups.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field

from monitor.inventory.checks_hosts import PATH
from monitor.inventory.values import Key, Model, Reference, Seconds, Text, Whole

Level = Literal["L0", "L1", "L2", "L3", "L4"]
Place = Annotated[str, Field(pattern=PATH, max_length=200)]
Kept = Annotated[Whole, Field(ge=0, le=1000)]
RESTIC = r"^[!-~]{1,300}$"
Repository = Annotated[str, Field(pattern=RESTIC, description="as restic's --repo takes it", examples=["/srv/restic"])]
Options = Annotated[tuple[Text, ...], Field(description="restic's extended options, such as rclone.program=ssh …")]


class Retention(Model):
    """Which backups are kept: the newest ones, and the last one of so many days, weeks and months.

    Never removed, whatever stands here: the newest proven backup, and what is newer than it.
    """

    newest: Annotated[Whole, Field(ge=1, le=1000)] = 7
    days: Kept = 14
    weeks: Kept = 8
    months: Kept = 12


class SecondPlace(Model):
    """A second copy elsewhere, in a restic repository that the vault can add to and not take from (append-only)."""

    repository: Repository
    password: Reference
    options: Options = ()


_SSLMODE = re.compile(r"\bsslmode\s*=\s*'?([a-z-]*)")
_HOSTS = re.compile(r"\bhost(?:addr)?\s*=\s*'?([^\s']*)|^[a-z]+://(?:[^@/]*@)?([^/?]*)")
_HERE = re.compile(r"|localhost(:\d+)?|127\.[\d.]+(:\d+)?|::1|\[::1\](:\d+)?|(/|@|%2[Ff]).*")


def verified(connection: str) -> str:
    """Return libpq's connection string so that the server's certificate and name are verified, where it says nothing.

    libpq's own default takes a connection in the clear, and any certificate. By a socket there is no TLS, and none is
    asked for.
    """
    if _SSLMODE.search(connection):
        return connection
    if "://" in connection:
        return f"{connection}{'&' if '?' in connection else '?'}sslmode=verify-full"
    return f"{connection} sslmode=verify-full"


def trusts_anybody(connection: str) -> bool:
    """Tell whether it says, of a server elsewhere, that its certificate or its name need not be verified."""
    mode = _SSLMODE.search(connection)
    hosts = (host for found in _HOSTS.findall(connection) for host in "".join(found).rstrip("'").split(","))
    return mode is not None and mode[1] != "verify-full" and any(not _HERE.fullmatch(host) for host in hosts)


class Postgresql(Model):
    """How PostgreSQL is asked at a site, and how a restored copy is started and asked at the vault."""

    connections: dict[Key, Text] = Field(
        min_length=1,
        description="by site: libpq's connection string as the vault reaches the database there, without a password;"
        " over the network its certificate is verified, sslmode=verify-full",
        examples=[{"main": "host=db-main.customs.example dbname=cdeps user=karaula sslrootcert=/etc/karaula/ca.pem"}],
    )
    password: Reference | None = Field(None, description="of the user in these connections")
    database: Text = Field(description="its name in the restored copy")
    question: Text = Field(
        description="SQL for one row: records (a count), position (a number that grows) and newest_id (text)",
        examples=["SELECT count(*) AS records, max(id) AS position, max(number) AS newest_id FROM declarations"],
    )
    lock: tuple[Text, ...] = Field(
        (), description="tables in which nobody writes while the question is asked (pgbackrest only; milliseconds)"
    )
    programs: Place = Field("/usr/lib/postgresql/15/bin", description="PostgreSQL's server programs at the vault")
    superuser: Text = Field("postgres", description="who the restored copy is asked as")


class DumpStore(Model):
    """pg_dump into files of a folder of the vault."""

    method: Literal["pg_dump"]
    folder: Place
    postgresql: Postgresql


class ResticStore(Model):
    """pg_dump into an encrypted restic repository."""

    method: Literal["restic"]
    repository: Repository
    password: Reference
    options: Options = ()
    read_percent: Annotated[Whole, Field(ge=1, le=100)] = Field(
        100, description="how much of the repository a verification reads"
    )
    postgresql: Postgresql


class PgbackrestStore(Model):
    """pgBackRest: the cluster's files and its WAL, restored to the point at which the manifest was recorded."""

    method: Literal["pgbackrest"]
    stanza: Key
    config: Place = "/etc/pgbackrest/pgbackrest.conf"
    repository: Annotated[Whole, Field(ge=1, le=256)] = 1
    cipher_password: Reference | None = Field(None, description="of the repository, where its configuration has none")
    folder: Place | None = Field(None, description="the repository's own folder at the vault; a second place needs it")
    kind: Literal["full", "diff", "incr"] = "incr"
    postgresql: Postgresql


Store = Annotated[DumpStore | ResticStore | PgbackrestStore, Field(discriminator="method")]


class BackupPolicy(Model):
    """Where a system's backups are kept, how old the newest may be, and what counts as proven."""

    vault: Key = Field(description="SSH host that keeps the backups and where they are restored for verification")
    max_age_s: Seconds = 26 * 3600
    store: Store | None = Field(None, description="who writes and reads them; without it the database kind's commands")
    scratch: Place = Field("/var/lib/karaula/scratch", description="folder of the vault that restores go into")
    required_level: Level = Field("L4", description="the level that a backup must pass to count as proven")
    verify_within_s: Seconds = Field(4 * 3600, description="time budget of a verification; beyond it is a finding")
    scratch_reserve_bytes: Annotated[Whole, Field(ge=0)] = Field(
        0, description="space that a restore must leave free at the vault"
    )
    retention: Retention | None = Field(None, description="without it nothing is removed")
    second_place: SecondPlace | None = None
