"""Change what a system's database is: promote, demote, follow. Every order carries the run's epoch where it can."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from dr.action import Context, Done, Effect, Holds, Lasting, Output, Seen, StepArgs
from dr.errors import StepFailed
from dr.estate import database, fences
from dr.estate.database import DatabaseStatus
from dr.estate.waiting import ASK_LIMIT_S, Deadline, until
from monitor.errors import TargetError


class RoleArgs(StepArgs):
    """Nothing beside system and site."""


class Promote(Lasting):
    """Makes the standby primary under the run's epoch.

    The fence of the other site is read once more, in the last moment: between its proof and now somebody may have
    given the power back while the run was paused or the daemon down. The token must be above every one that the
    database has seen: a daemon that lost its journal, asked before it had looked, could hand out an old one again.
    """

    name: ClassVar[str] = "promote"
    summary: ClassVar[str] = "make the site's database primary"
    outputs: ClassVar[tuple[str, ...]] = ("position", "epoch")
    Args: ClassVar[type[StepArgs]] = RoleArgs

    def effects(self, args: RoleArgs) -> tuple[Effect, ...]:
        """Declare the primary."""
        return (Effect(f"system/{args.system}/{args.site}", "role", "primary"),)

    async def run(self, args: RoleArgs, context: Context) -> Done:
        """Promote and wait until the database says so. Raises StepFailed."""
        world, deadline = context.world, Deadline(context.world.clock, context.timeout_s)
        peer = world.peer(args.system, args.site)
        await _still_fenced(args.system, peer, context, deadline)
        before = await database.status(world, args.system, args.site, deadline.left(ASK_LIMIT_S))
        if before.epoch >= context.token and _not_primary(before, context.token):
            raise StepFailed(
                f"the database at {args.site} has seen fencing token {before.epoch}, and this run's is "
                f"{context.token}: cancel the run and ask for it again, it will get a higher one"
            )
        await database.promote(world, args.system, args.site, context.token, deadline.left(), context.say)
        status = await _wait(args, context, deadline, lambda seen: _not_primary(seen, context.token))
        return Done(_outputs(status))

    async def probe(self, args: RoleArgs, context: Context) -> Seen:
        """Ask the database for its role and epoch."""
        status = await _status(args, context)
        if isinstance(status, Seen):
            return status
        lack = _not_primary(status, context.token)
        return Seen(Holds.NO, lack) if lack else Seen(Holds.YES, _words(status), _outputs(status))


class Demote(Lasting):
    """Makes the primary stop writing and follow the other site; ``position`` is the last one it wrote."""

    name: ClassVar[str] = "demote"
    summary: ClassVar[str] = "make the site's primary stop writing and become a standby"
    outputs: ClassVar[tuple[str, ...]] = ("position", "epoch")
    Args: ClassVar[type[StepArgs]] = RoleArgs

    def effects(self, args: RoleArgs) -> tuple[Effect, ...]:
        """Declare the standby."""
        return (Effect(f"system/{args.system}/{args.site}", "role", "standby"),)

    async def run(self, args: RoleArgs, context: Context) -> Done:
        """Demote and wait until the database says so. Raises StepFailed."""
        deadline = Deadline(context.world.clock, context.timeout_s)
        await database.demote(context.world, args.system, args.site, context.token, deadline.left(), context.say)
        return Done(_outputs(await _wait(args, context, deadline, _not_standby)))

    async def probe(self, args: RoleArgs, context: Context) -> Seen:
        """Ask the database for its role."""
        status = await _status(args, context)
        if isinstance(status, Seen):
            return status
        lack = _not_standby(status)
        return Seen(Holds.NO, lack) if lack else Seen(Holds.YES, _words(status), _outputs(status))


class Follow(Lasting):
    """Makes the database throw away what the other site does not have, and follow it from there.

    What it threw away was accepted here and is at no other place: ``discarded`` is what the failover before lost.
    """

    name: ClassVar[str] = "follow"
    summary: ClassVar[str] = "make the site's database a standby of the other site, discarding what only it has"
    outputs: ClassVar[tuple[str, ...]] = ("discarded", "position")
    Args: ClassVar[type[StepArgs]] = RoleArgs

    def effects(self, args: RoleArgs) -> tuple[Effect, ...]:
        """Declare the standby."""
        return (Effect(f"system/{args.system}/{args.site}", "role", "standby"),)

    async def run(self, args: RoleArgs, context: Context) -> Done:
        """Follow and wait until the database says so. Raises StepFailed."""
        deadline = Deadline(context.world.clock, context.timeout_s)
        world, token = context.world, context.token
        discarded = await database.follow(world, args.system, args.site, token, deadline.left(), context.say)
        status = await _wait(args, context, deadline, _not_standby)
        await database.attach(world, args.system, args.site, token, deadline.left(), context.say)
        if context.attempt > 1:  # an earlier attempt may have thrown it away already; the database remembers
            discarded = max(discarded, status.discarded)
        return Done({"discarded": discarded, "position": status.position})

    async def probe(self, args: RoleArgs, context: Context) -> Seen:
        """Ask the database for its role and what its last ``follow`` threw away."""
        status = await _status(args, context)
        if isinstance(status, Seen):
            return status
        lack = _not_standby(status)
        if not lack:
            try:
                peer = context.world.peer(args.system, args.site)
                attached = await database.attached(context.world, args.system, args.site, context.timeout_s / 2)
                lack = "" if attached else f"{_words(status)}, but the primary at {peer} does not wait for it"
            except (TargetError, StepFailed) as error:
                return Seen(Holds.CANNOT_TELL, str(error))
        if lack:
            return Seen(Holds.NO, lack)
        evidence = f"{_words(status)}; its last follow threw {status.discarded} records away"
        return Seen(Holds.YES, evidence, {"discarded": status.discarded, "position": status.position})


async def _still_fenced(system: str, site: str, context: Context, deadline: Deadline) -> None:
    """Read the fence of the other side once more. Raises StepFailed, TargetError, unless two people overrode it."""
    try:
        lack = fences.unproven(await fences.look(context.world, system, site, deadline.left(ASK_LIMIT_S)))
    except TargetError as error:
        if "fencing" not in context.overridden:
            raise
        lack = str(error)
    if not lack:
        return
    if "fencing" not in context.overridden:
        raise StepFailed(f"the fence of {system} at {site} no longer holds: {lack}. Cut its power again, then retry")
    context.say(f"promoting WITHOUT a proven fence of {site}, as two people have decided: {lack}")


async def _status(args: RoleArgs, context: Context) -> DatabaseStatus | Seen:
    try:
        return await database.status(context.world, args.system, args.site, context.timeout_s)
    except (TargetError, StepFailed) as error:
        return Seen(Holds.CANNOT_TELL, str(error))


async def _wait(
    args: RoleArgs, context: Context, deadline: Deadline, lacks: Callable[[DatabaseStatus], str]
) -> DatabaseStatus:
    return await until(
        lambda: database.status(context.world, args.system, args.site, deadline.left(ASK_LIMIT_S)),
        lacks,
        deadline,
        context.say,
    )


def _not_primary(status: DatabaseStatus, epoch: int) -> str:
    if status.role == "primary" and status.epoch == epoch:
        return ""
    return f"{_words(status)}; expected primary under epoch {epoch}"


def _not_standby(status: DatabaseStatus) -> str:
    return "" if status.role == "standby" else f"{_words(status)}; expected standby"


def _words(status: DatabaseStatus) -> str:
    return f"the database says {status.role}, epoch {status.epoch}, position {status.position}"


def _outputs(status: DatabaseStatus) -> dict[str, Output]:
    return {"position": status.position, "epoch": status.epoch}
