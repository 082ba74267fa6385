"""What every request passes before any route: who may ask from where, how much may be sent, what every answer carries.

Against pages of other origins: only known Host names are served (DNS rebinding), and a change that a browser sends
must come from our own page (Origin, Sec-Fetch-Site). A body is read here, at once and with a limit and a deadline, so
that no route waits for a sender that dawdles. A defect in a route ends as one sentence, and in the log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from console.api.replies import Refusal, refusal_reply

log = logging.getLogger(__name__)
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
LARGEST_BODY_BYTES = 64 * 1024
BODY_WITHIN_S = 10.0
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; object-src 'none'; frame-ancestors 'none'; form-action 'self'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
OTHER_ORIGIN = Refusal(403, "origin", "a change cannot be asked for by a page of another origin")


class Left(Exception):
    """The client went away before its request was complete."""


class Gate:
    """ASGI middleware around the routes. ``hosts`` are the Host header values that are served over TCP."""

    def __init__(
        self, app: ASGIApp, hosts: frozenset[str], headers: Mapping[str, str], body_within_s: float = BODY_WITHIN_S
    ) -> None:
        """``headers`` go on every answer beside ``HEADERS``, as they are then, unless a route sets its own."""
        self.app = app
        self.hosts = hosts
        self.headers = headers
        self.body_within_s = body_within_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def dressed(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in (*HEADERS.items(), *self.headers.items()):
                    headers.setdefault(name, value)
            await send(message)

        try:
            refusal = foreign(scope, self.hosts)
            body = b"" if refusal else await self._body(scope, receive)
        except Refusal as too_much:
            refusal = too_much
        except Left:
            return
        if refusal is not None:
            await refusal_reply(Request(scope), refusal)(scope, receive, dressed)
            return
        try:
            await self.app(scope, _replay(body, receive), dressed)
        except Exception:  # the border of a request: a defect in one route must not end as a broken connection
            log.exception("%s %s broke", scope["method"], scope["path"])
            if started:
                raise
            defect = Refusal(500, "defect", "Karaula made a mistake with this request; its log says more")
            await refusal_reply(Request(scope), defect)(scope, receive, dressed)

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """Return the whole body. Raises Refusal when it is too long or too slow, and Left."""
        announced = Headers(scope=scope).get("content-length", "0")
        if announced.isdecimal() and int(announced) > LARGEST_BODY_BYTES:
            raise _too_long()
        body = bytearray()
        try:
            async with asyncio.timeout(self.body_within_s):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Left
                    body += message.get("body", b"")
                    if len(body) > LARGEST_BODY_BYTES:
                        raise _too_long()
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError as error:
            raise Refusal(408, "slow", f"the request did not arrive within {self.body_within_s:g} s") from error


def foreign(scope: Scope, hosts: frozenset[str]) -> Refusal | None:
    """Say why a request that did not come from our own socket or page is refused; None when it is fine."""
    client = scope.get("client")
    if client is not None and client[0] == "unix":
        return None
    headers = Headers(scope=scope)
    host = headers.get("host", "")
    if host.lower() not in hosts:
        return Refusal(403, "origin", f"this address is not served under the name '{host[:80]}'")
    if scope["method"] in SAFE:
        return None
    origin = headers.get("origin")
    if origin is not None:
        return None if origin.partition("://")[2] in hosts else OTHER_ORIGIN
    return None if headers.get("sec-fetch-site", "same-origin") in {"same-origin", "none"} else OTHER_ORIGIN


def _too_long() -> Refusal:
    return Refusal(413, "size", f"a request may carry {LARGEST_BODY_BYTES // 1024} KiB; this one is longer")


def _replay(body: bytes, receive: Receive) -> Receive:
    """Hand over the body that was read, then whatever comes (that the client leaves)."""
    handed = False

    async def again() -> Message:
        nonlocal handed
        if handed:
            return await receive()
        handed = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
