"""Service levels: a month's figures as JSON, CSV and a page to send, and what people enter about links' time."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from console.api.actor import actor_of
from console.api.desk import desk_of
from console.api.views import SCHEMA, View
from dr.errors import RunRefused
from monitor.errors import StateError
from monitor.problem import did_you_mean
from monitor.sla import spreadsheet
from monitor.sla.document import EntryPart, MonthPart
from monitor.sla.ledger import Entry
from monitor.sla.office import Answer, Misentered, Office
from monitor.sla.period import Month, moment, month_of, parse_moment, parse_month
from monitor.sla.render import to_html

router = APIRouter(prefix="/api/sla")
PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; base-uri 'none'"
MonthWord = Annotated[str, Query(max_length=20, description="as 2026-10; empty: the present one")]
OperatorWord = Annotated[str, Query(max_length=63, description="an operator's key; empty: all")]
Said = Annotated[str, Field(min_length=1, max_length=500)]


class SealView(View):
    """That a month is closed: which revision, when and why, and what is wrong with it (empty: nothing)."""

    revision: int
    at: float
    why: str


class MonthReply(View):
    """A month. ``sha256`` is of the bytes at ``/api/sla/data.json`` for the same month and operator."""

    schema_version: int = SCHEMA
    at: float
    months: list[str]
    sha256: str
    seal: SealView | None
    trouble: str
    data: MonthPart


class EntriesReply(View):
    """Everything that people entered, oldest first."""

    schema_version: int = SCHEMA
    at: float
    entries: list[EntryPart]


class EntryAsk(BaseModel):
    """A time to take out of a link's reckoning; moments in the estate's time zone, or with an offset."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["maintenance", "excused"]
    link: Annotated[str, Field(min_length=1, max_length=140)]
    start: Annotated[str, Field(max_length=40)]
    end: Annotated[str, Field(max_length=40)]
    reason: Said


class Withdrawal(BaseModel):
    """Why an entry is taken back."""

    model_config = ConfigDict(extra="forbid")

    reason: Said


@router.get("")
async def month(request: Request, month: MonthWord = "", operator: OperatorWord = "") -> MonthReply:
    """Return a month's figures."""
    answer = await answer_of(request, month, operator)
    seal = answer.seal
    return MonthReply(
        at=desk_of(request).clock.now(),
        months=[str(each) for each in await office_of(request).months()],
        sha256=answer.sha256,
        seal=None if seal is None else SealView(revision=seal.revision, at=seal.at_us / 1e6, why=seal.why),
        trouble=answer.trouble,
        data=answer.month,
    )


@router.get("/data.json")
async def data(request: Request, month: MonthWord = "", operator: OperatorWord = "") -> Response:
    """Return the figures as the exact bytes that the hash is of."""
    answer = await answer_of(request, month, operator)
    return _file(answer.text, "application/json", answer, "json")


@router.get("/figures.csv")
async def figures(request: Request, month: MonthWord = "", operator: OperatorWord = "") -> Response:
    """Return a line for each link, crossing and operator, for a spreadsheet."""
    answer = await answer_of(request, month, operator)
    return _file(spreadsheet.figures(answer.month), "text/csv; charset=utf-8", answer, "csv")


@router.get("/outages.csv")
async def outages(request: Request, month: MonthWord = "", operator: OperatorWord = "") -> Response:
    """Return a line for each outage, for a spreadsheet."""
    answer = await answer_of(request, month, operator)
    return _file(spreadsheet.outages(answer.month), "text/csv; charset=utf-8", answer, "csv", "outages-")


@router.get("/report.html", response_class=HTMLResponse)
async def report(request: Request, month: MonthWord = "", operator: OperatorWord = "") -> HTMLResponse:
    """Return the report to send to an operator (its styles are inline, hence its own policy)."""
    answer = await answer_of(request, month, operator)
    page = to_html(answer, office_of(request).now_us())
    return HTMLResponse(page, headers={"Content-Security-Policy": PAGE_POLICY})


@router.get("/entries")
async def entries(request: Request) -> EntriesReply:
    """Return what people entered, withdrawn entries too."""
    office = office_of(request)
    found = await office.entries()
    zone = await office.zone()
    withdrawn = {entry.withdraws for entry in found}
    views = [entry_view(entry, zone, standing=entry.number not in withdrawn) for entry in found]
    return EntriesReply(at=desk_of(request).clock.now(), entries=views)


@router.post("/entries", status_code=201)
async def enter(request: Request, ask: EntryAsk) -> EntryPart:
    """Take out a time of a link: agreed maintenance, or an accepted excuse. It cannot be undone, only withdrawn."""
    actor = actor_of(request)
    office = office_of(request)
    zone = await office.zone()
    try:
        start_us, end_us = parse_moment(ask.start, zone), parse_moment(ask.end, zone)
    except ValueError as error:
        raise HTTPException(422, str(error)) from error
    link = await known_link(request, ask.link, month_of(start_us, zone))
    try:
        made = await office.enter(ask.kind, link, start_us, end_us, ask.reason, actor.name, actor.channel)
    except Misentered as error:
        raise HTTPException(422, str(error)) from error
    return entry_view(made, zone, standing=True)


@router.post("/entries/{number}/withdraw", status_code=201)
async def withdraw(request: Request, number: int, word: Withdrawal) -> EntryPart:
    """Take an entry back: it counts no more, and stays to be read."""
    actor = actor_of(request)
    office = office_of(request)
    try:
        made = await office.withdraw(number, word.reason, actor.name, actor.channel)
    except Misentered as error:
        raise HTTPException(422, str(error)) from error
    return entry_view(made, await office.zone(), standing=False)


def office_of(request: Request) -> Office:
    """Return where service levels are asked for. Raises StateError before the watch has started."""
    office = desk_of(request).watch.sla
    if office is None:
        raise StateError("the watch has not started")
    return office


async def answer_of(request: Request, month: str, operator: str) -> Answer:
    """Return the month's answer, of one operator where it is named.

    Raises HTTPException 422 for what is no month, 404 for one without records; RunRefused for an unknown operator.
    """
    office = office_of(request)
    try:
        wanted = parse_month(month) if month else await office.present_month()
    except ValueError as error:
        raise HTTPException(422, str(error)) from error
    answer = await office.month(wanted)
    if answer is None:
        known = [str(each) for each in await office.months()]
        there = f"there are records from {known[-1]} to {known[0]}" if known else "there are no records yet"
        raise HTTPException(404, f"nothing was recorded in {wanted}; {there}")
    if not operator:
        return answer
    operators = {each.operator for each in answer.month.operators}
    if operator not in operators:
        hint = did_you_mean(operator, operators)
        raise RunRefused("system", f"there is no operator '{operator}' in {wanted}" + (f"; {hint}" if hint else ""))
    return answer.of_operator(operator)


async def known_link(request: Request, word: str, month: Month) -> str:
    """Return the subject of a link named ``link/blace/primary`` or ``blace/primary``, of ``month`` or the present one.

    Raises RunRefused.
    """
    office = office_of(request)
    subject = word if word.startswith("link/") else f"link/{word}"
    links: set[str] = set()
    for each in (month, await office.present_month()):
        answer = await office.month(each)
        links |= {link.link for link in answer.month.links} if answer is not None else set()
    if subject not in links:
        hint = did_you_mean(subject, links)
        raise RunRefused("system", f"there is no link '{word}'" + (f"; {hint}" if hint else ""))
    return subject


def entry_view(entry: Entry, zone: str, *, standing: bool) -> EntryPart:
    """Return an entry as it is shown."""
    return EntryPart(
        number=entry.number,
        entered=moment(entry.at_us, zone).isoformat(sep=" "),
        kind=entry.kind,
        link=entry.subject,
        start=moment(entry.start_us, zone).isoformat(sep=" "),
        end=moment(entry.end_us, zone).isoformat(sep=" "),
        reason=entry.reason,
        by=entry.by,
        withdraws=entry.withdraws,
        standing=standing and entry.kind != "withdrawn",
    )


def _file(text: str, kind: str, answer: Answer, ending: str, what: str = "") -> Response:
    operator = f"-{answer.month.operator}" if answer.month.operator else ""
    name = f"sla-{what}{answer.month.month}{operator}.{ending}"
    headers = {"Content-Type": kind, "Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text, headers=headers)
