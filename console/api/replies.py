"""Errors as one clear sentence: JSON below ``/api``, a page for the pages, plain text for machines' other doors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException

from console.api.views import SCHEMA
from console.web.render import page
from dr.errors import RunRefused
from monitor.errors import InventoryError, KaraulaError

Form = Literal["json", "text", "page"]
UNKNOWN_NAMES = frozenset({"run", "playbook", "system"})
MOST_MISTAKES = 5
_PLAIN = ("/metrics", "/-/", "/static/")


class Refusal(Exception):
    """A request that is not served: the HTTP status, a stable word, a sentence."""

    def __init__(self, status: int, code: str, sentence: str) -> None:
        """Carry what ``refusal_reply`` needs."""
        self.status = status
        self.code = code
        self.sentence = sentence
        super().__init__(sentence)


def refusal_reply(request: Request, refusal: Refusal, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer in the form that who asks can read."""
    path = request.url.path
    if path.startswith("/api/"):
        body = {"schema": SCHEMA, "error": {"code": refusal.code, "message": refusal.sentence}}
        return JSONResponse(body, refusal.status, headers)
    if path.startswith(_PLAIN) or refusal.code == "origin":  # whoever comes under a wrong name learns nothing more
        return PlainTextResponse(f"{refusal.sentence}\n", refusal.status, headers)
    return page(request, "error.html", refusal.status, headers, sentence=refusal.sentence, code=refusal.status)


def add_error_replies(app: FastAPI) -> None:
    """Answer every error that the routes raise on purpose."""
    app.add_exception_handler(RunRefused, _refused)
    app.add_exception_handler(InventoryError, _mistaken)
    app.add_exception_handler(KaraulaError, _unable)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _http)


async def _refused(request: Request, error: Exception) -> Response:
    code = error.guard if isinstance(error, RunRefused) else "refused"
    sentence = error.reason if isinstance(error, RunRefused) else str(error)
    return refusal_reply(request, Refusal(404 if code in UNKNOWN_NAMES else 409, code, sentence))


async def _mistaken(request: Request, error: Exception) -> Response:
    return refusal_reply(request, Refusal(422, "mistakes", str(error)))


async def _unable(request: Request, error: Exception) -> Response:
    return refusal_reply(request, Refusal(503, "state", str(error)))


async def _malformed(request: Request, error: Exception) -> Response:
    items = error.errors() if isinstance(error, RequestValidationError) else []
    said = [f"{'.'.join(str(part) for part in item['loc'][1:])}: {item['msg']}" for item in items[:MOST_MISTAKES]]
    return refusal_reply(request, Refusal(422, "request", "; ".join(said) or "the request cannot be understood"))


async def _http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):  # registered for HTTPException alone
        raise error
    path, headers = request.url.path[:200], error.headers
    sentence = str(error.detail)
    if error.status_code == 404 and sentence == "Not Found":  # noqa: PLR2004 - Starlette's own words
        sentence = f"there is nothing at {path}"
    elif error.status_code == 405:  # noqa: PLR2004 - likewise
        allowed = (headers or {}).get("Allow") or "other methods"
        sentence = f"{path} does not take {request.method[:20]}; it takes {allowed}"
    return refusal_reply(request, Refusal(error.status_code, "request", sentence), headers)
