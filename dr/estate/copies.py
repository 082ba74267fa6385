"""The second place of a system's backups: a restic repository that the vault may add to and must not take from.

It is reached so that the other side enforces this: best ``rclone serve restic --stdio --append-only`` as the forced
command of an SSH key. Whether it does is tried each time, by writing a snapshot of nothing and asking to remove that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from dr.errors import StepFailed
from dr.estate.backups import method_of
from dr.estate.database import vault
from dr.estate.dumps import DumpMethod
from dr.estate.pgbackrest import PgbackrestMethod
from dr.estate.restic import TAG, Repository, ResticMethod
from dr.estate.shell import Say, Shell
from dr.estate.waiting import Deadline
from dr.world import World
from monitor.inventory.backups import SecondPlace

CANARY = "karaula-canary"


@dataclass(frozen=True, slots=True)
class Second:
    """The second place of ``system``."""

    world: World
    system: str
    place: SecondPlace

    @property
    def repository(self) -> Repository:
        """The append-only repository as the vault reaches it."""
        secrets = {"RESTIC_PASSWORD": self.place.password}
        shell = Shell(self.world, vault(self.world, self.system), f".karaula-second-{self.system}.lock", secrets)
        return Repository(shell, self.place.repository, self.place.options)

    async def has(self, name: str, deadline: Deadline) -> bool:
        """Tell whether a copy of the backup is there. Raises TargetError, StepFailed."""
        return bool(await self.repository.snapshots(f"{TAG}{name}", deadline))

    async def copy(self, name: str, deadline: Deadline, say: Say) -> None:
        """Copy the backup there; one that is there is kept. Raises TargetError, StepFailed."""
        if await self.has(name, deadline):
            return
        method = method_of(self.world, self.system)
        if isinstance(method, ResticMethod):
            await self._copy_snapshots(method, name, deadline, say)
            return
        if isinstance(method, DumpMethod):
            paths = method.second(name)
        elif isinstance(method, PgbackrestMethod) and method.store.folder is not None:
            paths = [method.store.folder]
        else:
            raise StepFailed("backups by the database kind's own commands cannot be copied")
        await self.repository.back_up(paths, [f"{TAG}{name}"], deadline, say)

    async def _copy_snapshots(self, method: ResticMethod, name: str, deadline: Deadline, say: Say) -> None:
        found = await method.repository.snapshots(f"{TAG}{name}", deadline)
        if not found:
            raise StepFailed(f"there is no backup {name} to copy")
        ours = self.repository
        secrets = {**ours.shell.secrets, "RESTIC_FROM_PASSWORD": method.store.password}
        both = replace(ours, shell=replace(ours.shell, secrets=secrets))
        await both.copy(found[0].id, method.store.repository, deadline, say)

    async def check(self, name: str, deadline: Deadline, say: Say) -> None:
        """Prove that the copy is there and sound. Raises TargetError, StepFailed."""
        if not await self.has(name, deadline):
            raise StepFailed(f"the second place {self.place.repository} has no copy of {name}")
        await self.repository.check(0, deadline, say)

    async def refuses_removal(self, deadline: Deadline, say: Say) -> None:
        """Prove that what the vault may do there does not go as far as removing. Raises TargetError, StepFailed.

        Only a snapshot of nothing is put at stake, made for this.
        """
        repository = self.repository
        found = await repository.snapshots(CANARY, deadline)
        if not found:
            await repository.back_up(["/dev/null"], [CANARY], deadline, say)
            found = await repository.snapshots(CANARY, deadline)
        if await repository.lets_remove(found[0].id, deadline, say):
            raise StepFailed(
                f"the second place {self.place.repository} let the vault remove a snapshot: it is not append-only"
            )
        say("the second place refused to remove a snapshot")


def second_of(world: World, system: str) -> Second | None:
    """Return the system's second place; None when the inventory has none."""
    place = world.system(system).backup.second_place
    return None if place is None else Second(world, system, place)
