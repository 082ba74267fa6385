"""Cut a system's power at a site, and prove it: a fence that is only asked for is none."""

from __future__ import annotations

from typing import ClassVar

from dr.action import Context, Done, Effect, Holds, Lasting, Output, Seen, StepArgs
from dr.estate import fences
from dr.estate.waiting import ASK_LIMIT_S, Deadline, until
from monitor.clients.redfish import OutletGroup
from monitor.errors import TargetError


class FenceArgs(StepArgs):
    """Nothing beside system and site."""


class Fence(Lasting):
    """PROVEN means: the controller, which has its own network and battery, reads PowerState Off *and* 0 W.

    Also a group without power is switched off, so that nothing starts when the site's power returns. There is no undo:
    after a promotion it would give two writable sites; ``unfence`` is a step of its own.
    """

    name: ClassVar[str] = "fence"
    summary: ClassVar[str] = "cut the system's power at the site and prove that it draws none"
    outputs: ClassVar[tuple[str, ...]] = ("proof", "power_state", "watts", "proven_at")
    Args: ClassVar[type[StepArgs]] = FenceArgs

    def effects(self, args: FenceArgs) -> tuple[Effect, ...]:
        """Declare the fence."""
        return (Effect(f"system/{args.system}/{args.site}", "fence", "on"),)

    async def run(self, args: FenceArgs, context: Context) -> Done:
        """Switch off and read until it is proven. Raises StepFailed with what was read when it is not."""
        world, deadline = context.world, Deadline(context.world.clock, context.timeout_s)
        before = await fences.look(world, args.system, args.site, deadline.left(ASK_LIMIT_S))
        context.say(f"before: {fences.described(before)}")
        if before.power != "Off":
            await fences.switch(world, args.system, args.site, deadline.left(ASK_LIMIT_S), on=False)
        group = await until(
            lambda: fences.look(world, args.system, args.site, deadline.left(ASK_LIMIT_S)),
            fences.unproven,
            deadline,
            context.say,
        )
        context.say(f"PROVEN: {fences.described(group)}")
        return Done({"proof": fences.PROVEN, "power_state": group.power, "watts": 0.0, "proven_at": world.clock.now()})

    async def probe(self, args: FenceArgs, context: Context) -> Seen:
        """Read the outlet group."""
        try:
            group = await fences.look(context.world, args.system, args.site, context.timeout_s)
        except TargetError as error:
            return Seen(Holds.CANNOT_TELL, str(error))
        lack = fences.unproven(group)
        if lack:
            return Seen(Holds.NO, lack)
        return Seen(Holds.YES, fences.described(group), _proof(group, context.world.clock.now()))


def _proof(group: OutletGroup, now: float) -> dict[str, Output]:
    return {"proof": fences.PROVEN, "power_state": group.power, "watts": 0.0, "proven_at": now}


class Unfence(Lasting):
    """Only gives the power back: what starts by itself then is an old state and must be told to follow."""

    name: ClassVar[str] = "unfence"
    summary: ClassVar[str] = "give the system its power at the site back"
    outputs: ClassVar[tuple[str, ...]] = ("power_state",)
    Args: ClassVar[type[StepArgs]] = FenceArgs

    def effects(self, args: FenceArgs) -> tuple[Effect, ...]:
        """Declare that there is no fence."""
        return (Effect(f"system/{args.system}/{args.site}", "fence", "off"),)

    async def run(self, args: FenceArgs, context: Context) -> Done:
        """Switch on and read it back. Raises StepFailed."""
        world, deadline = context.world, Deadline(context.world.clock, context.timeout_s)
        before = await fences.look(world, args.system, args.site, deadline.left(ASK_LIMIT_S))
        if before.power != "On":
            await fences.switch(world, args.system, args.site, deadline.left(ASK_LIMIT_S), on=True)
        group = await until(
            lambda: fences.look(world, args.system, args.site, deadline.left(ASK_LIMIT_S)),
            lambda seen: "" if seen.power == "On" else f"the outlet group reads {seen.power}",
            deadline,
            context.say,
        )
        context.say(fences.described(group))
        return Done({"power_state": group.power})

    async def probe(self, args: FenceArgs, context: Context) -> Seen:
        """Read the outlet group."""
        try:
            group = await fences.look(context.world, args.system, args.site, context.timeout_s)
        except TargetError as error:
            return Seen(Holds.CANNOT_TELL, str(error))
        if group.power != "On":
            return Seen(Holds.NO, fences.described(group))
        return Seen(Holds.YES, fences.described(group), {"power_state": group.power})
