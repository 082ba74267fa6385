"""Planned downtimes: those in force and ahead, a new one, and ending one early."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import APIRouter, HTTPException, Query, Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from console.api.actor import actor_of
from console.api.desk import Desk, desk_of
from console.api.views import SCHEMA, View
from dr.errors import RunRefused
from dr.rights import Deed, lacking
from monitor.inventory.dependencies import ties
from monitor.problem import did_you_mean
from monitor.status.downtime import Downtime, reach

router = APIRouter(prefix="/api")
MOST_S = 31 * 86400
FAR_S = 366 * 86400  # how far ahead one may be announced
SLACK_S = 60.0  # a start that is no longer ago than this was meant as now


class DowntimeView(View):
    """A planned downtime; ``end`` is ``planned_end`` unless it was ended early, by ``ended_by``."""

    id: str
    subject: str
    start: float
    end: float
    planned_end: float
    owner: str
    reason: str
    announced_at: float
    origin: str
    job: str
    ended_by: str


class DowntimesReply(View):
    """What is in force, what lies ahead (of each line of the calendar its next window), and what was in the past."""

    schema_version: int = SCHEMA
    at: float
    in_force: list[DowntimeView]
    upcoming: list[DowntimeView]
    past: list[DowntimeView]


class DowntimeAsk(BaseModel):
    """What is planned, why, for how long, and from when: ``2026-11-30 02:00`` in the estate's zone, or now.

    ``owner`` answers for it; who asks, where it is left out.
    """

    model_config = ConfigDict(extra="forbid")

    subject: Annotated[str, Field(min_length=1, max_length=250)]
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
    for_s: Annotated[float, Field(gt=0, le=MOST_S)]
    starts: Annotated[str, Field(max_length=40)] = ""
    owner: Annotated[str, Field(max_length=100)] = ""


@router.get("/downtimes")
async def downtimes(request: Request, past_s: Annotated[float, Query(ge=0, le=10 * FAR_S)] = 0.0) -> DowntimesReply:
    """Return the downtimes in force and ahead, with ``past_s`` also those that ended in so many seconds before now."""
    desk = desk_of(request)
    now, record, inventory = desk.clock.now(), desk.watch.downtimes, desk.inventory
    past = [each for each in record.between(now - past_s, now) if each.end <= now] if past_s else []
    return DowntimesReply(
        at=now,
        in_force=downtime_views(desk),
        upcoming=[_view(each) for each in record.upcoming(inventory.downtimes, inventory.estate.timezone, now)],
        past=[_view(each) for each in past],
    )


@router.post("/downtimes", status_code=201)
async def announce(request: Request, ask: DowntimeAsk) -> DowntimeView:
    """Announce a downtime: what it covers is measured and shown, but nobody is called for it."""
    desk = desk_of(request)
    actor = actor_of(request)
    now = desk.clock.now()
    statuses = desk.watch.statuses()
    if ask.subject not in statuses:
        hint = did_you_mean(ask.subject[:100], statuses)
        raise RunRefused("subject", f"nothing is watched under '{ask.subject}'" + (f"; {hint}" if hint else ""))
    if not ask.reason.strip():
        raise HTTPException(400, "a downtime needs a reason")
    _demand(desk, actor.name, [ask.subject])
    start = _moment(ask.starts, desk.inventory.estate.timezone, now) if ask.starts else now
    made = Downtime(
        id=secrets.token_hex(4),
        subject=ask.subject,
        start=start,
        end=start + ask.for_s,
        planned_end=start + ask.for_s,
        owner=ask.owner.strip() or actor.name,
        reason=actor.said(ask.reason.strip()),
        announced_at=now,
        origin="command",
    )
    await desk.watch.downtimes.announce(made, now)
    return _view(made)


@router.delete("/downtimes/{name:path}")
async def end(request: Request, name: str) -> dict[str, list[DowntimeView]]:
    """End the downtimes of that id or subject that are in force or lie ahead; says which."""
    desk, actor = desk_of(request), actor_of(request)
    record, now, zone = desk.watch.downtimes, desk.clock.now(), desk.inventory.estate.timezone
    known = (*record.in_force(now), *record.upcoming({}, zone, now))
    _demand(desk, actor.name, {each.subject for each in known if name in (each.id, each.subject)})
    ended = await record.end(name, actor.name, now)
    return {"ended": [_view(each) for each in ended]}


def _demand(desk: Desk, who: str, subjects: Iterable[str]) -> None:
    """See that ``who`` may steer a failover of each system that a downtime of these touches. Raises RunRefused.

    A downtime holds back what alarms would start, as a pause does, and its end lets that loose.
    """
    inventory = desk.inventory
    if not inventory.rights:
        return
    needs = ties(inventory)
    touched = frozenset().union(*(reach(subject, needs) for subject in subjects))
    systems = [key for key in inventory.systems if touched & reach(f"system/{key}", needs)]
    if lack := lacking(inventory.rights, who, Deed.STEER, "failover", systems):
        raise RunRefused("rights", f"a downtime holds back what alarms would start; {lack}")


def downtime_views(desk: Desk) -> list[DowntimeView]:
    """Return the downtimes in force, by their start."""
    return [_view(each) for each in desk.watch.downtimes.in_force(desk.clock.now())]


def _view(downtime: Downtime) -> DowntimeView:
    return DowntimeView(**{name: getattr(downtime, name) for name in DowntimeView.model_fields})


def _moment(text: str, zone: str, now: float) -> float:
    """Return the Unix time that ``text`` names in ``zone``. Raises HTTPException 400 with a sentence."""
    try:
        local = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise HTTPException(400, f"'{text}' is not a time; write it as 2026-11-30 02:00") from error
    if local.tzinfo is None:
        local = local.replace(tzinfo=ZoneInfo(zone))
        # what the clocks skip in spring comes back from UTC as another time
        if local.astimezone(UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None) != local.replace(tzinfo=None):
            raise HTTPException(400, f"there is no {text} in {zone}: the clocks are set forward over it")
        if local.replace(fold=1).utcoffset() != local.utcoffset():
            raise HTTPException(
                400, f"{text} comes twice in {zone}: the clocks are set back over it; add an offset such as +01:00"
            )
    start = local.timestamp()
    if start < now - SLACK_S:
        raise HTTPException(400, "a downtime cannot begin in the past: what was not announced was not planned")
    if start > now + FAR_S:
        raise HTTPException(400, f"that is more than {timedelta(seconds=FAR_S).days} days ahead")
    return max(start, now)
