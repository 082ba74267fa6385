"""Alertmanager's door: its webhooks (version 4) with a token, and what of them stands. Closed unless it is configured.

Source: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config. What it sends is text of others: its
size is bounded by the gate, every field by this model, and of it only labels, fingerprint and start are used.
"""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from console.api.bearer import CHALLENGE, fits
from console.api.desk import Desk, desk_of
from console.api.views import View
from dr.alerts import Alert
from monitor.errors import CredentialError

router = APIRouter(prefix="/api/alerts")
Label = Annotated[str, Field(max_length=1000)]
Labels = Annotated[dict[Annotated[str, Field(max_length=200)], Label], Field(max_length=64)]


class Told(BaseModel):
    """One alert of a webhook."""

    model_config = ConfigDict(strict=True)

    status: Literal["firing", "resolved"]
    fingerprint: Annotated[str, Field(pattern=r"^[0-9a-f]{1,32}$")]
    startsAt: Annotated[str, Field(pattern=r"^[0-9TZ:.+-]{10,40}$")]  # noqa: N815 - Alertmanager's name
    labels: Labels
    annotations: Labels = {}


class Webhook(BaseModel):
    """What Alertmanager posts; what else it holds is passed over."""

    model_config = ConfigDict(strict=True)

    version: Literal["4"]
    alerts: Annotated[list[Told], Field(max_length=500)]


class TakenView(View):
    """How many alerts were used, and how many no response asks for (or there is no room for)."""

    used: int
    ignored: int


class AlertView(View):
    """An alert that stands; ``against`` says why nothing was prepared for it."""

    ref: str
    labels: dict[str, str]
    reason: str
    since: float
    told_at: float
    against: str


@router.post("")
async def take(request: Request) -> TakenView:
    """Take in a webhook. 401 without the token, 422 for what is none, 404 where none is expected."""
    desk = desk_of(request)
    _known(desk, request.headers.get("authorization", ""))
    try:
        told = Webhook.model_validate_json(await request.body())
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"][:4]) or "the whole"
        raise HTTPException(
            422, f"that is no webhook of Alertmanager's version 4: {where[:80]}: {first['msg']}"
        ) from error
    alerts = [
        Alert(one.fingerprint, one.startsAt, one.status == "firing", one.labels, one.annotations.get("summary", ""))
        for one in told.alerts
    ]
    used, ignored = desk.responding.take(alerts)
    return TakenView(used=used, ignored=ignored)


@router.get("")
async def standing(request: Request) -> list[AlertView]:
    """Return the alerts that stand, oldest first."""
    responding = desk_of(request).responding
    return [
        AlertView(
            ref=heard.alert.ref,
            labels=dict(heard.alert.labels),
            reason=heard.reason,
            since=heard.since,
            told_at=heard.at,
            against=responding.trigger.refusals.get(heard.alert.ref, ""),
        )
        for heard in responding.alerts.standing()
    ]


def _known(desk: Desk, header: str) -> None:
    """Raise HTTPException unless whoever sends this has the token of the inventory's ``alertmanager``."""
    settings = desk.inventory.alertmanager
    if settings is None:
        raise HTTPException(404, "the inventory has no 'alertmanager', so nobody may send alerts here")
    try:
        token = desk.credentials.secret(settings.credential)
    except CredentialError as error:
        raise HTTPException(503, str(error)) from error
    if not fits(header, token):
        raise HTTPException(401, "alerts are taken from whoever has the token", headers=CHALLENGE)
