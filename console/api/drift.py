"""Drift: what runs have made so, against what the monitor observes now."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter, Request

from console.api.desk import desk_of
from console.api.views import View
from dr.engine.drift import Compared

router = APIRouter(prefix="/api/drift")


class ComparedView(View):
    """One thing that a step has set: ``field`` (active, role, fence, power, traffic) of the system at ``site``.

    ``agreement`` is ``agrees``, ``drift`` or ``unknown``; ``observed`` is empty where it is unknown, and ``why`` says
    what was looked at. ``part`` names the tiers whose power it is; empty: of all of them.
    """

    system: str
    site: str
    field: str
    declared: str
    run: str
    step: str
    at: float
    observed: str
    agreement: str
    why: str
    part: str


@router.get("")
async def drift(request: Request) -> list[ComparedView]:
    """Return what runs have set of every system that nothing has set anew, against what is observed now."""
    return [compared_view(one) for one in desk_of(request).drifting.now()]


def compared_view(one: Compared) -> ComparedView:
    """Return the view of it."""
    return ComparedView(**asdict(one))
