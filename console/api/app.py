"""The HTTP application: routes, pages, what every answer carries, and errors as one clear sentence.

It listens on a Unix socket and on loopback alone. Against pages of other origins: only known Host names are served
(DNS rebinding), and a change that a browser sends must come from our own page (Origin, Sec-Fetch-Site).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from console.api import estate, metrics, plans, runs
from console.api.desk import Desk
from console.web import pages
from console.web.pages import make_environment
from dr.errors import IllegalEvent, PlaybookError, RunRefused
from monitor.errors import StateError

log = logging.getLogger(__name__)
ZONE_HEADER = "Karaula-Timezone"  # times are Unix seconds; this is where people live
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; form-action 'self'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def make_app(desk: Desk, hosts: frozenset[str]) -> FastAPI:
    """Return the application. ``hosts`` are the Host header values that are served over TCP."""
    app = FastAPI(title="Karaula", version=desk.version, docs_url=None, redoc_url=None, openapi_url="/api/openapi.json")
    app.state.desk = desk
    for routes in (metrics.router, estate.router, plans.router, runs.router):
        app.include_router(routes)
    app.state.templates = make_environment(desk.inventory.estate.timezone)
    app.include_router(pages.router)
    app.mount("/static", pages.static)
    app.add_exception_handler(RunRefused, _refused)
    app.add_exception_handler(PlaybookError, _mistaken)
    app.add_exception_handler(StateError, _unable)
    app.add_exception_handler(IllegalEvent, _unable)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _http)

    @app.middleware("http")
    async def guard_origin(request: Request, proceed: Callable[[Request], Awaitable[Response]]) -> Response:
        refusal = foreign(request, hosts)
        response = error_reply(403, "origin", refusal) if refusal else await proceed(request)
        for name, value in (*HEADERS.items(), (ZONE_HEADER, desk.inventory.estate.timezone)):
            response.headers.setdefault(name, value)
        return response

    return app


def foreign(request: Request, hosts: frozenset[str]) -> str:
    """Say why a request that did not come from our own socket or page is refused; empty when it is fine."""
    if request.client is not None and request.client.host == "unix":
        return ""
    host = request.headers.get("host", "")
    if host not in hosts:
        return f"this address is not served under the name '{host[:80]}'"
    if request.method in SAFE:
        return ""
    origin = request.headers.get("origin")
    if origin is not None and origin.partition("://")[2] not in hosts:
        return "a change cannot be asked for by a page of another origin"
    if origin is None and request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        return "a change cannot be asked for by a page of another origin"
    return ""


def error_reply(status: int, code: str, message: str) -> JSONResponse:
    """Return an error in the one shape that all have."""
    return JSONResponse({"schema": 1, "error": {"code": code, "message": message}}, status_code=status)


async def _refused(_request: Request, error: Exception) -> Response:
    code = error.guard if isinstance(error, RunRefused) else "refused"
    message = error.reason if isinstance(error, RunRefused) else str(error)
    return error_reply(404 if code in {"run", "playbook", "system"} else 409, code, message)


async def _mistaken(_request: Request, error: Exception) -> Response:
    return error_reply(422, "mistakes", str(error))


async def _unable(_request: Request, error: Exception) -> Response:
    return error_reply(503, "state", str(error))


async def _malformed(_request: Request, error: Exception) -> Response:
    items = error.errors() if isinstance(error, RequestValidationError) else []
    text = "; ".join(f"{'.'.join(str(part) for part in item['loc'][1:])}: {item['msg']}" for item in items)
    return error_reply(422, "request", text or "the request cannot be understood")


async def _http(_request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = error.detail if isinstance(error, HTTPException) else str(error)
    return error_reply(status, "request", str(detail))
