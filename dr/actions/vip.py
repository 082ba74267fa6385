"""Move a system's own address to a site: given up at the other one, taken here, the neighbours told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from dr.action import PROBE_LIMIT_S, Context, Done, Effect, Holds, Output, Seen, StepArgs
from dr.errors import StepFailed
from dr.estate import address
from dr.estate.waiting import ASK_LIMIT_S, Deadline
from monitor.errors import TargetError, Unreachable

PEER_LIMIT_S = 5.0  # a dead site is silent, and every second of waiting for it is one of interruption


class VipArgs(StepArgs):
    """Nothing beside system and site."""


class MoveAddress:
    """The other site gives it up first. One that cannot be reached is passed over: only a fenced one may be so.

    Let the step need the promotion, which comes after the proven fence: a side without power holds no address.
    """

    name: ClassVar[str] = "vip"
    summary: ClassVar[str] = "move the system's own address to the site"
    outputs: ClassVar[tuple[str, ...]] = ("address", "before", "missed")
    reads_only: ClassVar[bool] = False
    undoable: ClassVar[bool] = True
    probe_limit_s: ClassVar[float] = PROBE_LIMIT_S
    Args: ClassVar[type[StepArgs]] = VipArgs

    def effects(self, args: VipArgs) -> tuple[Effect, ...]:
        """Declare where the traffic goes."""
        return (Effect(f"system/{args.system}/{args.site}", "traffic", args.site),)

    async def run(self, args: VipArgs, context: Context) -> Done:
        """Move it. Raises TargetError, StepFailed."""
        before, missed = await _move(args.system, args.site, context)
        if context.attempt > 1 and before == args.site:
            before = ""  # an attempt before may have moved it
        return Done({"address": _address(args, context), "before": before, "missed": missed})

    async def probe(self, args: VipArgs, context: Context) -> Seen:
        """Ask both sites who holds it; the other one may be silent."""
        world, peer = context.world, context.world.peer(args.system, args.site)
        try:
            here = await address.held(world, args.system, args.site, context.timeout_s / 2)
        except (TargetError, StepFailed) as error:
            return Seen(Holds.CANNOT_TELL, str(error))
        if not here:
            return Seen(Holds.NO, f"{args.site} does not hold it")
        missed = ""
        try:
            if await address.held(world, args.system, peer, min(PEER_LIMIT_S, context.timeout_s / 3)):
                return Seen(Holds.NO, f"both {args.site} and {peer} hold it")
        except Unreachable:
            missed = peer
        except (TargetError, StepFailed) as error:
            return Seen(Holds.CANNOT_TELL, f"{args.site} holds it; whether {peer} does as well is not known: {error}")
        outputs: dict[str, Output] = {"address": _address(args, context), "before": "", "missed": missed}
        return Seen(Holds.YES, f"{args.site} holds it, {f'{peer} does not answer' if missed else 'alone'}", outputs)

    async def undo(self, args: VipArgs, context: Context, outputs: Mapping[str, Output]) -> Done:
        """Give it back to where it was. Raises StepFailed when that is not known, or when both may hold it now."""
        before = str(outputs.get("before", ""))
        if not before:
            raise StepFailed("it is not known where the address was before; move it by hand")
        if before != args.site:
            _, missed = await _move(args.system, before, context)
            if missed:
                raise StepFailed(f"{before} holds it again, but {missed} could not be told to give it up")
        return Done()


def _address(args: VipArgs, context: Context) -> str:
    return address.vip(context.world, args.system).address


async def _move(system: str, site: str, context: Context) -> tuple[str, str]:
    """Move the address; return the site that held it before (empty: not known) and the one that was missed."""
    world, token = context.world, context.token
    deadline = Deadline(world.clock, context.timeout_s)
    peer, before, missed = world.peer(system, site), "", ""
    try:
        if await address.held(world, system, peer, deadline.left(PEER_LIMIT_S)):
            before = peer
            await address.drop(world, system, peer, token, deadline.left(ASK_LIMIT_S), context.say)
    except Unreachable as error:
        missed = peer
        context.say(f"{peer} cannot be asked to give it up: {error}")
    if not before and await address.held(world, system, site, deadline.left(ASK_LIMIT_S)):
        before = site
    if not await address.take(world, system, site, token, deadline.left(ASK_LIMIT_S), context.say):
        raise StepFailed(f"{site} was told to take the address and does not hold it", retry_helps=True)
    return before, missed
