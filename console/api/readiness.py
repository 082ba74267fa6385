"""How ready systems are for a recovery."""

from __future__ import annotations

from fastapi import APIRouter, Request

from console.api.desk import Desk, desk_of
from console.api.plan_views import ReadinessView, readiness_view
from console.api.views import SCHEMA, View
from dr.engine.names import unknown
from dr.errors import RunRefused
from dr.readiness.lights import Readiness

router = APIRouter(prefix="/api/readiness")


class ReadinessReply(View):
    """Every system, or the one that was asked for."""

    schema_version: int = SCHEMA
    at: float
    systems: list[ReadinessView]


@router.get("")
async def every(request: Request) -> ReadinessReply:
    """Return how ready every system is now."""
    desk = desk_of(request)
    return _reply(desk, every_of(desk))


@router.get("/{system}")
async def one(request: Request, system: str) -> ReadinessReply:
    """Return how ready one system is now. 404 for one that there is not."""
    desk = desk_of(request)
    found = {each.system: each for each in every_of(desk)}
    if system not in found:
        raise RunRefused("system", unknown("system", system, found))
    return _reply(desk, [found[system]])


def every_of(desk: Desk) -> list[Readiness]:
    """Return how ready every system is now. Raises RunRefused where this daemon only watches."""
    if not desk.shard.recovers:
        where = f"this daemon only watches (shard {desk.shard}); the daemon of shard 1 knows how ready systems are"
        raise RunRefused("shard", f"{where}: ask there")
    return desk.readying.every()


def _reply(desk: Desk, found: list[Readiness]) -> ReadinessReply:
    return ReadinessReply(at=desk.clock.now(), systems=[readiness_view(each) for each in found])
