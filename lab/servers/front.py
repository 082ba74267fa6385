"""The HTTPS front end of a system at a site, and the isolated one of a drill on the same address at the bubble port.

``GET /health`` tells role, position and epoch; ``POST /declarations {"id": …}`` is accepted by the active site alone
(201 with the ledger position, 409 elsewhere); ``GET /declarations/{id}`` tells whether the ledger here has it. People
log in at ``/login`` (``front_portal.py``). A
declaration that is sent again gets its old position. What a drill's front accepts goes into the drill's own copy of the
ledger.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus

from lab import uplink
from lab.identity import Identity
from lab.ledger import Database, NotPrimaryError, Record
from lab.plan import DeploymentPlan
from lab.scenario import Estate, Server
from lab.servers.front_portal import Portal
from lab.servers.http_server import HttpServer, Request, Response, error_response, json_response

DECLARATION = re.compile(r"/declarations/([A-Za-z0-9._-]{1,100})")
DECLARATION_ID = re.compile(r"[A-Za-z0-9._-]{1,100}")


@dataclass(frozen=True, slots=True)
class Ledger:
    """Where a front reads and writes: production's database or a drill's copy (None when the drill has ended)."""

    database: Callable[[], Database | None]
    declare: Callable[[str], Record]


class Front:
    """Answers requests for one system at one site from ``ledger``."""

    def __init__(self, estate: Estate, plan: DeploymentPlan, ledger: Ledger, portal: Portal | None = None) -> None:
        self._estate = estate
        self._portal = portal
        self._plan = plan
        self._ledger = ledger

    async def serve(self, request: Request) -> Response:
        """Answer one request, late when the front is slow."""
        slow = self._estate.faults.get("slow-front", f"{self._plan.system}/{self._plan.site}")
        if slow is not None:
            await asyncio.sleep(slow.number("seconds"))
        database = self._ledger.database()
        if database is None:
            return error_response(HTTPStatus.SERVICE_UNAVAILABLE, "the drill has ended")
        page = self._portal.serve(request) if self._portal is not None else None
        if page is not None:
            return page
        if request.path == self._plan.health_path and request.method == "GET":
            return self._health(database)
        if request.path == "/declarations" and request.method == "POST":
            return self._declare(request, database)
        asked = DECLARATION.fullmatch(request.path)
        if asked is not None and request.method == "GET":
            return _look_up(database, asked[1])
        return error_response(HTTPStatus.NOT_FOUND, f"there is no {request.method} {request.path}")

    def _health(self, database: Database) -> Response:
        return json_response(
            {
                "system": self._plan.system,
                "site": self._plan.site,
                "role": "active" if database.role == "primary" else "standby",
                "position": database.position,
                "epoch": database.epoch,
            }
        )

    def _declare(self, request: Request, database: Database) -> Response:
        try:
            document = request.json()
        except ValueError:
            document = None
        declaration = document.get("id") if isinstance(document, dict) else None
        if not isinstance(declaration, str) or not DECLARATION_ID.fullmatch(declaration):
            return error_response(HTTPStatus.BAD_REQUEST, 'send {"id": "letters, digits, dots and dashes"}')
        try:
            record = self._ledger.declare(declaration)
        except NotPrimaryError:
            return error_response(
                HTTPStatus.CONFLICT, f"{database.system} at {database.site} is {database.role}, not active"
            )
        return json_response({"id": record.id, "position": record.position}, HTTPStatus.CREATED)


def servers(estate: Estate, identity: Identity) -> list[Server]:
    """Build both fronts of every system at every site."""
    built: list[Server] = []
    for plan in estate.plan.deployments:
        built += [_production(estate, identity, plan), _bubble(estate, identity, plan)]
    return built


def _production(estate: Estate, identity: Identity, plan: DeploymentPlan) -> HttpServer:
    ledger = Ledger(
        partial(estate.database, plan.system, plan.site), partial(estate.orders.declare, plan.system, plan.site)
    )
    users = {user: identity.secret(credential) for user, credential in estate.plan.portal_users.items()}
    portal = Portal(estate, plan, users)
    return HttpServer(
        plan.front_address,
        plan.front_port,
        Front(estate, plan, ledger, portal).serve,
        partial(estate.front_presence, plan.system, plan.site),
        identity.tls(plan.front_address),
        partial(uplink.refuses, estate),
    )


def _bubble(estate: Estate, identity: Identity, plan: DeploymentPlan) -> HttpServer:
    def declare(declaration: str) -> Record:
        database = estate.bubble(plan.system, plan.site)
        if database is None:
            raise NotPrimaryError("the drill has ended")
        return database.append(declaration)

    ledger = Ledger(partial(estate.bubble, plan.system, plan.site), declare)
    return HttpServer(
        plan.front_address,
        plan.bubble_port,
        Front(estate, plan, ledger).serve,
        partial(estate.bubble_presence, plan.system, plan.site),
        identity.tls(plan.front_address),
    )


def _look_up(database: Database, declaration: str) -> Response:
    if not database.has(declaration):
        return error_response(HTTPStatus.NOT_FOUND, f"{declaration} is not in the ledger at {database.site}")
    position = next(record.position for record in database.records if record.id == declaration)
    return json_response({"id": declaration, "position": position})
