"""``/metrics`` for Prometheus, ``/-/healthy`` and ``/-/ready`` for who starts and watches the daemon."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response

from console.api.desk import desk_of

router = APIRouter(include_in_schema=False)


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Answer with what was last observed; nothing is collected here."""
    body, content_type = desk_of(request).metrics(request.headers.get("accept", ""))
    return Response(body, headers={"Content-Type": content_type})


@router.get("/-/healthy")
async def healthy(request: Request) -> Response:
    """200 while the daemon does its work; 503 with a sentence for each thing that it cannot do."""
    problems = desk_of(request).problems()
    return PlainTextResponse("\n".join(problems or ["healthy"]) + "\n", 503 if problems else 200)


@router.get("/-/ready")
async def ready(request: Request) -> Response:
    """200 once everything was asked at least once; 503 with what is still open."""
    waiting = desk_of(request).not_ready()
    return PlainTextResponse("\n".join(waiting or ["ready"]) + "\n", 503 if waiting else 200)
