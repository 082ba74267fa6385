"""Look at a system's database, and wait until it is as it should be: answering, in its role, caught up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from dr.action import Context, Done, Output, Reading, StepArgs
from dr.errors import StepFailed
from dr.estate import database
from dr.estate.database import DatabaseStatus
from dr.estate.waiting import ASK_LIMIT_S, Deadline, until

WithinS = Annotated[float, Field(ge=0, le=24 * 3600)]


class WaitDatabaseArgs(StepArgs):
    """For how long to wait."""

    within_s: WithinS = 60


class WaitDatabase(Reading):
    """Waits until the database host answers for its database, whatever it is then."""

    name: ClassVar[str] = "wait_database"
    summary: ClassVar[str] = "wait until the site's database answers"
    outputs: ClassVar[tuple[str, ...]] = ("role", "position", "epoch")
    Args: ClassVar[type[StepArgs]] = WaitDatabaseArgs

    async def run(self, args: WaitDatabaseArgs, context: Context) -> Done:
        """Ask until it answers. Raises StepFailed."""
        deadline = Deadline(context.world.clock, context.timeout_s).within(args.within_s)
        return Done(_outputs(await _until(args, context, deadline, lambda _status: "")))


class WaitReplicaArgs(StepArgs):
    """How far the replica must be: to ``position``, or to where the other site stands when the step begins."""

    within_s: WithinS = 300
    position: Annotated[int, Field(ge=0)] | None = None


class WaitReplica(Reading):
    """Waits until the database at the site has caught up; what the other site writes meanwhile is not waited for."""

    name: ClassVar[str] = "wait_replica"
    summary: ClassVar[str] = "wait until the site's database has everything"
    outputs: ClassVar[tuple[str, ...]] = ("position", "target")
    Args: ClassVar[type[StepArgs]] = WaitReplicaArgs

    async def run(self, args: WaitReplicaArgs, context: Context) -> Done:
        """Ask until it is there. Raises StepFailed, and TargetError when the other site does not answer."""
        world = context.world
        deadline = Deadline(world.clock, context.timeout_s).within(args.within_s)
        target = args.position
        if target is None:
            peer = world.peer(args.system, args.site)
            target = (await database.status(world, args.system, peer, deadline.left(ASK_LIMIT_S))).position
        goal = target
        context.say(f"waiting for position {goal}")

        def behind(status: DatabaseStatus) -> str:
            return "" if status.position >= goal else f"at position {status.position} of {goal}"

        status = await _until(args, context, deadline, behind)
        return Done({"position": status.position, "target": goal})


class CheckRoleArgs(StepArgs):
    """What the database should be."""

    expect: Literal["primary", "standby", "stopped"]


class CheckRole(Reading):
    """Looks once: that a run starts from where the system really is."""

    name: ClassVar[str] = "check_role"
    summary: ClassVar[str] = "see that the site's database is primary, or standby"
    outputs: ClassVar[tuple[str, ...]] = ("role", "position", "epoch")
    Args: ClassVar[type[StepArgs]] = CheckRoleArgs

    async def run(self, args: CheckRoleArgs, context: Context) -> Done:
        """Ask once. Raises StepFailed when it is something else, and TargetError."""
        deadline = Deadline(context.world.clock, context.timeout_s)
        status = await database.status(context.world, args.system, args.site, deadline.left())
        if status.role != args.expect:
            raise StepFailed(f"the database of {args.system} at {args.site} is {status.role}, not {args.expect}")
        return Done(_outputs(status))


async def _until(
    args: WaitDatabaseArgs | WaitReplicaArgs,
    context: Context,
    deadline: Deadline,
    lacks: Callable[[DatabaseStatus], str],
) -> DatabaseStatus:
    def limit_s() -> float:
        return min(ASK_LIMIT_S, context.timeout_s) if deadline.over else deadline.left(ASK_LIMIT_S)

    return await until(
        lambda: database.status(context.world, args.system, args.site, limit_s()), lacks, deadline, context.say
    )


def _outputs(status: DatabaseStatus) -> dict[str, Output]:
    return {"role": status.role, "position": status.position, "epoch": status.epoch}
