"""A system's fence at a site: the outlet group that feeds it, and when that proves it dead."""

from __future__ import annotations

from dr.world import World
from monitor.clients.redfish import OutletGroup

PROVEN = "PROVEN"


async def look(world: World, system: str, site: str, timeout_s: float) -> OutletGroup:
    """Read the outlet group. Raises TargetError, CredentialError."""
    fence = world.deployment(system, site).fence
    controller = world.inventory.power_controllers[fence.controller]
    password = world.credentials.secret(controller.credential)
    return await world.redfish.outlet_group(controller, password, fence.outlet_group, timeout_s)


async def switch(world: World, system: str, site: str, timeout_s: float, *, on: bool) -> None:
    """Ask for power on or off; acceptance proves nothing. Raises TargetError, CredentialError."""
    fence = world.deployment(system, site).fence
    controller = world.inventory.power_controllers[fence.controller]
    password = world.credentials.secret(controller.credential)
    await world.redfish.set_power(controller, password, fence.outlet_group, timeout_s, on=on)


def unproven(group: OutletGroup) -> str:
    """Return why the reading does not prove that nothing runs behind the outlets; empty when it does."""
    if group.power != "Off":
        return f"the outlet group reads {group.power}"
    if group.watts is None:
        return "the outlet group reads Off, but its controller does not measure what it draws"
    if group.watts != 0:
        return f"the outlet group says Off and still draws {group.watts:g} W: its relay may be stuck"
    return ""


def described(group: OutletGroup) -> str:
    """Return the reading in words."""
    return f"PowerState {group.power}, {'not measured' if group.watts is None else f'{group.watts:g} W'}"
