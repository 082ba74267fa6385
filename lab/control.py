"""The control port of the lab: faults by button or by JSON, and the truth to compare with.

    GET  /                      a page with buttons
    GET  /state                 the whole estate
    GET  /truth/<system>        one system with its ledger of effects
    GET  /effects               the ledger of effects of all
    GET  /faults                faults in force, and what there is
    POST /faults                {"fault": "cut-site", "target": "main", …parameters}
    POST /clear                 {"fault": …, "target": …} or {"all": true}
    DELETE /faults/<name>/<target>

Mistakes are answered with 400 and ``{"error": text}``. It listens on loopback and has no log-in; requests that a web
page of another origin makes a browser send are refused.
"""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lab.faults import FaultError
from lab.scenario import Estate
from lab.servers.http_server import HttpServer, Request, Response, error_response, json_response
from lab.truth import effects, faults, state, truth

PAGE = Path(__file__).with_name("control_page.html")


class Control:
    """The control server of one estate."""

    def __init__(self, estate: Estate, address: str, port: int) -> None:
        """Serve at ``address``:``port``."""
        self._estate = estate
        self._http = HttpServer(address, port, self._serve)

    async def start(self) -> None:
        """Listen. Raises OSError when the address is taken."""
        await self._http.start()

    async def stop(self) -> None:
        """Stop listening."""
        await self._http.stop()

    def refresh(self) -> None:
        """Do nothing: the control port is outside the estate."""

    async def _serve(self, request: Request) -> Response:
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
            return error_response(HTTPStatus.FORBIDDEN, "requests from other web pages are not taken")
        try:
            return self._get(request.path) if request.method == "GET" else self._change(request)
        except FaultError as error:
            return error_response(HTTPStatus.BAD_REQUEST, str(error))

    def _change(self, request: Request) -> Response:
        if request.method == "DELETE" and request.path.startswith("/faults/"):
            name, _, target = request.path.removeprefix("/faults/").partition("/")
            return self._clear({"fault": name, "target": target})
        if request.method == "POST" and request.path == "/faults":
            return self._inject(_document(request))
        if request.method == "POST" and request.path == "/clear":
            return self._clear(_document(request))
        return error_response(HTTPStatus.NOT_FOUND, f"there is no {request.method} {request.path}")

    def _get(self, path: str) -> Response:
        if path == "/":
            return Response(HTTPStatus.OK, PAGE.read_bytes(), "text/html; charset=utf-8")
        if path == "/state":
            return json_response(state(self._estate))
        if path == "/faults":
            return json_response(faults(self._estate))
        if path == "/effects":
            return json_response({"effects": effects(self._estate)})
        system = path.removeprefix("/truth/")
        if system in self._estate.plan.systems and path.startswith("/truth/"):
            return json_response(truth(self._estate, system))
        return error_response(HTTPStatus.NOT_FOUND, f"there is no GET {path}")

    def _inject(self, document: dict[str, Any]) -> Response:
        name, target = _name_and_target(document)
        parameters = {key: value for key, value in document.items() if key not in {"fault", "target"}}
        fault = self._estate.injuries.inject(name, target, parameters)
        shown = {"fault": fault.name, "target": fault.target, "parameters": dict(fault.parameters), "at": fault.at}
        return json_response(shown, HTTPStatus.CREATED)

    def _clear(self, document: dict[str, Any]) -> Response:
        if document.get("all") is True:
            return json_response({"cleared": self._estate.injuries.clear_all()})
        return json_response({"cleared": int(self._estate.injuries.clear(*_name_and_target(document)))})


def _document(request: Request) -> dict[str, Any]:
    try:
        document = request.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise FaultError('send a JSON object such as {"fault": "cut-site", "target": "main"}')
    return document


def _name_and_target(document: dict[str, Any]) -> tuple[str, str]:
    name, target = document.get("fault"), document.get("target")
    if not isinstance(name, str) or not isinstance(target, str):
        raise FaultError("'fault' and 'target' must be given, both as text")
    return name, target
