"""A system's database at a site, and its backups in the vault: what they are asked and told, as typed values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from dr.errors import StepFailed
from dr.estate.commands import checked, filled, read, run, silent
from dr.world import Marker, World
from monitor.inventory.database import DatabaseCommands
from monitor.inventory.equipment import SshHost

Count = Annotated[int, Field(ge=0, lt=2**63)]
Moment = Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)]
Name = Annotated[str, Field(max_length=200)]
Say = Callable[[str], None]


class _Printed(BaseModel):
    """Base of what commands print: strictly typed; more keys than we know are allowed."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class DatabaseStatus(_Printed):
    """See ``DatabaseCommands``; ``discarded`` counts what the last ``follow`` threw away.

    ``record`` is None where positions count records themselves, ``attached`` where the kind has no such command.
    """

    role: Literal["primary", "standby", "stopped"]
    position: Count
    received_at: Moment
    epoch: Count
    discarded: Count = 0
    record: Count | None = None
    pending: Count = 0
    marker: Count = 0
    marker_at: Moment = 0.0
    attached: tuple[Name, ...] | None = None

    @property
    def newest(self) -> int:
        """The number of the newest record, as receipts count."""
        return self.position if self.record is None else self.record


class Marked(_Printed):
    """What ``mark`` prints."""

    marker: Count
    at: Moment


class Discarded(_Printed):
    """What ``follow`` prints."""

    discarded: Count


class Restored(_Printed):
    """What a restored copy holds."""

    records: Count
    position: Count
    newest_id: Name


class Manifest(_Printed):
    """What a backup holds: ``records`` up to ``position``, ``bytes`` long; ``taken_at`` in Unix seconds."""

    backup: Name
    system: Name
    records: Count
    position: Count
    newest_id: Name
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    bytes: Count
    taken_at: Moment

    def outputs(self) -> dict[str, str | int | float | bool]:
        """Return it as a step's outputs, under the same names."""
        return {name: getattr(self, name) for name in MANIFEST if name != "system"}


def differs(recorded: object, found: Manifest | Restored, names: Sequence[str]) -> None:
    """Raise StepFailed with every value of ``names`` that is not what was recorded when the backup was taken."""
    wrong = [
        f"{name} is {getattr(found, name)}, recorded was {getattr(recorded, name)}"
        for name in names
        if getattr(found, name) != getattr(recorded, name)
    ]
    if wrong:
        raise StepFailed("the backup is not what was recorded: " + "; ".join(wrong))


MANIFEST = ("backup", "system", "records", "position", "newest_id", "sha256", "bytes", "taken_at")


def commands(world: World, system: str) -> DatabaseCommands:
    """Return the commands of the system's kind of database."""
    return world.system(system).database.commands


def vault(world: World, system: str) -> SshHost:
    """Return the host that keeps the system's backups."""
    return world.inventory.hosts[world.system(system).backup.vault]


def _needed(world: World, system: str, name: str) -> Sequence[str]:
    argv: Sequence[str] | None = getattr(commands(world, system), name)
    if argv is None:
        raise StepFailed(f"the kind of {system}'s database has no command '{name}'")
    return argv


async def status(world: World, system: str, site: str, timeout_s: float) -> DatabaseStatus:
    """Ask the database at ``site``. Raises TargetError, and StepFailed when the command fails."""
    host, argv = world.database_host(system, site), list(commands(world, system).status)
    result = await run(world, host, argv, timeout_s)
    return read(DatabaseStatus, checked(result, host, argv), host, argv)


async def promote(world: World, system: str, site: str, epoch: int, timeout_s: float, say: Say) -> None:
    """Make the standby at ``site`` primary under ``epoch``. Raises as ``status``."""
    host, argv = world.database_host(system, site), filled(commands(world, system).promote, epoch=epoch)
    checked(await run(world, host, argv, timeout_s, say), host, argv)


async def demote(world: World, system: str, site: str, epoch: int, timeout_s: float, say: Say) -> None:
    """Make the primary at ``site`` a standby of the other site. Raises as ``status``."""
    argv = filled(commands(world, system).demote, peer=world.peer(system, site), epoch=epoch)
    host = world.database_host(system, site)
    checked(await run(world, host, argv, timeout_s, say), host, argv)


async def follow(world: World, system: str, site: str, epoch: int, timeout_s: float, say: Say) -> int:
    """Make ``site`` follow the other site; return how many records it threw away. Raises as ``status``."""
    host = world.database_host(system, site)
    argv = filled(commands(world, system).follow, peer=world.peer(system, site), epoch=epoch)
    result = checked(await run(world, host, argv, timeout_s, say), host, argv)
    return read(Discarded, result, host, argv).discarded


async def attach(world: World, system: str, site: str, epoch: int, timeout_s: float, say: Say) -> None:
    """Have the primary at the other site wait for ``site`` again, where the kind can. Raises as ``status``."""
    command, peer = commands(world, system).attach, world.peer(system, site)
    if command is not None:
        host, argv = world.database_host(system, peer), filled(command, peer=site, epoch=epoch)
        checked(await run(world, host, argv, timeout_s, say), host, argv)


async def mark(world: World, system: str, site: str, timeout_s: float) -> Marker:
    """Commit a marker in the primary at ``site``. Raises as ``status``, and StepFailed where the kind has none."""
    host, argv = world.database_host(system, site), list(_needed(world, system, "mark"))
    found = read(Marked, checked(await run(world, host, argv, timeout_s), host, argv), host, argv)
    return Marker(found.marker, found.at)


async def attached(world: World, system: str, site: str, timeout_s: float) -> bool:
    """Tell whether the primary at the other site waits for ``site``; True where the kind cannot. Raises as status."""
    if commands(world, system).attach is None:
        return True
    return site in ((await status(world, system, world.peer(system, site), timeout_s)).attached or ())


async def backup(world: World, system: str, site: str, name: str, timeout_s: float, say: Say) -> Manifest:
    """Write backup ``name`` of the database at ``site``; return its manifest. Raises as ``status``."""
    host, argv = world.database_host(system, site), filled(_needed(world, system, "backup"), backup=name)
    return read(Manifest, checked(await run(world, host, argv, timeout_s, say), host, argv), host, argv)


async def check(world: World, system: str, name: str, timeout_s: float, say: Say = silent) -> Manifest:
    """Let the vault read all of backup ``name``; return its manifest as found. Raises as ``status``."""
    host, argv = vault(world, system), filled(_needed(world, system, "check"), backup=name)
    return read(Manifest, checked(await run(world, host, argv, timeout_s, say), host, argv), host, argv)


async def restore(world: World, system: str, name: str, scratch: str, timeout_s: float, say: Say) -> None:
    """Restore backup ``name`` into ``scratch`` at the vault. Raises as ``status``."""
    host, argv = vault(world, system), filled(_needed(world, system, "restore"), backup=name, scratch=scratch)
    checked(await run(world, host, argv, timeout_s, say), host, argv)


async def query(world: World, system: str, scratch: str, timeout_s: float, say: Say = silent) -> Restored | None:
    """Return what the restored copy holds; None when the vault says that there is none. Raises as ``status``."""
    host, argv = vault(world, system), filled(_needed(world, system, "query"), scratch=scratch)
    result = await run(world, host, argv, timeout_s, say)
    return None if result.exit_status else read(Restored, result, host, argv)


async def discard(world: World, system: str, scratch: str, timeout_s: float, say: Say) -> None:
    """Remove ``scratch`` at the vault. Raises as ``status``."""
    host, argv = vault(world, system), filled(_needed(world, system, "discard"), scratch=scratch)
    checked(await run(world, host, argv, timeout_s, say), host, argv)
