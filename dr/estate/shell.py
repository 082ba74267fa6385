"""Long work on one host by SSH: secrets on its input, one at a time by a lock, and ended by the host itself when late.

A connection that breaks leaves the command running. The lock tells whoever comes next that it still is, and
``timeout`` ends it (as Ctrl-C does, at which tools give back their own locks): nothing that was asked for once is ever
done twice side by side.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from dr.errors import StepFailed
from dr.estate.commands import checked, run, silent
from dr.estate.waiting import Deadline
from dr.world import World
from monitor.clients.ssh import SshResult
from monitor.inventory.equipment import SshHost

BUSY, LATE = 200, 124  # exit statuses that flock is told to give (none of a tool's own), and that timeout gives
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Shell:
    """Commands on ``host``. ``secrets`` names the credential of each variable that every command here may need.

    ``lock`` is a file in the account's home; commands that are ``locked`` run one at a time.
    """

    world: World
    host: SshHost
    lock: str
    secrets: Mapping[str, str] = field(default_factory=dict)

    async def run(
        self, argv: Sequence[str], deadline: Deadline, say: Say = silent, *, stdin: bytes = b"", locked: bool = False
    ) -> SshResult:
        """Run and return the result. Raises TargetError, CredentialError; StepFailed when another holds the lock."""
        secrets = {name: self.world.credentials.secret(reference) for name, reference in self.secrets.items()}
        left_s = deadline.left()
        limit_s = max(1, round(left_s - min(5.0, left_s / 10)))
        guarded = (
            ["timeout", "-s", "INT", "-k", "5", str(limit_s), "flock", "-n", "-E", str(BUSY), self.lock]
            if locked
            else []
        )
        result = await run(self.world, self.host, [*guarded, *argv], left_s, say, stdin=stdin, secrets=secrets)
        if locked and result.exit_status == BUSY:
            said = f"an earlier command for the same backups is still at work at {self.host.address}"
            raise StepFailed(said, retry_helps=True)
        if locked and result.exit_status == LATE:
            raise StepFailed(f"'{argv[0]}' at {self.host.address} was not done within {limit_s} s and was ended")
        return result

    async def must(
        self, argv: Sequence[str], deadline: Deadline, say: Say = silent, *, stdin: bytes = b"", locked: bool = False
    ) -> str:
        """Run what must end well; return what it printed. Raises as ``run``, and StepFailed with what it said."""
        result = await self.run(argv, deadline, say, stdin=stdin, locked=locked)
        return checked(result, self.host, argv).stdout

    async def put(self, path: str, text: str, deadline: Deadline, *, durable: bool = False) -> None:
        """Write a file, at one stroke; ``durable`` waits for the disk, and with it for all that was written before.

        Raises as ``must``.
        """
        sync = ' && sync "$1.part"' if durable else ""
        script = f'cat > "$1.part"{sync} && mv -f -- "$1.part" "$1"'
        await self.must(["sh", "-c", script, "sh", path], deadline, stdin=text.encode())

    async def exists(self, path: str, deadline: Deadline) -> bool:
        """Tell whether there is something at ``path``. Raises TargetError; StepFailed when that cannot be told."""
        found = await self.run(["test", "-e", path], deadline)
        if found.exit_status > 1:
            raise StepFailed(f"it cannot be told whether {path} is at {self.host.address}")
        return found.exit_status == 0

    async def size(self, path: str, deadline: Deadline) -> int:
        """Return the size of a file in bytes. Raises as ``must``."""
        printed = (await self.must(["stat", "-c", "%s", "--", path], deadline)).strip()
        if not printed.isdecimal():
            raise StepFailed(f"'stat' at {self.host.address} does not say how large {path} is")
        return int(printed)

    async def free_bytes(self, folder: str, deadline: Deadline) -> int:
        """Return what an ordinary user may still write below ``folder``. Raises as ``must``."""
        printed = (await self.must(["df", "-B1", "--output=avail", folder], deadline)).split()
        if not printed or not printed[-1].isdecimal():
            raise StepFailed(f"'df' at {self.host.address} does not say how much space {folder} has")
        return int(printed[-1])

    async def used_bytes(self, folder: str, deadline: Deadline) -> int:
        """Return what ``folder`` takes on its disk. Raises as ``must``."""
        printed = (await self.must(["du", "-s", "-B1", folder], deadline)).split()
        return int(printed[0]) if printed and printed[0].isdecimal() else 0


def host_of(world: World, key: str) -> SshHost:
    """Return the host of that key. Raises StepFailed when the inventory has none."""
    host = world.inventory.hosts.get(key)
    if host is None:
        raise StepFailed(f"the inventory has no host '{key}'")
    return host


def below(folder: str, name: str) -> str:
    """Return the path of ``name`` in ``folder``. Raises StepFailed for a name that leads elsewhere."""
    if not name or name in {".", ".."} or "/" in name or "\0" in name:
        raise StepFailed(f"'{name}' is no name of a file")
    return posixpath.join(folder, name)
