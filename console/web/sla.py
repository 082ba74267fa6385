"""The page of service levels: a month, its links, crossings and operators; what was entered, and the files to send."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from starlette.exceptions import HTTPException

from console.api.sla import MonthWord, answer_of, office_of
from console.web.render import page
from monitor.sla.measure import next_written_us
from monitor.sla.period import SECOND_US
from monitor.sla.render import (
    COUNTS,
    WHAT,
    bounds,
    delay,
    figure,
    finding,
    length,
    loss,
    named,
    part_shown,
    percent,
    verdict,
    wanted,
)

router = APIRouter(include_in_schema=False)
MOST_OUTAGES = 30


@router.get("/sla", response_class=HTMLResponse)
async def service_levels(request: Request, month: MonthWord = "") -> Response:
    """Show a month's service levels; without a month the present one."""
    known = [str(each) for each in await office_of(request).months()]
    try:
        answer = await answer_of(request, month.strip(), "")
    except HTTPException as error:
        return page(request, "sla.html", error.status_code, months=known, month=month, answer=None, said=error.detail)
    data = answer.month
    outages = sorted(
        ((link, outage) for link in data.links for outage in link.outages), key=lambda pair: -pair[1].start_us
    )
    return page(
        request,
        "sla.html",
        months=known,
        month=data.month,
        answer=answer,
        said="",
        outages=outages[:MOST_OUTAGES],
        more=max(0, len(outages) - MOST_OUTAGES),
        breaches=[(link, each) for link in data.links for each in link.verdicts if each.met is False],
        unknown=part_shown(
            sum(link.times.unknown_us for link in data.links), sum(link.times.total_us for link in data.links)
        ),
        findings={
            each.operator: finding(link for link in data.links if link.operator == each.operator)
            for each in data.operators
        },
        next_written=next_written_us(data.until_us) / SECOND_US,
        waiting=answer.seal is None and any(link.measured.loss_percent is None for link in data.links),
        bounds=bounds,
        names={operator.operator: operator.name for operator in data.operators},
        links_named={link.link: named(link) for link in data.links},
        what=WHAT,
        counts=COUNTS,
        loss=loss,
        delay=delay,
        named=named,
        length=length,
        exact=percent,
        figure=figure,
        wanted=wanted,
        verdict=verdict,
    )
