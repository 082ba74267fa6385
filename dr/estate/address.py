"""A system's own address (VIP), which stands at one site: asked for, taken and given up by SSH."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from dr.errors import StepFailed
from dr.estate.commands import checked, read, run, silent
from dr.estate.database import Say
from dr.world import World
from monitor.inventory.systems import Vip


class Held(BaseModel):
    """What ``karaula-vip`` prints."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    holds: bool


def vip(world: World, system: str) -> Vip:
    """Return the system's address. Raises StepFailed when the inventory has none."""
    found = world.system(system).vip
    if found is None:
        raise StepFailed(f"the inventory has no vip for {system}; lead its clients by dns_record, or add one")
    return found


async def held(world: World, system: str, site: str, timeout_s: float) -> bool:
    """Tell whether the address stands at ``site``. Raises TargetError, StepFailed."""
    return await _order(world, system, site, ["status"], [], timeout_s, silent)


async def take(world: World, system: str, site: str, epoch: int, timeout_s: float, say: Say) -> bool:
    """Put the address on the interface at ``site`` and tell the neighbours. Raises TargetError, StepFailed."""
    return await _order(world, system, site, ["add"], ["--epoch", str(epoch)], timeout_s, say)


async def drop(world: World, system: str, site: str, epoch: int, timeout_s: float, say: Say) -> bool:
    """Take the address off the interface at ``site``. Raises TargetError, StepFailed."""
    return await _order(world, system, site, ["remove"], ["--epoch", str(epoch)], timeout_s, say)


async def _order(
    world: World, system: str, site: str, verb: list[str], token: list[str], timeout_s: float, say: Say
) -> bool:
    found = vip(world, system)
    place = found.sites[site]
    host = world.inventory.hosts[place.host]
    argv = ["karaula-vip", *verb, found.network, place.interface, *token]
    return read(Held, checked(await run(world, host, argv, timeout_s, say), host, argv), host, argv).holds
