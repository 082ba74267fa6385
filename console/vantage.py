"""`karaula vantage` as this process: an observer behind one door, which tells whoever has its token what it sees.

HTTPS with a certificate of its own; without one only on loopback. Nothing can be asked for but its opinion.
"""

from __future__ import annotations

import asyncio
import math
import signal
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from console.api.bearer import CHALLENGE, SHORTEST, fits
from console.api.front import QuietServer
from console.serving import listening
from console.supervisor import of_this_process
from monitor.clock import Clock, RealClock
from monitor.credential import Credentials
from monitor.errors import CredentialError, StateError
from monitor.inventory.model import Inventory
from monitor.inventory.vantage import ObserverPoint
from monitor.observer import Observer, Opinion
from monitor.probes.observer import PATH
from monitor.problem import did_you_mean

SCHEMA = 1
MOST_AT_ONCE = 64
STOP_S = 3


@dataclass(frozen=True, slots=True)
class Place:
    """Where an observer answers, and the PEM file with its certificate and key (None: plain HTTP, loopback only)."""

    host: str
    port: int
    certificate: Path | None


def point_of(inventory: Inventory, name: str) -> ObserverPoint:
    """Return the observer that the inventory calls ``name``. Raises StateError."""
    points = {key: point for key, point in inventory.vantage.points.items() if isinstance(point, ObserverPoint)}
    if name in points:
        return points[name]
    hint = did_you_mean(name, points)
    raise StateError(f"the inventory has no observer '{name}' in vantage.points" + (f"; {hint}" if hint else ""))


def opinion_document(opinion: Opinion) -> dict[str, object]:
    """Return what is answered: of each side a word, how old it is (seconds, null: never seen) and why."""
    systems: dict[str, dict[str, object]] = {}
    for (system, site), vote in opinion.votes.items():
        age_s = None if math.isinf(vote.age_s) else vote.age_s
        systems.setdefault(system, {})[site] = {"word": vote.word.value, "age_s": age_s, "reason": vote.reason}
    return {"schema_version": SCHEMA, "at": opinion.at, "isolated": opinion.isolated, "systems": systems}


def make_app(observer: Observer, credentials: Credentials, token: str) -> Starlette:
    """Return the application; the token is read at each question, so that a new one works at once."""

    async def opinion(request: Request) -> Response:
        try:
            known = fits(request.headers.get("authorization", ""), credentials.secret(token))
        except CredentialError as error:
            return JSONResponse({"error": str(error)}, 503)
        if not known:
            return JSONResponse({"error": "this observer speaks to whoever has its token"}, 401, CHALLENGE)
        return JSONResponse(opinion_document(observer.opinion()), headers={"Cache-Control": "no-store"})

    return Starlette(routes=[Route(PATH, opinion, methods=["GET"])])


async def observe(
    name: str,
    inventory: Inventory,
    credentials: Credentials,
    place: Place,
    started: Callable[[Place], None],
    clock: Clock | None = None,
) -> None:
    """Observe and answer until SIGTERM or SIGINT. Raises StateError and CredentialError."""
    point = point_of(inventory, name)
    if place.certificate is None and not ip_address(place.host).is_loopback:
        raise StateError(f"{place.host} is not loopback, so its answers need a certificate: give --certificate FILE")
    if len(credentials.secret(point.credential).reveal()) < SHORTEST:
        raise StateError(f"the token '{point.credential}' is shorter than {SHORTEST} characters; make a new one")
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    observer = Observer(name, inventory, credentials, clock or RealClock())
    with listening(place.host, place.port) as taken:
        server = _server(make_app(observer, credentials, point.credential), place.certificate)
        await observer.start()
        serving = asyncio.create_task(server.serve(sockets=[taken]), name="http")
        try:
            started(Place(place.host, taken.getsockname()[1], place.certificate))
            of_this_process().tell("READY=1")
            await _first(serving, stop.wait())
        finally:
            server.should_exit = True
            await asyncio.gather(serving, return_exceptions=True)
            await observer.stop()


def _server(app: Starlette, certificate: Path | None) -> QuietServer:
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        limit_concurrency=MOST_AT_ONCE,
        timeout_graceful_shutdown=STOP_S,
        ssl_certfile=certificate,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise StateError(f"{certificate} cannot be used: it must hold a certificate and its key (PEM)") from error
    if config.ssl is not None:
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
    return QuietServer(config)


async def _first(serving: asyncio.Task[None], stopped: Awaitable[object]) -> None:
    """Wait for a signal; raise what the server broke on before."""
    waiting = asyncio.ensure_future(stopped)
    await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if serving.done():
        serving.result()
