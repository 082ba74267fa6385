"""``/metrics`` for Prometheus, ``/-/healthy`` and ``/-/ready`` for who starts and watches the daemon."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response

from console.api.desk import desk_of

router = APIRouter(include_in_schema=False)


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Answer with what was last observed; nothing is collected here."""
    accept = ",".join(request.headers.getlist("accept"))
    page = await desk_of(request).metrics(accept, ",".join(request.headers.getlist("accept-encoding")))
    headers = {"Content-Type": page.content_type, "Vary": "Accept, Accept-Encoding"}
    return Response(page.body, headers=headers | ({"Content-Encoding": page.encoding} if page.encoding else {}))


@router.get("/-/healthy")
async def healthy(request: Request) -> Response:
    """200 while the daemon does its own work; 503 with a sentence for each part of it that it cannot do.

    What is watched, and who is told, may hang as it likes, and a changed inventory may be refused: docs/health.md.
    """
    faults = desk_of(request).faults()
    return PlainTextResponse("\n".join(faults or ["healthy"]) + "\n", 503 if faults else 200)


@router.get("/-/ready")
async def ready(request: Request) -> Response:
    """200 while the picture is complete and kept up to date; 503 with what is missing."""
    waiting = desk_of(request).not_ready()
    return PlainTextResponse("\n".join(waiting or ["ready"]) + "\n", 503 if waiting else 200)
