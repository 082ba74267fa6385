"""An observer outside both sites, as ``karaula vantage`` is one: says over HTTPS which fronts it sees answer.

``GET /api/opinion`` with the token in ``Authorization: Bearer``; anybody else is told 401. The fault ``lie-observer``
lets it say one word of everything, ``hang-observer`` lets it be silent.
"""

from __future__ import annotations

import hmac
from functools import partial
from http import HTTPStatus

from lab.identity import Identity
from lab.presence import Presence
from lab.scenario import Estate, Server
from lab.servers.http_server import HttpServer, Request, Response, error_response, json_response

PATH = "/api/opinion"


def servers(estate: Estate, identity: Identity) -> list[Server]:
    """Build the observers that the inventory names."""
    return [Observer(estate, identity, key) for key in estate.plan.observers]


class Observer:
    """Serves the opinion of the observer ``key``."""

    def __init__(self, estate: Estate, identity: Identity, key: str) -> None:
        address, port, credential = estate.plan.observers[key]
        self._estate = estate
        self._key = key
        self._token = f"Bearer {identity.secret(credential)}".encode()
        self._http = HttpServer(
            address, port, self._serve, tls=identity.tls(address), presence=partial(estate.observer_presence, key)
        )

    async def start(self) -> None:
        """Listen. Raises OSError when the address is taken."""
        await self._http.start()

    async def stop(self) -> None:
        """Stop listening."""
        await self._http.stop()

    def refresh(self) -> None:
        """Appear as the fault says."""
        self._http.refresh()

    async def _serve(self, request: Request) -> Response:
        if request.method != "GET" or request.path != PATH:
            return error_response(HTTPStatus.NOT_FOUND, f"there is no {request.method} {request.path}")
        if not hmac.compare_digest(request.headers.get("authorization", "").encode(), self._token):
            return error_response(HTTPStatus.UNAUTHORIZED, "this observer speaks to whoever has its token")
        estate, lie = self._estate, self._estate.faults.get("lie-observer", self._key)
        systems: dict[str, dict[str, object]] = {}
        for one in estate.plan.deployments:
            word = lie.text("word") if lie is not None else _seen(estate, one.system, one.site)
            systems.setdefault(one.system, {})[one.site] = {"word": word, "age_s": 0.5, "reason": ""}
        return json_response({"schema_version": 1, "at": estate.now(), "isolated": "", "systems": systems})


def _seen(estate: Estate, system: str, site: str) -> str:
    return "up" if estate.front_presence(system, site) is Presence.ALIVE else "down"
