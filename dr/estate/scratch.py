"""The scratch place of a verification: a folder of the vault with room enough, a server in it, and nothing left after.

Shared by every method whose backups restore into files.
"""

from __future__ import annotations

from dataclasses import dataclass

from dr.errors import StepFailed
from dr.estate.database import Restored
from dr.estate.postgresql import Throwaway
from dr.estate.shell import Say, Shell, below
from dr.estate.waiting import Deadline
from monitor.inventory.backups import BackupPolicy, Postgresql

SLACK = 1.1  # a restored copy's logs, indexes and recovery take some more than the original
DUMP = "database.dump"


@dataclass(frozen=True, slots=True)
class ScratchMethod:
    """What the methods of files have in common; see ``Method``."""

    shell: Shell
    policy: BackupPolicy
    postgresql: Postgresql

    async def restored(self, scratch: str, deadline: Deadline) -> bool:
        """Look whether its folder is there and was filled to the end."""
        return await self.shell.exists(below(self.place(scratch), "restored"), deadline)

    async def present(self, scratch: str, deadline: Deadline) -> bool:
        """Look whether anything of its folder is there."""
        return await self.shell.exists(self.place(scratch), deadline)

    async def room(self, scratch: str, deadline: Deadline) -> tuple[int, int]:
        """Return what the folder takes and what its disk has left."""
        place = self.place(scratch)
        return await self.shell.used_bytes(place, deadline), await self.shell.free_bytes(place, deadline)

    async def started(self, scratch: str, deadline: Deadline) -> bool:
        """Ask whether the throwaway server answers."""
        return await self.throwaway(scratch).answers(deadline)

    async def ask(self, scratch: str, deadline: Deadline, say: Say) -> Restored | None:
        """Ask the throwaway server the inventory's question."""
        return await self.throwaway(scratch).ask(deadline, say)

    async def discard(self, scratch: str, deadline: Deadline, say: Say) -> None:
        """Stop the server and remove the folder."""
        await self.throwaway(scratch).remove(deadline, say)

    async def needed(self, gone: frozenset[str], deadline: Deadline) -> frozenset[str]:
        """Return none: every backup stands by itself."""
        del gone, deadline
        return frozenset()

    # -- for the methods -----------------------------------------------------------------------------------------------

    def place(self, scratch: str) -> str:
        """Return the folder of a scratch place."""
        return below(self.policy.scratch, scratch)

    def throwaway(self, scratch: str) -> Throwaway:
        """Return the server of a scratch place."""
        return Throwaway(self.shell, self.postgresql, self.place(scratch))

    async def make_place(self, scratch: str, needed_bytes: int, deadline: Deadline) -> str:
        """Make an empty folder that ``needed_bytes`` fit into, and return it.

        Raises TargetError; StepFailed when there is not room enough, with both figures.
        """
        place = self.place(scratch)
        await self.throwaway(scratch).remove(deadline, lambda _line: None)
        await self.shell.must(["mkdir", "-p", "-m", "700", "--", place], deadline)
        free = await self.shell.free_bytes(place, deadline)
        needed = int(needed_bytes * SLACK) + self.policy.scratch_reserve_bytes
        if free < needed:
            where = f"{self.policy.scratch} at {self.shell.host.address}"
            room = f"has {free / 1e6:.0f} MB free, {needed / 1e6:.0f} MB are needed"
            raise StepFailed(f"not room enough to restore: {where} {room}; make room or give it a larger disk")
        return place

    async def filled(self, place: str, deadline: Deadline) -> None:
        """Write down that the folder was filled to the end."""
        await self.shell.put(below(place, "restored"), "", deadline)

    async def sha256(self, path: str, deadline: Deadline) -> str:
        """Read a file whole, by OpenSSL where it is, which knows the processor's instructions. Raises as ``must``."""
        script = (
            'if command -v openssl >/dev/null; then exec openssl dgst -sha256 -r "$1"; else exec sha256sum "$1"; fi'
        )
        printed = (await self.shell.must(["sh", "-c", script, "sh", path], deadline)).split()
        if not printed:
            raise StepFailed(f"the SHA-256 of {path} at {self.shell.host.address} could not be computed")
        return printed[0].lstrip("\\")

    async def same(self, path: str, sha256: str, deadline: Deadline) -> None:
        """Read a restored file whole. Raises StepFailed when it is not what was written."""
        found = await self.sha256(path, deadline)
        if found != sha256:
            raise StepFailed(f"the restored file's sha256 is {found}, recorded was {sha256}")
