"""Fencing tokens: what was handed out, and what hosts have seen. For who repairs a host's kept token."""

from __future__ import annotations

from fastapi import APIRouter, Request

from console.api.desk import desk_of
from console.api.views import View

router = APIRouter(prefix="/api/tokens")


class TokenView(View):
    """A system's tokens: the highest that a run was given, the highest at its databases (0: none), the next one."""

    system: str
    handed_out: int
    seen: int
    next: int


@router.get("")
async def tokens(request: Request) -> list[TokenView]:
    """Return every system's tokens; none is drawn."""
    desk = desk_of(request)
    drawn = desk.orchestrator.tokens
    return [
        TokenView(system=key, handed_out=drawn.handed_out(key), seen=drawn.seen(key), next=drawn.above(key))
        for key in desk.inventory.systems
    ]
