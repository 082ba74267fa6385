"""Just enough of an HTTP/1.1 server (RFC 9112) for the lab's web services: framing, keep-alive, TLS; no routing magic.

A service gives one coroutine from ``Request`` to ``Response``. Chunked request bodies are refused with 501, as RFC 9112
6.1 allows; every client in this estate sends Content-Length.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from lab.presence import Presence
from lab.servers.listener import TcpListener, always_alive, nobody

MAX_HEAD_LINES = 100
MAX_BODY_BYTES = 8 * 1024 * 1024
REQUEST_LINE_WORDS = 3


@dataclass(frozen=True, slots=True)
class Request:
    """One request; header names are lower case, ``path`` is percent-decoded and without its query."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Decode the body. Raises ``ValueError`` when it is not JSON in UTF-8."""
        return json.loads(self.body)

    def basic_credentials(self) -> tuple[str, str] | None:
        """Give user and password of HTTP Basic authentication (RFC 7617), None when there are none."""
        scheme, _, encoded = self.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            user, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return (user, password) if colon else None


@dataclass(frozen=True, slots=True)
class Response:
    """One response; Content-Length is added when it is sent."""

    status: int = HTTPStatus.OK
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


def json_response(document: Any, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with a JSON document."""
    return Response(status, json.dumps(document).encode() + b"\n", "application/json", headers or {})


def error_response(status: int, message: str) -> Response:
    """Answer with ``{"error": message}``."""
    return json_response({"error": message}, status)


class BadRequest(Exception):
    """A request that cannot be read; carries the status to answer before the connection closes."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        self.status = status
        super().__init__(message)


Service = Callable[[Request], Awaitable[Response]]


class HttpServer:
    """Serves ``service`` at an address, over TLS when ``tls`` is given, as long as ``presence`` says so."""

    def __init__(
        self,
        address: str,
        port: int,
        service: Service,
        presence: Callable[[], Presence] = always_alive,
        tls: ssl.SSLContext | None = None,
        refuses: Callable[[str], bool] = nobody,
    ) -> None:
        self._service = service
        self._listener = TcpListener(address, port, self._converse, presence, tls, refuses)

    @property
    def port(self) -> int:
        """The TCP port in use."""
        return self._listener.port

    async def start(self) -> None:
        """Begin to follow the truth. Raises ``OSError`` when the port cannot be bound."""
        await self._listener.start()

    async def stop(self) -> None:
        """Close the port and every connection."""
        await self._listener.stop()

    def refresh(self) -> None:
        """Become what the truth says now."""
        self._listener.refresh()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        keep = True
        while keep:
            try:
                request = await read_request(reader)
            except BadRequest as error:
                await _send(writer, error_response(error.status, str(error)), keep=False, method="")
                return
            if request is None:
                return
            response = await self._service(request)
            keep = request.headers.get("connection", "").lower() != "close"
            await _send(writer, response, keep=keep, method=request.method)


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """Read the next request; None when the client has closed. Raises ``BadRequest``."""
    line = await _read_line(reader)
    if not line:
        return None
    words = line.decode("latin-1").split()
    if len(words) != REQUEST_LINE_WORDS or not words[2].startswith("HTTP/1."):
        raise BadRequest(HTTPStatus.BAD_REQUEST, "not a request line of HTTP/1.1")
    headers: dict[str, str] = {}
    for _ in range(MAX_HEAD_LINES):
        line = await _read_line(reader)
        if line in (b"\r\n", b"\n"):
            break
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon:
            raise BadRequest(HTTPStatus.BAD_REQUEST, "a header line without a colon")
        headers[name.strip().lower()] = value.strip()
    else:
        raise BadRequest(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"more than {MAX_HEAD_LINES} header lines")
    if words[2] == "HTTP/1.0":
        headers.setdefault("connection", "close")
    target = urlsplit(words[1])
    body = await _read_body(reader, headers)
    query = dict(parse_qsl(target.query, keep_blank_values=True))
    return Request(words[0], unquote(target.path), query, headers, body)


async def _read_line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readline()
    except ValueError as error:  # what StreamReader makes of a line beyond its limit
        raise BadRequest(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "a line is too long") from error


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if "transfer-encoding" in headers:
        raise BadRequest(HTTPStatus.NOT_IMPLEMENTED, "transfer codings are not understood; send Content-Length")
    length = headers.get("content-length", "0")
    if not length.isdecimal():
        raise BadRequest(HTTPStatus.BAD_REQUEST, "Content-Length is not a number")
    if int(length) > MAX_BODY_BYTES:
        raise BadRequest(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"more than {MAX_BODY_BYTES} bytes")
    return await reader.readexactly(int(length))


async def _send(writer: asyncio.StreamWriter, response: Response, *, keep: bool, method: str) -> None:
    status = HTTPStatus(response.status)
    lines = [f"HTTP/1.1 {status.value} {status.phrase}"]
    if status is not HTTPStatus.NO_CONTENT:
        lines += [f"Content-Type: {response.content_type}", f"Content-Length: {len(response.body)}"]
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    if not keep:
        lines.append("Connection: close")
    head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
    writer.write(head if method == "HEAD" else head + response.body)
    await writer.drain()
