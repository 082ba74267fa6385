"""The configuration: reading the inventory and the playbooks anew."""

from __future__ import annotations

from fastapi import APIRouter, Request

from console.api.actor import caller_of
from console.api.desk import desk_of
from console.api.views import SCHEMA, View

router = APIRouter(prefix="/api")


class ReloadReply(View):
    """What a reload changed: subjects, and by name what is no subject. ``notes`` are sentences."""

    schema_version: int = SCHEMA
    loaded_at: float
    added: list[str]
    removed: list[str]
    changed: list[str]
    others: list[str]
    notes: list[str]


@router.post("/reload")
async def reload(request: Request) -> ReloadReply:
    """Read the files anew and go on by them; every mistake, and nothing changed, when they have any."""
    actor = caller_of(request)  # the service manager reloads as the daemon's own account
    done = await desk_of(request).reload(actor.said(actor.name))
    changes = done.changes
    return ReloadReply(
        loaded_at=done.loaded_at,
        added=list(changes.added),
        removed=list(changes.removed),
        changed=list(changes.changed),
        others=list(changes.others),
        notes=list(done.notes),
    )
