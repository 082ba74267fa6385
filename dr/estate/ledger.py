"""Backups by the commands of the system's kind of database (``database_kinds``), which know how to prove themselves."""

from __future__ import annotations

from dataclasses import dataclass

from dr.errors import StepFailed
from dr.estate import database
from dr.estate.database import Manifest, Restored
from dr.estate.shell import Say
from dr.estate.waiting import Deadline
from dr.world import World


@dataclass(frozen=True, slots=True)
class LedgerMethod:
    """See ``Method``. Its store keeps no list; what restores also answers, so L3 asks it."""

    world: World
    system: str

    async def take(self, site: str, name: str, deadline: Deadline, say: Say) -> Manifest:
        """Write it."""
        return await database.backup(self.world, self.system, site, name, deadline.left(), say)

    async def find(self, name: str, deadline: Deadline) -> Manifest | None:
        """Let the vault read all of it."""
        try:
            return await database.check(self.world, self.system, name, deadline.left())
        except StepFailed:  # the vault has none, or a damaged one
            return None

    async def check(self, name: str, deadline: Deadline, say: Say) -> Manifest:
        """Let the vault read all of it."""
        return await database.check(self.world, self.system, name, deadline.left(), say)

    async def restore(self, name: str, scratch: str, deadline: Deadline, say: Say) -> None:
        """Restore it."""
        await database.restore(self.world, self.system, name, scratch, deadline.left(), say)

    async def restored(self, scratch: str, deadline: Deadline) -> bool:
        """Ask whether it answers; that it holds the right thing is for L4."""
        return await database.query(self.world, self.system, scratch, deadline.left()) is not None

    async def present(self, scratch: str, deadline: Deadline) -> bool:
        """Ask whether it answers."""
        return await self.restored(scratch, deadline)

    async def room(self, scratch: str, deadline: Deadline) -> tuple[int, int]:
        """Have no figures."""
        del scratch, deadline
        return 0, 0

    async def start(self, name: str, scratch: str, deadline: Deadline, say: Say) -> None:
        """See that it answers."""
        del name
        if await database.query(self.world, self.system, scratch, deadline.left(), say) is None:
            raise StepFailed(f"the restored copy {scratch} does not answer")

    async def started(self, scratch: str, deadline: Deadline) -> bool:
        """Ask whether it answers."""
        return await self.restored(scratch, deadline)

    async def ask(self, scratch: str, deadline: Deadline, say: Say) -> Restored | None:
        """Ask what it holds."""
        return await database.query(self.world, self.system, scratch, deadline.left(), say)

    async def discard(self, scratch: str, deadline: Deadline, say: Say) -> None:
        """Remove the scratch place."""
        await database.discard(self.world, self.system, scratch, deadline.left(), say)

    async def names(self, deadline: Deadline) -> frozenset[str]:
        """Refuse: the inventory's check sees to it that nobody asks."""
        del deadline
        raise StepFailed("the database kind's commands keep no list of backups")

    async def needed(self, gone: frozenset[str], deadline: Deadline) -> frozenset[str]:
        """Return none: every backup stands by itself."""
        del gone, deadline
        return frozenset()

    async def remove(self, name: str, deadline: Deadline, say: Say) -> None:
        """Refuse, likewise."""
        del deadline, say
        raise StepFailed(f"the database kind's commands cannot remove backup {name}")
