"""The page that says how ready each system is for a recovery, check by check."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from console.api.desk import desk_of
from console.api.readiness import every_of
from console.web.render import page
from dr.readiness.lights import Light, Readiness, worst

router = APIRouter(include_in_schema=False)
TONES = {Light.GREEN: "ok", Light.AMBER: "degraded", Light.UNKNOWN: "unknown", Light.RED: "down"}


@router.get("/readiness", response_class=HTMLResponse)
async def readiness_page(request: Request) -> HTMLResponse:
    """Show every system's checks, those in trouble first in each."""
    desk = desk_of(request)
    found = every_of(desk)
    return page(
        request,
        "readiness.html",
        headline=headline(found),
        systems=found,
        names={key: system.name for key, system in desk.inventory.systems.items()},
        sites={key: site.name for key, site in desk.inventory.sites.items()},
        tones=TONES,
    )


def headline(found: list[Readiness]) -> str:
    """Say in one sentence how ready the systems are."""
    ready = sum(each.total is Light.GREEN for each in found)
    if ready == len(found):
        return "Every system is ready for a recovery"
    return f"{ready} of {len(found)} systems are ready for a recovery; at worst {worst(each.total for each in found)}"
