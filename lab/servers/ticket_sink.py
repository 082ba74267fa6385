"""A service desk that keeps tickets: POST /tickets, PATCH or PUT /tickets/{id}, GET both. JSON objects in and out.

Every accepted request goes to ``estate.tickets`` too, so that one can ask what the desk was told and when.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from lab.identity import Identity
from lab.scenario import Estate, Server
from lab.servers.http_server import HttpServer, Request, Response, error_response, json_response
from lab.states import Ticket

PATH = re.compile(r"/tickets(?:/([A-Za-z0-9-]+))?/?")


def servers(estate: Estate, identity: Identity) -> list[Server]:  # noqa: ARG001 - tickets come without log-in
    """Build the ticket sink, if the inventory has a ticket URL (plain HTTP with an address and a port)."""
    url = urlsplit(estate.plan.ticket_url)
    if url.hostname is None or url.port is None:
        return []
    return [TicketSink(url.hostname, url.port, estate.tickets.append, estate.now)]


@dataclass(frozen=True, slots=True)
class Case:
    """A ticket: what it says now and the bodies it was made of, oldest first, each with its Unix time."""

    number: str
    fields: Mapping[str, Any]
    history: tuple[tuple[float, Mapping[str, Any]], ...]

    def document(self) -> dict[str, Any]:
        """Give the ticket as the desk's JSON."""
        changes = [{"at": at, "fields": dict(fields)} for at, fields in self.history]
        return {**self.fields, "id": self.number, "history": changes}


class TicketSink:
    """Keeps tickets in memory and hands every accepted request to ``keep``."""

    def __init__(
        self,
        address: str,
        port: int,
        keep: Callable[[Ticket], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._cases: dict[str, Case] = {}
        self._keep = keep
        self._now = now
        self._server = HttpServer(address, port, self._serve)

    @property
    def port(self) -> int:
        """The TCP port in use."""
        return self._server.port

    async def start(self) -> None:
        """Begin to follow the truth. Raises ``OSError`` when the port cannot be bound."""
        await self._server.start()

    async def stop(self) -> None:
        """Close the port and every connection."""
        await self._server.stop()

    def refresh(self) -> None:
        """Become what the truth says now."""
        self._server.refresh()

    async def _serve(self, request: Request) -> Response:
        path = PATH.fullmatch(request.path)
        if path is None:
            return error_response(HTTPStatus.NOT_FOUND, "there is only /tickets")
        number = path[1]
        if request.method == "GET":
            return self._show(number)
        if request.method not in ({"PATCH", "PUT"} if number else {"POST"}):
            return error_response(HTTPStatus.METHOD_NOT_ALLOWED, f"{request.method} is not for {request.path}")
        try:
            fields = request.json()
        except ValueError:
            fields = None
        if not isinstance(fields, dict):
            return error_response(HTTPStatus.BAD_REQUEST, "a ticket is a JSON object")
        if number and number not in self._cases:
            return error_response(HTTPStatus.NOT_FOUND, f"no ticket {number}")
        self._keep(Ticket(self._now(), request.method, request.path, request.body.decode()))
        return self._change(number, fields, replace=request.method == "PUT") if number else self._open(fields)

    def _show(self, number: str | None) -> Response:
        if number is None:
            return json_response([case.document() for case in self._cases.values()])
        if number not in self._cases:
            return error_response(HTTPStatus.NOT_FOUND, f"no ticket {number}")
        return json_response(self._cases[number].document())

    def _open(self, fields: dict[str, Any]) -> Response:
        number = f"T-{len(self._cases) + 1}"
        case = Case(number, fields, ((self._now(), fields),))
        self._cases[number] = case
        return json_response(case.document(), HTTPStatus.CREATED, {"Location": f"/tickets/{number}"})

    def _change(self, number: str, fields: dict[str, Any], *, replace: bool) -> Response:
        known = self._cases[number]
        now_says = fields if replace else {**known.fields, **fields}
        case = Case(number, now_says, (*known.history, (self._now(), fields)))
        self._cases[number] = case
        return json_response(case.document())
