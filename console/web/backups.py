"""The page of backups: what the night proved of each system, and every backup with the level that it reached."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from console.api.backups import proofs_of
from console.api.desk import desk_of
from console.terminal.words import size
from console.web.render import page
from dr.backups import morning
from dr.backups.catalog import MEANING, catalog

router = APIRouter(include_in_schema=False)
LISTED = 100


@router.get("/backups", response_class=HTMLResponse)
async def backups_page(request: Request) -> HTMLResponse:
    """Show the morning page."""
    desk = desk_of(request)
    runs = desk.orchestrator.runs()
    entries = [entry for key in desk.inventory.systems for entry in catalog(runs, key)]
    found = proofs_of(desk)
    return page(
        request,
        "backups.html",
        headline=morning.subject(found),
        proofs=found,
        backups=sorted(entries, key=lambda entry: entry.taken_at, reverse=True)[:LISTED],
        meaning=MEANING,
        size=size,
    )
