"""Findings on the pages: what somebody still has to see to, what became of each, and what a person says of one."""

from __future__ import annotations

from datetime import date, datetime, time
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from console.api.actor import actor_of
from console.api.desk import Desk, desk_of
from console.api.findings import Word, finding_view, followed, history
from console.web.render import page
from dr.errors import RunRefused
from dr.journal.finding import FindingState

router = APIRouter(include_in_schema=False)
Line = Annotated[str, Form(max_length=500)]
TONES = {"critical": "down", "warning": "degraded"}
AGREE, DONE, CLOSE, ACCEPT, REOPEN = "agree", "done", "close", "accept", "reopen"
CHOICES = {
    FindingState.OPEN: (ACCEPT,),
    FindingState.AGREED: (DONE, ACCEPT),
    FindingState.DONE: (CLOSE, ACCEPT),
    FindingState.CLOSED: (REOPEN,),
    FindingState.ACCEPTED: (REOPEN,),
}
TEXTS = {
    DONE: "It was done; the words say where that can be seen",
    CLOSE: "Close it: I have looked, and it holds",
    ACCEPT: "Take the risk as it is; the words say why",
    REOPEN: "Open it again; the words say why",
}


@router.get("/findings", response_class=HTMLResponse)
async def findings(request: Request, *, everything: bool = False) -> HTMLResponse:
    """Show what somebody still has to see to, the worst first; ``everything``: all there are, the newest first."""
    desk = desk_of(request)
    found = desk.tracker.all()[::-1] if everything else desk.tracker.standing()
    views = [finding_view(each, desk.clock.now()) for each in found]
    return page(request, "findings.html", findings=views, everything=everything, tones=TONES)


@router.get("/findings/{number}", response_class=HTMLResponse)
async def finding(request: Request, number: str) -> HTMLResponse:
    """Show one finding with all that became of it, and what can be said of it."""
    return await _page(request, number)


@router.get("/findings/{number}/decide")
async def reloaded(number: str) -> Response:
    """Lead back: a browser asks for this when somebody reloads the answer to a decision."""
    return RedirectResponse(f"/findings/{number}", 303)


@router.post("/findings/{number}/decide")
async def decide(
    request: Request,
    number: str,
    decision: Line,
    name: Line = "",
    text: Line = "",
    owner: Annotated[str, Form(max_length=100)] = "",
    due: Annotated[str, Form(max_length=40)] = "",
) -> Response:
    """Take a person's word about a finding, by the rules of the API; lead back to it."""
    desk = desk_of(request)
    try:
        due_at = _end_of(due, desk) if decision == AGREE else 0.0
        said = Word(text=text.strip(), owner=owner.strip(), due_at=due_at)
        await followed(desk, actor_of(request, name.strip()), number, decision, said)
    except RunRefused as error:
        return await _page(request, number, f"Not done: {error.reason}", 409, name, text)
    except HTTPException as error:
        return await _page(request, number, f"Not done: {error.detail}", error.status_code, name, text)
    return RedirectResponse(f"/findings/{number}", 303)


def _end_of(day: str, desk: Desk) -> float:
    """Return the day's last moment in the estate's time zone. Raises RunRefused."""
    try:
        return datetime.combine(date.fromisoformat(day), time.max, ZoneInfo(desk.inventory.estate.timezone)).timestamp()
    except (ValueError, OverflowError) as error:
        raise RunRefused("finding", f"'{day}' is no day; write it like 2026-12-10") from error


async def _page(
    request: Request, number: str, error: str = "", status: int = 200, name: str = "", text: str = ""
) -> HTMLResponse:
    desk = desk_of(request)
    found = desk.tracker.finding(number)
    return page(
        request,
        "finding.html",
        status,
        one=finding_view(found, desk.clock.now()),
        history=await history(desk, number),
        choices=[(word, TEXTS[word]) for word in CHOICES[found.state]],
        likely=(DONE, CLOSE),
        tones=TONES,
        error=error,
        typed_name=name,
        typed_text=text,
    )
