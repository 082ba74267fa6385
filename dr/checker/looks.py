"""What must be true of the world for a step to succeed, by its action: no check passes on a site that is off.

Actions that are not listed here (a third party's, too) may succeed in any world: nothing is taken for granted of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dr.checker.world import World, first_world
from dr.playbook.model import Plan, PlannedStep

ROLES = {"active": "primary", "standby": "standby"}
Look = Callable[[World, Plan, PlannedStep], bool]


def possible(world: World, plan: Plan, step: PlannedStep) -> bool:
    """Tell whether the step can succeed in ``world``."""
    look = LOOKS.get(step.action)
    return look is None or look(world, plan, step)


def _database(world: World, plan: Plan, step: PlannedStep) -> bool:
    return _powered(world, plan, step.site, "database")


def _role(world: World, plan: Plan, step: PlannedStep) -> bool:
    return _database(world, plan, step) and world.value(plan.system, step.site, "role") == step.args.get("expect")


def _replica(world: World, plan: Plan, step: PlannedStep) -> bool:
    """Where no position is given, the other side is asked how far it has come."""
    peer = plan.to_site if step.site == plan.from_site else plan.from_site
    there = step.args.get("position") is not None or _powered(world, plan, peer, "database")
    return there and _database(world, plan, step) and world.value(plan.system, step.site, "role") == "standby"


def _page(world: World, plan: Plan, step: PlannedStep) -> bool:
    where = step.args.get("where")
    if where == "bubble":
        return world.value(plan.system, step.site, "bubble") == "present"
    if where == "service" and world.values.get((f"system/{plan.system}", "traffic")) != step.site:
        return False
    wanted = ROLES.get(str(step.args.get("expect_role")))
    up = all(_powered(world, plan, step.site, tier) for tier in ("database", "application", "web"))
    return up and wanted in {None, world.value(plan.system, step.site, "role")}


def _restored(world: World, plan: Plan, step: PlannedStep) -> bool:
    return world.value(plan.system, step.site, "scratch") == "restored"


def _unchanged(world: World, plan: Plan, step: PlannedStep) -> bool:
    del step
    return world.production() == first_world(plan).production()


def _powered(world: World, plan: Plan, site: str, tier: str) -> bool:
    return world.value(plan.system, site, f"power {tier}") == "on" and world.value(plan.system, site, "fence") != "on"


LOOKS: Mapping[str, Look] = {
    "promote": _database,
    "demote": _database,
    "follow": _database,
    "recovery_point": _database,
    "backup": _database,
    "wait_database": _database,
    "wait_replica": _replica,
    "check_role": _role,
    "http_check": _page,
    "restore_start": _restored,
    "restore_check": _restored,
    "production_unchanged": _unchanged,
}
