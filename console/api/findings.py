"""Findings and corrective actions: what is to be seen to, by whom, until when, and what became of it."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from console.api.actor import Actor, actor_of
from console.api.desk import Desk, desk_of
from console.api.views import View
from dr.engine.names import unknown
from dr.errors import RunRefused
from dr.evidence.words import sentence
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


class MomentView(View):
    """A moment in a finding's life; Unix seconds."""

    at: float
    text: str


class FindingDetailView(FindingView):
    """A finding with all that became of it, in its order."""

    history: list[MomentView]


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
async def finding(request: Request, number: str) -> FindingDetailView:
    """Return one finding with its history."""
    desk = desk_of(request)
    view = finding_view(desk.tracker.finding(number), desk.clock.now())
    return FindingDetailView(**dict(view), history=await history(desk, number))


async def history(desk: Desk, number: str) -> list[MomentView]:
    """Return what became of a finding. Raises StateError, RunRefused."""
    return [MomentView(at=event.at, text=sentence(event)) for event in await desk.tracker.history(number)]


@router.post("/{number}/{word}")
async def follow(
    request: Request, number: str, word: Literal["agree", "done", "close", "accept", "reopen"], said: Word
) -> FindingView:
    """Agree on an action, say that it was done, close, accept or reopen. 409 with a sentence when that cannot be."""
    desk = desk_of(request)
    return finding_view(await followed(desk, actor_of(request), number, word, said), desk.clock.now())


async def followed(desk: Desk, actor: Actor, number: str, word: str, said: Word) -> TrackedFinding:
    """Take a person's word about a finding. Raises StateError, RunRefused."""
    text = actor.said(said.text) if said.text.strip() else ""
    acts = {
        "done": desk.tracker.done,
        "close": desk.tracker.close,
        "accept": desk.tracker.accept,
        "reopen": desk.tracker.reopen,
    }
    if word == "agree":
        return await desk.tracker.agree(number, actor.name, said.owner, said.due_at, text)
    if word not in acts:
        raise RunRefused("decision", unknown("decision", word, ["agree", *acts]))
    return await acts[word](number, actor.name, text)


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
