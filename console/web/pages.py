"""The pages: estate overview, runs, one run with its decision. Server-rendered; a small script keeps them fresh."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from console.api.actor import actor_of
from console.api.desk import desk_of
from console.api.runs import Decision, decision_command
from console.terminal.words import detail_word
from console.web import overview, run_sheet
from console.web.readiness import TONES
from console.web.render import page
from console.web.rest import rest
from dr.backups.catalog import proven_at
from dr.engine.joint_course import stands_still
from dr.engine.telling import expires_at, question, questions
from dr.errors import RunRefused
from dr.evidence.render import expectation
from dr.journal.override import FENCING
from dr.rights import approvers
from monitor.inventory.dependencies import ties
from monitor.status.state import Health

router = APIRouter(include_in_schema=False)
static = StaticFiles(directory=Path(__file__).parent / "static")
LATEST_RUNS = 5
LATEST_JOINTS = 2
LISTED_RUNS = 100
LISTED_JOINTS = 10
NEXT_SLOTS = 6
Line = Annotated[str, Form(max_length=500)]


@router.get("/", response_class=HTMLResponse)
async def estate(request: Request) -> HTMLResponse:
    """Show the whole estate, what needs a person first."""
    desk = desk_of(request)
    inventory = desk.inventory
    runs = desk.orchestrator.runs()
    statuses = desk.watch.statuses()
    alarms = desk.watch.alarms(active_only=True)
    causes = {alarm.subject: alarm.cause for alarm in alarms if alarm.cause}
    sensors = overview.worst_first(inventory.sensors, statuses, "sensor")
    away = {
        key: causes[f"sensor/{key}"]
        for key in sensors
        if f"sensor/{key}" in causes and statuses[f"sensor/{key}"].health is Health.UNKNOWN
    }
    waiting = overview.waiting_first(runs, desk.clock.now())
    every_joint = desk.joints.joints()
    joints = [(one, stands_still(one, desk.joints.runs(one))) for one in every_joint if not one.final]
    return page(
        request,
        "estate.html",
        headline=overview.headline([statuses[f"system/{key}"] for key in inventory.systems]),
        waiting=waiting,
        joint_waiting=[(joint, why) for joint, why in joints if why],
        joint_active=[joint for joint, why in joints if not why],
        active=[run for run in runs if not run.state.final and run not in waiting],
        latest_joints=[joint for joint in every_joint if joint.final][:LATEST_JOINTS],
        latest=[run for run in runs if run.state.final][:LATEST_RUNS],
        pauses=desk.orchestrator.standing.pauses(),
        overrides=[(each, each.in_force(desk.clock.now())) for each in desk.orchestrator.standing.overrides()],
        isolated=desk.watch.isolated,
        downtimes=desk.watch.downtimes.in_force(desk.clock.now()),
        flapping=desk.watch.flapping(),
        covered=desk.watch.covered(),
        groups=overview.groups(alarms),
        refusals=desk.refusals(),
        causes=causes,
        detail_word=lambda status: detail_word(status.detail, causes.get(status.subject, "")),
        doubtful=lambda status: overview.doubtful(status, desk.clock.now(), inventory.polling.stale_after_s),
        rest=rest(statuses, alarms, ties(inventory).depends_on),
        named=lambda subject: overview.subject_name(inventory, subject),
        inventory=inventory,
        statuses=statuses,
        observation=desk.watch.observation,
        crossings=overview.worst_first(inventory.crossings, statuses, "crossing"),
        sensors=[key for key in sensors if key not in away],
        explained_sensors=overview.by_cause(away),
        proven={key: proven_at(runs, key, one.backup.required_level) for key, one in inventory.systems.items()},
        ready={each.system: each for each in desk.readying.every()} if desk.shard.recovers else {},
        tones=TONES,
        upcoming=sorted(desk.scheduler.upcoming().items(), key=lambda item: item[1])[:NEXT_SLOTS],
    )


@router.get("/runs", response_class=HTMLResponse)
async def run_list(request: Request) -> HTMLResponse:
    """Show the newest runs."""
    desk = desk_of(request)
    return page(
        request, "runs.html", runs=desk.orchestrator.runs()[:LISTED_RUNS], joints=desk.joints.joints()[:LISTED_JOINTS]
    )


@router.get("/runs/{run_id}", response_class=HTMLResponse)
async def run_page(request: Request, run_id: str) -> HTMLResponse:
    """Show one run as it happens."""
    return await _run_page(request, run_id)


@router.get("/runs/{run_id}/decide")
async def reloaded(run_id: str) -> Response:
    """Lead back to the run: a browser asks for this when somebody reloads the answer to a decision."""
    return RedirectResponse(f"/runs/{run_id}", 303)


@router.post("/runs/{run_id}/decide")
async def decide(
    request: Request, run_id: str, decision: Line, name: Line = "", reason: Line = "", plan_hash: Line = ""
) -> Response:
    """Take a person's decision from the page's form: a word, for a step ``retry:STEP``, ``answer:STEP:ANSWER``."""
    desk = desk_of(request)
    word, _, step = decision.partition(":")
    step, _, answer = step.partition(":")
    said = Decision.model_construct(reason=reason.strip(), step=step, answer=answer, plan_hash=plan_hash)
    try:
        made = decision_command(word, said, actor_of(request, name.strip()), desk.orchestrator)
        await desk.orchestrator.command(run_id, made)
    except RunRefused as error:
        return await _run_page(request, run_id, f"Not done: {error.reason}", 409, name, reason)
    except HTTPException as error:
        return await _run_page(request, run_id, f"Not done: {error.detail}", error.status_code, name, reason)
    return RedirectResponse(f"/runs/{desk.orchestrator.run(run_id).id}", 303)


async def _run_page(
    request: Request, run_id: str, error: str = "", status: int = 200, name: str = "", reason: str = ""
) -> HTMLResponse:
    desk = desk_of(request)
    run = desk.orchestrator.run(run_id)
    texts = dict.fromkeys(run.steps, "")
    for output in await desk.orchestrator.outputs(run.id):
        name = f"attempt {output.attempt}" if output.attempt > 0 else "undo"
        texts[output.step] += output.text if output.attempt == 1 else f"{name}\n{output.text}\n"
    unfenced = desk.orchestrator.standing.overridden(FENCING, run, desk.clock.now()) is not None
    standby = desk.watch.observation(f"database/{run.system}/{run.plan.to_site}")
    return page(
        request,
        "run.html",
        status,
        run=run,
        may_approve=approvers(desk.inventory.rights, run),
        joint=run.origin_ref if run.origin_ref in desk.orchestrator.joint_ids else "",
        system=desk.inventory.systems.get(run.system),
        error=error,
        typed_name=name,
        typed_reason=reason,
        texts=texts,
        sentence=run_sheet.STATE_SENTENCES[run.state],
        consequence=run_sheet.consequence(run),
        loss=run_sheet.expected_loss(run, desk.watch.evidence(run.system), standby),
        expected=expectation(desk.past.forecast(run.plan, before=run.accepted_at)),
        troubled=[
            (record, run_sheet.step_choices(run, record, unfenced=unfenced)) for record in run_sheet.troubled(run)
        ],
        questions=[(record.plan, question(run, record), expires_at(record)) for record in questions(run)],
        drift=desk.drifting.of(run),
        overrides=desk.orchestrator.standing.concerning(run),
        loss_waits=run_sheet.loss_waits(run),
        results=run_sheet.results,
        resumable=run_sheet.resumable(run),
        done=sum(record.state.settled for record in run.steps.values()),
    )
