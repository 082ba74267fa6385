"""Findings and corrective actions: what is to be seen to, by whom, until when, and what became of it."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from console.api.actor import actor_of
from console.api.desk import desk_of
from console.api.views import View
from dr.errors import RunRefused
from dr.journal.finding import PREFIX, TrackedFinding

router = APIRouter(prefix="/api/findings")
Line = Annotated[str, Field(max_length=500)]


class Ask(BaseModel):
    """What a person found; ``run`` may be empty."""

    model_config = ConfigDict(extra="forbid")

    system: Annotated[str, Field(min_length=1, max_length=63)]
    severity: Literal["critical", "warning"] = "warning"
    what: Annotated[str, Field(min_length=1, max_length=500)]
    run: Annotated[str, Field(max_length=200)] = ""


class Word(BaseModel):
    """What is said of a finding: ``text`` is the action, the evidence, the comment or the reason."""

    model_config = ConfigDict(extra="forbid")

    text: Line = ""
    owner: Annotated[str, Field(max_length=100)] = ""
    due_at: float = 0.0


class FindingView(View):
    """A finding with what became of it; times in Unix seconds."""

    number: str
    severity: str
    system: str
    what: str
    entered_at: float
    entered_by: str
    runs: list[str]
    state: str
    over: bool
    overdue: bool
    owner: str
    due_at: float | None
    action: str
    done_by: str
    done_at: float | None
    evidence: str
    over_by: str
    over_at: float | None
    comment: str


@router.get("")
async def findings(request: Request, *, everything: bool = False) -> list[FindingView]:
    """Return the findings to see to, the worst first; ``everything``: also those that are over."""
    desk = desk_of(request)
    found = desk.tracker.all() if everything else desk.tracker.standing()
    return [finding_view(each, desk.clock.now()) for each in found]


@router.post("", status_code=201)
async def enter(request: Request, ask: Ask) -> FindingView:
    """Enter what a person found. 409 with a sentence when that cannot be."""
    desk, actor = desk_of(request), actor_of(request)
    if ask.system not in desk.inventory.systems:
        raise RunRefused("system", f"there is no system '{ask.system}'; there are: {', '.join(desk.inventory.systems)}")
    run = desk.orchestrator.run(ask.run).id if ask.run else ""
    made = await desk.tracker.enter(actor.name, ask.system, ask.severity, actor.said(ask.what), run)
    return finding_view(made, desk.clock.now())


@router.get("/{number}")
async def finding(request: Request, number: str) -> FindingView:
    """Return one finding."""
    desk = desk_of(request)
    return finding_view(desk.tracker.finding(number), desk.clock.now())


@router.post("/{number}/{word}")
async def follow(
    request: Request, number: str, word: Literal["agree", "done", "close", "accept", "reopen"], said: Word
) -> FindingView:
    """Agree on an action, say that it was done, close, accept or reopen. 409 with a sentence when that cannot be."""
    desk, actor = desk_of(request), actor_of(request)
    text = actor.said(said.text) if said.text.strip() else ""
    if word == "agree":
        made = await desk.tracker.agree(number, actor.name, said.owner, said.due_at, text)
    else:
        acts = {
            "done": desk.tracker.done,
            "close": desk.tracker.close,
            "accept": desk.tracker.accept,
            "reopen": desk.tracker.reopen,
        }
        made = await acts[word](number, actor.name, text)
    return finding_view(made, desk.clock.now())


def finding_view(found: TrackedFinding, now: float) -> FindingView:
    """Return the view of a finding."""
    named = {name: getattr(found, name) for name in FindingView.model_fields if hasattr(found, name)}
    return FindingView(
        **{
            **named,
            "number": found.id.removeprefix(PREFIX),
            "state": found.state.value,
            "over": found.state.over,
            "overdue": found.overdue(now),
            "runs": list(found.runs),
        }
    )
