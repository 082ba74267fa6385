"""The pages: estate overview, runs, one run with its decision. Server-rendered; a small script keeps them fresh."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException

from console.api.actor import actor_of
from console.api.desk import Desk, desk_of
from console.api.runs import Decision, decision_command
from dr.backups.catalog import proven_at
from dr.errors import RunRefused
from dr.evidence.render import span
from dr.journal.run import Run, RunState, StepState

HERE = Path(__file__).parent
router = APIRouter(include_in_schema=False)
static = StaticFiles(directory=HERE / "static")
UNITS = {"celsius": "°C", "percent": "%", "watts": "W", "ug_per_m3": "µg/m³"}
Line = Annotated[str, Form(max_length=2000)]


def reading(value: float, unit: str) -> str:
    """Return a sensor's value with its unit; a boolean one as a word."""
    if unit == "boolean":
        return "yes" if value else "no"
    return f"{value:.4g} {UNITS.get(unit, unit)}"


def make_environment(zone: str) -> Environment:
    """Return the templates' environment; times are shown in the time zone ``zone``."""
    local = ZoneInfo(zone)
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined, auto_reload=False
    )
    environment.filters["clock"] = lambda at: datetime.fromtimestamp(at, local).strftime("%a %d %b %H:%M:%S")
    environment.filters["span"] = span
    environment.filters["age"] = lambda seconds: span(max(0.0, seconds))
    environment.filters["ms"] = lambda value: "not known" if value is None else f"{value * 1000:.1f} ms"
    environment.filters["percent"] = lambda ratio: f"{ratio * 100:.3g} %"
    environment.filters["reading"] = reading
    return environment


@router.get("/", response_class=HTMLResponse)
async def estate(request: Request) -> HTMLResponse:
    """Show the whole estate, what stands first first."""
    desk = desk_of(request)
    runs = desk.orchestrator.runs()
    statuses = desk.watch.statuses()
    waiting = [run for run in runs if run.state in {RunState.WAITING, RunState.PAUSED}]
    return _page(
        request,
        "estate.html",
        waiting=waiting,
        active=[run for run in runs if not run.state.final and run not in waiting],
        alarms=sorted(
            desk.watch.alarms(active_only=True), key=lambda alarm: (bool(alarm.cause), alarm.severity != "critical")
        ),
        inventory=desk.inventory,
        statuses=statuses,
        observations={subject: desk.watch.observation(subject) for subject in statuses},
        proven={key: proven_at(runs, key) for key in desk.inventory.systems},
        upcoming=sorted(desk.scheduler.upcoming().items(), key=lambda item: item[1])[:6],
    )


@router.get("/runs", response_class=HTMLResponse)
async def run_list(request: Request) -> HTMLResponse:
    """Show the newest runs."""
    return _page(request, "runs.html", runs=desk_of(request).orchestrator.runs()[:100])


@router.get("/runs/{run_id}", response_class=HTMLResponse)
async def run_page(request: Request, run_id: str) -> HTMLResponse:
    """Show one run as it happens."""
    return await _run_page(request, run_id, "")


@router.post("/runs/{run_id}/decide")
async def decide(
    request: Request,
    run_id: str,
    decision: Line,
    name: Line = "",
    reason: Line = "",
    step: Line = "",
    plan_hash: Line = "",
) -> Response:
    """Take a person's decision from the page's form."""
    desk = desk_of(request)
    try:
        word = Decision(reason=reason, step=step, plan_hash=plan_hash)
        await desk.orchestrator.command(run_id, decision_command(decision, word, actor_of(request, name)))
    except RunRefused as error:
        return await _run_page(request, run_id, f"Not done: {error.reason}", 409)
    except HTTPException as error:
        return await _run_page(request, run_id, f"Not done: {error.detail}", error.status_code)
    return RedirectResponse(f"/runs/{desk.orchestrator.run(run_id).id}", 303)


async def _run_page(request: Request, run_id: str, error: str, status: int = 200) -> HTMLResponse:
    desk = desk_of(request)
    try:
        run = desk.orchestrator.run(run_id)
    except RunRefused as unknown:
        raise HTTPException(404, unknown.reason) from unknown
    texts = dict.fromkeys(run.steps, "")
    for output in await desk.orchestrator.outputs(run.id):
        texts[output.step] += f"attempt {output.attempt}\n{output.text}\n" if output.attempt > 1 else output.text
    return _page(
        request,
        "run.html",
        status,
        run=run,
        system=desk.inventory.systems[run.system],
        error=error,
        texts=texts,
        troubled=troubled(run),
        done=sum(record.state.settled for record in run.steps.values()),
    )


def troubled(run: Run) -> list[str]:
    """Return the steps that a person can retry or pass over."""
    return [
        step.id
        for step in run.plan.steps
        if run.steps[step.id].state.failed or run.steps[step.id].state is StepState.UNKNOWN
    ]


def _page(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    desk: Desk = desk_of(request)
    environment: Environment = request.app.state.templates
    values |= {"estate": desk.inventory.estate.name, "now": desk.clock.now(), "problems": desk.problems()}
    return HTMLResponse(environment.get_template(template).render(values), status)
