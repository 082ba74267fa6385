"""The year's overview of exercises and recoveries."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Path, Request
from fastapi.responses import HTMLResponse

from console.api.desk import Desk, desk_of
from console.api.files import whole_page
from dr.evidence.render import year_to_html
from dr.evidence.year import Year, overview

router = APIRouter(prefix="/api/years")
Number = Annotated[int, Path(ge=2000, le=2999)]


@router.get("/{year}.json")
async def year_json(request: Request, year: Number) -> dict[str, Any]:
    """Return the year as JSON data."""
    return asdict(await _year(desk_of(request), year))


@router.get("/{year}.html", response_class=HTMLResponse)
async def year_html(request: Request, year: Number) -> HTMLResponse:
    """Return the year as one self-contained page."""
    return whole_page(year_to_html(await _year(desk_of(request), year)))


async def _year(desk: Desk, year: int) -> Year:
    """Work it out beside the loop: a year may have thousands of runs, and runs that are over do not change."""
    runs = [(run, desk.orchestrator.events(run.id)) for run in desk.orchestrator.runs() if run.state.final]
    zone = ZoneInfo(desk.inventory.estate.timezone)
    tracked, now = desk.tracker.all(), desk.clock.now()
    joints = [(joint, desk.joints.runs(joint)) for joint in desk.joints.joints() if joint.final]
    return await asyncio.to_thread(overview, year, runs, joints, tracked, desk.inventory, zone, now)
