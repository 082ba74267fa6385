"""Can we log in to a host, and what does its database say of itself."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from monitor.clients.ssh import SshPool
from monitor.errors import CredentialError, GarbledReply, TargetError
from monitor.inventory.equipment import SshHost
from monitor.probe import Answer, Observation, each, failed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from monitor.clients.ssh import SshResult
    from monitor.clock import Clock
    from monitor.credential import Credentials
    from monitor.inventory.estate import Trust
    from monitor.probe import Target

AT_ONCE = 32
LONGEST_STATUS = 16 * 1024
LONGEST_REASON = 200
LARGEST = 2**63 - 1
ROLES = ("primary", "standby", "stopped")
WORKS = ("true",)


@dataclass(frozen=True, slots=True)
class HostParams:
    """A host to log in to."""

    host: SshHost


@dataclass(frozen=True, slots=True)
class DatabaseParams:
    """A host whose ``argv`` prints the status of a database, as ``DatabaseCommands.status`` describes it."""

    host: SshHost
    argv: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DatabaseStatus:
    """What a database says of itself; ``received_at`` (Unix seconds) is None when it never received anything."""

    role: str
    position: int
    epoch: int
    received_at: float | None


class SshProbe:
    """Runs one harmless command a target, over connections that are kept."""

    def __init__(self, credentials: Credentials, trust: Trust, clock: Clock) -> None:
        """Prepare. Raises CredentialError when there is no known hosts file."""
        self._pool = SshPool(credentials, credentials.path(trust.known_hosts), clock)
        self._clock = clock

    async def observe(self, targets: Sequence[Target]) -> AsyncIterator[Observation]:
        """Yield one observation a target, with ``duration_seconds``; a database adds its status."""
        async for observation in each(targets, self._ask, AT_ONCE):
            yield observation

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()

    async def _ask(self, target: Target) -> Observation:
        params: HostParams | DatabaseParams = target.params
        argv = params.argv if isinstance(params, DatabaseParams) else WORKS
        try:
            result = await self._pool.run(params.host, argv, timeout_s=target.deadline_s)
            values = {"duration_seconds": result.elapsed_s}
            if result.exit_status:
                reason = _complaint(argv, result)
                return Observation(target.subject, target.probe, self._clock.now(), Answer.FAILED, reason, values)
            if isinstance(params, HostParams):
                return Observation(target.subject, target.probe, self._clock.now(), Answer.OK, values=values)
            status = read_status(result.stdout)
        except (TargetError, CredentialError) as error:
            return failed(target, self._clock.now(), error)
        values |= {"position": float(status.position), "epoch": float(status.epoch)}
        if status.received_at is not None:
            values["received_at"] = status.received_at
        stopped = status.role == "stopped"
        return Observation(
            target.subject,
            target.probe,
            self._clock.now(),
            Answer.FAILED if stopped else Answer.OK,
            "the database is stopped" if stopped else "",
            values,
            {"role": status.role},
        )


def read_status(text: str) -> DatabaseStatus:
    """Return what the status command printed; anything but the promised JSON object raises GarbledReply."""
    if len(text) > LONGEST_STATUS:
        raise GarbledReply(f"the database's status is {len(text)} characters long; {LONGEST_STATUS} is the most taken")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise GarbledReply("the database's status is not JSON") from error
    if not isinstance(found, dict):
        raise GarbledReply("the database's status is not a JSON object")
    role = found.get("role")
    if role not in ROLES:
        raise GarbledReply("the database's role is none of " + ", ".join(ROLES))
    received_at = found.get("received_at")
    if received_at is not None and not _is_number(received_at):
        raise GarbledReply("the database's received_at is not a time")
    return DatabaseStatus(
        role=str(role),
        position=_count(found, "position"),
        epoch=_count(found, "epoch"),
        received_at=None if received_at is None else float(received_at),
    )


def _count(found: dict[str, object], name: str) -> int:
    value = found.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LARGEST:
        raise GarbledReply(f"the database's {name} is not a whole number from 0")
    return value


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 <= value <= LARGEST and math.isfinite(value)


def _complaint(argv: Sequence[str], result: SshResult) -> str:
    """Return what failed and the first line of what it said, fit for one line."""
    first = next((line for line in result.stderr.splitlines() if line.strip()), "")
    said = "".join(character if character.isprintable() else " " for character in first)[:LONGEST_REASON]
    return f"'{' '.join(argv)}' ended with {result.exit_status}" + (f": {said}" if said else "")
