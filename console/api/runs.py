"""Runs: ask for one, look at it, decide about it, watch it happen, read its report."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from console.api.actor import Actor, actor_of
from console.api.desk import desk_of
from console.api.drift import ComparedView, compared_view
from console.api.files import pdf_named, whole_page
from console.api.journal_views import EventView, OutputView, event_views, output_view
from console.api.overrides import OverrideView, override_view
from console.api.plan_views import ForecastView, forecast_view
from console.api.streams import Streams
from console.api.views import (
    RunDetailView,
    RunView,
    run_detail_view,
    run_view,
)
from dr.engine import commands
from dr.engine.orchestrator import Orchestrator
from dr.engine.orchestrator import Request as RunRequest
from dr.evidence.render import to_data, to_html
from dr.evidence.report import Report
from dr.journal.event import Event
from dr.journal.override import FENCING
from dr.journal.run import Run
from dr.playbook.parameters import Wish
from dr.rights import demand_decision

router = APIRouter(prefix="/api/runs")
Text = Annotated[str, Field(max_length=2000)]


class RunAsk(BaseModel):
    """Which playbook for which system, and why."""

    model_config = ConfigDict(extra="forbid")

    playbook: Annotated[str, Field(min_length=1, max_length=63)]
    system: Annotated[str, Field(min_length=1, max_length=63)]
    reason: Text = ""
    forced: bool = False
    settings: dict[str, str] = {}


class Decision(BaseModel):
    """A person's word on a run: ``step`` for retry, ignore and answer; ``plan_hash`` for approve (what was seen).

    ``up_to_s`` for accept-loss: how many seconds may be lost; 0: as many as are stated now.
    """

    model_config = ConfigDict(extra="forbid")

    reason: Text = ""
    step: Annotated[str, Field(max_length=63)] = ""
    answer: Annotated[str, Field(max_length=200)] = ""
    plan_hash: Annotated[str, Field(max_length=64)] = ""
    up_to_s: Annotated[float, Field(ge=0, le=31 * 86400)] = 0.0


@router.get("")
async def runs(request: Request, limit: Annotated[int, Query(ge=1, le=10_000)] = 50) -> list[RunView]:
    """Return the newest runs, newest first."""
    desk = desk_of(request)
    return [run_view(run, desk.inventory.rights) for run in desk.orchestrator.runs()[:limit]]


@router.post("", status_code=201)
async def submit(request: Request, ask: RunAsk) -> RunDetailView:
    """Ask for a run. It starts, or waits for an approval, or is refused (409) with the guard's sentence."""
    actor = actor_of(request)
    wish = Wish(ask.settings, ask.forced)
    wanted = RunRequest(ask.playbook, ask.system, actor.name, actor.said(ask.reason), wish=wish)
    desk = desk_of(request)
    return run_detail_view(await desk.orchestrator.submit(wanted), desk.inventory.rights)


@router.get("/{run_id}")
async def run(request: Request, run_id: str) -> RunDetailView:
    """Return a run with its steps; a unique beginning of its id is enough."""
    desk = desk_of(request)
    return run_detail_view(desk.orchestrator.run(run_id), desk.inventory.rights)


@router.get("/{run_id}/expected")
async def expected(request: Request, run_id: str) -> ForecastView:
    """Return what the runs before this one let expect of its machine time."""
    desk = desk_of(request)
    run = desk.orchestrator.run(run_id)
    return forecast_view(desk.past.forecast(run.plan, before=run.accepted_at))


@router.get("/{run_id}/overrides")
async def overrides(request: Request, run_id: str) -> list[OverrideView]:
    """Return the overrides for its system that stood at some time of its life, oldest first."""
    desk = desk_of(request)
    run, now = desk.orchestrator.run(run_id), desk.clock.now()
    return [override_view(each, now) for each in desk.orchestrator.standing.concerning(run)]


@router.get("/{run_id}/drift")
async def drift(request: Request, run_id: str) -> list[ComparedView]:
    """Return what the run has set and no later one has set anew, against what is observed now."""
    desk = desk_of(request)
    return [compared_view(one) for one in desk.drifting.of(desk.orchestrator.run(run_id))]


@router.get("/{run_id}/journal")
async def journal(request: Request, run_id: str) -> list[EventView]:
    """Return the run's journal."""
    return event_views(desk_of(request).orchestrator.events(run_id))


@router.get("/{run_id}/outputs")
async def outputs(request: Request, run_id: str) -> list[OutputView]:
    """Return what the run's steps printed, secrets redacted."""
    return [output_view(output) for output in await desk_of(request).orchestrator.outputs(run_id)]


@router.get("/{run_id}/report.json")
async def report_json(request: Request, run_id: str) -> dict[str, Any]:
    """Return the run's report as JSON."""
    return to_data(await desk_of(request).reporting.run(run_id))


@router.get("/{run_id}/report.html", response_class=HTMLResponse)
async def report_html(request: Request, run_id: str) -> HTMLResponse:
    """Return the run's report as one self-contained page (its styles are inline, hence its own policy)."""
    return whole_page(to_html(await desk_of(request).reporting.run(run_id)))


@router.get("/{run_id}/report.pdf", response_class=Response)
async def report_pdf(request: Request, run_id: str) -> Response:
    """Return the run's report as PDF."""
    made = await desk_of(request).reporting.run(run_id)
    return pdf_named(made.run_id, await asyncio.to_thread(_printed, made))  # a long run takes a second or so to set


def _printed(made: Report) -> bytes:
    from dr.evidence.pdf import to_pdf  # noqa: PLC0415 - reportlab loads for a fifth of a second

    return to_pdf(made)


@router.post("/{run_id}/{decision}")
async def decide(request: Request, run_id: str, decision: str, word: Decision) -> RunDetailView:
    """Approve, deny, accept-loss, pause, answer, resume, retry, ignore, undo or cancel. 409 when that cannot be."""
    orchestrator = desk_of(request).orchestrator
    made = decision_command(decision, word, actor_of(request), orchestrator)
    return run_detail_view(await orchestrator.command(run_id, made), desk_of(request).inventory.rights)


def decision_command(
    decision: str, word: Decision, actor: Actor, orchestrator: Orchestrator
) -> Callable[[Run, float], Sequence[Event]]:
    """Return the engine's command for a person's decision, which refuses who has no right to it.

    Raises RunRefused for an unknown one.
    """
    said = actor.said(word.reason)
    by = actor.name
    made: dict[str, Callable[[Run, float], Sequence[Event]]] = {
        "approve": lambda run, now: commands.approve(run, by, said, word.plan_hash, now),
        "deny": lambda run, now: commands.deny(run, by, said, now),
        "pause": lambda run, now: commands.pause(run, by, said, now),
        "answer": lambda run, now: commands.answer(run, word.step, by, word.answer, said, now),
        "undo": lambda run, now: commands.undo(run, by, said, now),
        "accept-loss": lambda run, now: commands.accept_loss(
            run, by, said if word.reason.strip() else "", orchestrator.world.loss(run.plan), word.up_to_s, now
        ),
        "resume": lambda run, now: commands.resume(run, by, said, now),
        "retry": lambda run, now: commands.retry(run, word.step, by, said, now),
        "ignore": lambda run, now: commands.ignore(
            run,
            word.step,
            by,
            said if word.reason.strip() else "",
            now,
            orchestrator.standing.overridden(FENCING, run, now),
            orchestrator.standing.left_aside(FENCING, run, now),
        ),
        "cancel": lambda run, now: commands.cancel(run, by, said, now),
    }
    if decision not in made:
        raise commands.unknown_decision(decision, made)

    def permitted(run: Run, now: float) -> Sequence[Event]:
        demand_decision(orchestrator.world.inventory.rights, by, decision, run)
        return made[decision](run, now)

    return permitted


@router.get("/{run_id}/stream")
async def stream(request: Request, run_id: str) -> StreamingResponse:
    """Send the run's state and output as server-sent events until it is final."""
    orchestrator = desk_of(request).orchestrator
    known = orchestrator.run(run_id)
    streams: Streams = request.app.state.streams
    return StreamingResponse(streams.of_run(orchestrator, known.id), media_type="text/event-stream")
