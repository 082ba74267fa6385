"""The message gateway outside both sites: it feeds the systems with declarations and logs what was acknowledged.

``GET /receipts/<system>`` answers ``{"acknowledged": n, "newest_position": p, "newest_at": unix}`` over HTTPS: the
independent witness of what clients were told is accepted. The clients behind it are seeded: which system a declaration
is for and what it is called repeat with the seed.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from functools import partial
from http import HTTPStatus
from urllib.parse import urlsplit

from lab import uplink
from lab.identity import Identity
from lab.scenario import Estate, Server
from lab.servers.front_client import FrontClient, NotAcceptedError
from lab.servers.http_server import HttpServer, Request, Response, error_response, json_response

MOST_AT_ONCE = 32


class Gateway:
    """The receipts service."""

    def __init__(self, estate: Estate, identity: Identity, address: str, port: int) -> None:
        self._estate = estate
        self._http = HttpServer(address, port, self._serve, partial(uplink.presence, estate), identity.tls(address))

    async def start(self) -> None:
        """Listen. Raises OSError when the address is taken."""
        await self._http.start()

    async def stop(self) -> None:
        """Stop listening."""
        await self._http.stop()

    def refresh(self) -> None:
        """Follow the monitor's uplink; it is outside both sites."""
        self._http.refresh()

    async def _serve(self, request: Request) -> Response:
        area, _, system = request.path.strip("/").partition("/")
        if request.method != "GET" or area != "receipts" or system not in self._estate.acknowledged:
            return error_response(HTTPStatus.NOT_FOUND, f"there is no {request.method} {request.path}")
        receipts = self._estate.acknowledged[system]
        return json_response(
            {
                "acknowledged": len(receipts.ids),
                "newest_position": receipts.newest_position,
                "newest_at": receipts.newest_at,
            }
        )


class Clients:
    """The seeded clients: ``estate.rate_per_s`` declarations a second over all systems, each sent once."""

    def __init__(self, estate: Estate, identity: Identity) -> None:
        self._estate = estate
        self._random = random.Random(estate.seed)
        self._front = FrontClient(estate, identity)
        self._numbers = {system: itertools.count(1) for system in estate.plan.systems}
        self._loop: asyncio.Task[None] | None = None
        self._sending: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to send."""
        if self._estate.rate_per_s > 0:
            self._loop = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop sending."""
        ending = [*self._sending, *([self._loop] if self._loop is not None else [])]
        for task in ending:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*ending, return_exceptions=True)
        self._loop = None

    def refresh(self) -> None:
        """Do nothing: clients notice a failure by trying."""

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        systems = tuple(self._estate.plan.systems)
        while True:
            due += 1 / self._estate.rate_per_s
            await asyncio.sleep(max(0.0, due - loop.time()))
            system = self._random.choice(systems)
            number = next(self._numbers[system])
            if self._estate.faults.active("stop-traffic", system) or len(self._sending) >= MOST_AT_ONCE:
                continue
            declaration = f"{system}-{self._estate.seed}-{self._estate.born}-{number:06d}"
            task = asyncio.create_task(self._send(system, declaration))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _send(self, system: str, declaration: str) -> None:
        receipts = self._estate.acknowledged[system]
        try:
            site, position = await self._front.declare(system, declaration)
        except NotAcceptedError:
            receipts.refused += 1
            return
        receipts.acknowledge(declaration, site, position, self._estate.now())


def servers(estate: Estate, identity: Identity) -> list[Server]:
    """Return the gateway, where the inventory names one, and its clients."""
    urls = {system.receipts_url for system in estate.plan.systems.values() if system.receipts_url}
    places = sorted({(place.hostname or "", place.port or 443) for place in map(urlsplit, urls)})
    gateways: list[Server] = [Gateway(estate, identity, address, port) for address, port in places]
    return [*gateways, Clients(estate, identity)]
