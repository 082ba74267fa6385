"""One HTTP request under one deadline, over verified TLS, with a bounded answer.

A new connection is made for every request: a probe is to see whether connecting works, and a kept connection would
carry one name's verified certificate over to another name. Proxies from the environment and redirects are ignored.
Source: RFC 9110, RFC 9525 (service identity in TLS).
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any

import httpx2

from monitor.clock import RealClock
from monitor.errors import (
    CredentialError,
    DeadlineExceeded,
    GarbledReply,
    Refused,
    SessionLost,
    TargetError,
    Unreachable,
    Untrusted,
    in_words,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from monitor.clock import Clock
    from monitor.credential import Secret

MOST_BODY_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class HttpReply:
    """An answer. Header names are in lower case; ``tls_not_after`` is when the certificate ends (Unix seconds).

    Of ``set_cookies`` nothing is kept: every request stands alone.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    elapsed_s: float
    tls_not_after: float | None
    set_cookies: tuple[str, ...] = ()


class HttpClient:
    """Makes requests; holds no connection between them."""

    def __init__(self, ca_file: Path | None, *, clock: Clock | None = None) -> None:
        """Trust ``ca_file`` (a PEM bundle; None: the system's). Raises CredentialError when it cannot be used."""
        try:
            self._tls = ssl.create_default_context(cafile=ca_file)
        except (OSError, ssl.SSLError) as error:
            raise CredentialError(f"CA bundle {ca_file} cannot be used: {error}") from error
        self._clock: Clock = clock or RealClock()
        self._client = httpx2.AsyncClient(
            verify=self._tls,
            trust_env=False,
            follow_redirects=False,
            limits=httpx2.Limits(max_keepalive_connections=0, max_connections=None),
            headers={"Accept-Encoding": "identity", "User-Agent": "karaula"},
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # takes none: they would reach the next check
        )

    async def request(
        self,
        method: str,
        url: str,
        *,
        timeout_s: float,
        connect_to: tuple[str, int | None] | None = None,
        json: object | None = None,
        auth: tuple[str, Secret] | None = None,
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
    ) -> HttpReply:
        """Ask ``url``; with ``connect_to`` at that address (and port), the certificate still being ``url``'s host's.

        ``form`` is sent as a browser sends one. Any status is a reply. Raises Unreachable (nothing was sent),
        Untrusted, DeadlineExceeded, SessionLost (broken off), GarbledReply (not HTTP, or over 1 MiB), Refused (not a
        usable URL). ``timeout_s`` bounds the whole call.
        """
        started = self._clock.monotonic()
        trail = _Trail()
        try:
            request = self._build(
                method, url, connect_to, trail, {"json": json, "data": form, "headers": headers or {}}
            )
            credentials = httpx2.BasicAuth(auth[0], auth[1].reveal()) if auth else None
            async with asyncio.timeout(timeout_s):
                response = await self._client.send(request, stream=True, auth=credentials)
                try:
                    body = await _read(response, url)
                    return HttpReply(
                        status=response.status_code,
                        headers={name.lower(): value for name, value in response.headers.items()},
                        body=body,
                        elapsed_s=self._clock.monotonic() - started,
                        tls_not_after=_not_after(response),
                        set_cookies=tuple(response.headers.get_list("set-cookie")),
                    )
                finally:
                    await response.aclose()
        except (TimeoutError, httpx2.TimeoutException) as error:
            if trail.sent:
                raise DeadlineExceeded(f"{_where(url)} did not answer in time") from error
            raise Unreachable(f"{_where(url)} did not accept a connection in time") from error
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol, httpx2.LocalProtocolError) as error:
            raise Refused(f"{url} cannot be asked: {error}") from error
        except httpx2.TransportError as error:
            raise _transport_error(error, _where(url), sent=trail.sent) from error
        finally:
            await trail.close()

    async def close(self) -> None:
        """Break off what still runs."""
        await self._client.aclose()

    def _build(
        self,
        method: str,
        url: str,
        connect_to: tuple[str, int | None] | None,
        trail: _Trail,
        content: Mapping[str, Any],
    ) -> httpx2.Request:
        asked = httpx2.URL(url)
        if asked.scheme not in ("http", "https") or not asked.host:
            raise Refused(f"{url} cannot be asked: it is not an http or https URL")
        extensions: dict[str, Any] = {"trace": trail.trace, "timeout": httpx2.Timeout(None).as_dict()}
        headers = dict(content["headers"])
        if connect_to is not None:
            headers["Host"] = asked.netloc.decode("ascii")
            extensions["sni_hostname"] = asked.host
            asked = asked.copy_with(host=connect_to[0], port=connect_to[1] or asked.port)
        return self._client.build_request(method, asked, **{**content, "headers": headers}, extensions=extensions)


class _Trail:
    """What a request has come to: whether it was written (then a failure's outcome is not known), and its socket."""

    def __init__(self) -> None:
        self.sent = False
        self._stream: Any = None

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        if event == "connection.connect_tcp.complete":
            self._stream = info["return_value"]
        if event.endswith("send_request_headers.started"):
            self.sent = True

    async def close(self) -> None:
        """Close the socket whatever happened; httpcore2 forgets it when cancelled in the TLS handshake."""
        if self._stream is not None:
            await self._stream.aclose()


async def _read(response: httpx2.Response, url: str) -> bytes:
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise GarbledReply(f"{_where(url)} answered in an encoding that was not asked for")
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > MOST_BODY_BYTES:
            raise GarbledReply(f"{_where(url)} answered with more than {MOST_BODY_BYTES} bytes")
    return bytes(body)


def _not_after(response: httpx2.Response) -> float | None:
    stream = response.extensions.get("network_stream")
    tls = stream.get_extra_info("ssl_object") if stream is not None else None
    certificate = tls.getpeercert() if tls is not None else None
    return float(ssl.cert_time_to_seconds(certificate["notAfter"])) if certificate else None


def _where(url: str) -> str:
    """Return the URL without user, password and query, which do not belong into messages."""
    parts = httpx2.URL(url)
    return f"{parts.scheme}://{parts.host}{f':{parts.port}' if parts.port else ''}{parts.path}"


def _transport_error(error: httpx2.TransportError, where: str, *, sent: bool) -> TargetError:
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Untrusted(f"{where} has a certificate that is not trusted: {cause.verify_message}")
    if isinstance(error, httpx2.RemoteProtocolError):
        return GarbledReply(f"{where} answered what is not HTTP: {error}")
    said = [in_words(cause) for cause in causes if isinstance(cause, OSError) and cause.errno]
    if sent:
        return SessionLost(f"{where} broke the connection off: {said[0] if said else 'no reason given'}")
    why = said[0] if said else (str(error) or type(error).__name__)
    return Unreachable(f"{where} cannot be reached: {why}")


def _causes(error: BaseException | None) -> list[BaseException]:
    """Return ``error`` and everything it came from, groups opened."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        if isinstance(error, BaseExceptionGroup):
            for inner in error.exceptions:
                found.extend(_causes(inner))
        error = error.__cause__ or error.__context__
    return found
