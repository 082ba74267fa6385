"""What a drill must leave as it found it: roles, epochs, names, power and fences of a system at both its sites."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable
from typing import ClassVar

from dr.action import Context, Done, Reading, StepArgs
from dr.errors import StepFailed
from dr.estate import database, fences, front, machines
from dr.estate.waiting import ASK_LIMIT_S, Deadline, together
from dr.world import World
from monitor.clients.vsphere import VcenterSession
from monitor.errors import TargetError

NO_ANSWER = "no answer"
BETWEEN = "; "


class ProductionStateArgs(StepArgs):
    """Nothing beside system and site; both sites are looked at."""


class ProductionState(Reading):
    """``summary`` is the state in words, sorted; ``digest`` its SHA-256. Positions are not in it: they only grow.

    What does not answer is written down as such and counted in ``unread``: of it nothing is proven afterwards.
    """

    name: ClassVar[str] = "production_state"
    summary: ClassVar[str] = "write down how the system stands at both sites"
    outputs: ClassVar[tuple[str, ...]] = ("digest", "summary", "unread")
    Args: ClassVar[type[StepArgs]] = ProductionStateArgs

    async def run(self, args: ProductionStateArgs, context: Context) -> Done:
        """Look at everything, side by side."""
        lines = await _look(args, context)
        for line in lines:
            context.say(line)
        return Done({"digest": _digest(lines), "summary": BETWEEN.join(lines), "unread": _unread(lines)})


class ProductionUnchangedArgs(StepArgs):
    """The earlier ``digest``, and the earlier ``summary`` so that a difference can be named."""

    expect: str
    before: str = ""


class ProductionUnchanged(Reading):
    """Looks again and compares."""

    name: ClassVar[str] = "production_unchanged"
    summary: ClassVar[str] = "prove that the system stands as it did before"
    outputs: ClassVar[tuple[str, ...]] = ("digest", "unread")
    Args: ClassVar[type[StepArgs]] = ProductionUnchangedArgs

    async def run(self, args: ProductionUnchangedArgs, context: Context) -> Done:
        """Compare. Raises StepFailed with everything that differs."""
        lines = await _look(args, context)
        digest = _digest(lines)
        if digest == args.expect:
            context.say(f"{len(lines)} facts are as they were")
            return Done({"digest": digest, "unread": _unread(lines)})
        before = _facts(args.before.split(BETWEEN))
        after = _facts(lines)
        differences = [
            f"{key} was {before.get(key, 'not there')}, is {after.get(key, 'not there')}"
            for key in sorted(before.keys() | after.keys())
            if before.get(key) != after.get(key)
        ]
        for difference in differences:
            context.say(difference)
        what = BETWEEN.join(differences) if args.before else f"digest {digest}, expected {args.expect}"
        raise StepFailed(f"{args.system} is not as it was: {what}", retry_helps=True)


async def _look(args: StepArgs, context: Context) -> list[str]:
    """Return one line a fact, sorted."""
    world, system, deadline = context.world, args.system, Deadline(context.world.clock, context.timeout_s)
    limit_s = deadline.left(ASK_LIMIT_S)
    works: list[Awaitable[list[str]]] = [_names(world, system, limit_s)]
    for site in world.system(system).sites:
        works.append(_told(f"database {site}", _role(world, system, site, limit_s)))
        works.append(_told(f"fence {site}", _fence(world, system, site, limit_s)))
        vcenter = machines.session(world, system, site)
        for tier in machines.tiers(world, system, site, "all"):
            works.extend(_told(f"vm {site}/{name}", _power(vcenter, name)) for name in tier)
    return sorted(line for lines in await together(*works) for line in lines)


async def _told(key: str, asking: Awaitable[str]) -> list[str]:
    try:
        return [f"{key} = {await asking}"]
    except (TargetError, StepFailed):
        return [f"{key} = {NO_ANSWER}"]


async def _role(world: World, system: str, site: str, limit_s: float) -> str:
    status = await database.status(world, system, site, limit_s)
    return f"{status.role} epoch {status.epoch}"


async def _fence(world: World, system: str, site: str, limit_s: float) -> str:
    return (await fences.look(world, system, site, limit_s)).power


async def _power(vcenter: VcenterSession, name: str) -> str:
    vm = await vcenter.vm(name)
    return "missing" if vm is None else vm.power


async def _names(world: World, system: str, limit_s: float) -> list[str]:
    answers = await front.answers(world, system, limit_s)
    return [f"dns {answer.server} = {', '.join(answer.addresses) or NO_ANSWER}" for answer in answers]


def _digest(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _unread(lines: list[str]) -> int:
    return sum(line.endswith(f" = {NO_ANSWER}") for line in lines)


def _facts(lines: list[str]) -> dict[str, str]:
    return {key: value for key, separator, value in (line.partition(" = ") for line in lines) if separator}
