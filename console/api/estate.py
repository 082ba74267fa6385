"""What is watched: statuses, alarms, flips, the calendar, backups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Query, Request

from console.api.desk import Desk, desk_of
from console.api.downtimes import DowntimeView, downtime_views
from console.api.views import (
    SCHEMA,
    AlarmView,
    FlipView,
    SlotView,
    SubjectView,
    View,
    flip_view,
    slot_view,
    subject_view,
)
from dr.errors import RunRefused
from monitor.problem import did_you_mean
from monitor.status.state import Status

router = APIRouter(prefix="/api")


class StatusReply(View):
    """Everything watched, with the alarms that stand.

    ``isolated`` says why the monitor itself is cut off, empty while it is not; ``downtimes`` are those in force.
    """

    schema_version: int = SCHEMA
    at: float
    estate: str
    isolated: str
    problems: list[str]
    downtimes: list[DowntimeView]
    subjects: list[SubjectView]
    alarms: list[AlarmView]


class SubjectReply(View):
    """One subject in full: its status, what was last seen, its newest flips."""

    schema_version: int = SCHEMA
    at: float
    status: SubjectView
    values: dict[str, float]
    facts: dict[str, str]
    observed_at: float | None
    flips: list[FlipView]


class CalendarReply(View):
    """The calendar: next due times by job, and the newest slots."""

    schema_version: int = SCHEMA
    at: float
    upcoming: dict[str, float]
    slots: list[SlotView]


@router.get("/status")
async def status(request: Request) -> StatusReply:
    """Return every subject and every alarm that stands."""
    desk = desk_of(request)
    return StatusReply(
        at=desk.clock.now(),
        estate=desk.title,
        isolated=desk.watch.isolated,
        problems=desk.problems(),
        downtimes=downtime_views(desk),
        subjects=_subjects(desk, desk.watch.statuses()),
        alarms=alarm_views(desk, active_only=True),
    )


@router.get("/status/{subject:path}")
async def subject(request: Request, subject: str) -> SubjectReply:
    """Return one subject in full."""
    desk = desk_of(request)
    statuses = desk.watch.statuses()
    if subject not in statuses:
        hint = did_you_mean(subject, statuses)
        raise RunRefused("system", f"nothing is watched under '{subject}'" + (f"; {hint}" if hint else ""))
    seen = desk.watch.observation(subject)
    return SubjectReply(
        at=desk.clock.now(),
        status=_subjects(desk, {subject: statuses[subject]})[0],
        values=dict(seen.values) if seen else {},
        facts=dict(seen.facts) if seen else {},
        observed_at=seen.at if seen else None,
        flips=[flip_view(flip) for flip in desk.watch.flips(subject, limit=20)],
    )


@router.get("/alarms")
async def alarms(request: Request, history: Annotated[bool, Query()] = False) -> list[AlarmView]:  # noqa: FBT002 - a query flag
    """Return the alarms that stand, or with ``history`` the newest of all."""
    return alarm_views(desk_of(request), active_only=not history)


@router.get("/calendar")
async def calendar(request: Request) -> CalendarReply:
    """Return what is due next and what became of the newest slots."""
    desk = desk_of(request)
    slots = await desk.orchestrator.in_thread(lambda: desk.orchestrator.journal.calendar.slots(100))
    return CalendarReply(
        at=desk.clock.now(), upcoming=desk.scheduler.upcoming(), slots=[slot_view(slot) for slot in slots]
    )


def _subjects(desk: Desk, statuses: Mapping[str, Status]) -> list[SubjectView]:
    flapping, covered = desk.watch.flapping(), desk.watch.covered()
    return [
        subject_view(
            status,
            flapping=subject in flapping,
            downtime=covered[subject].id if subject in covered else "",
        )
        for subject, status in sorted(statuses.items())
    ]


def alarm_views(desk: Desk, *, active_only: bool) -> list[AlarmView]:
    """Return alarms, the newest first."""
    found, refusals = desk.watch.alarms(active_only=active_only), desk.refusals()
    return [
        AlarmView(
            id=str(alarm.id),
            name=alarm.name,
            subject=alarm.subject,
            severity=alarm.severity,
            since=alarm.since,
            reason=alarm.reason,
            cleared_at=alarm.cleared_at,
            cause=alarm.cause or "",
            downtime=alarm.downtime,
            not_prepared=refusals.get(str(alarm.id), ""),
        )
        for alarm in sorted(found, key=lambda alarm: alarm.since, reverse=True)
    ]
