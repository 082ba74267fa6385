"""Does a page answer as it should, and what does a health page say of itself.

A front end's ``/health`` answers ``{"system", "site", "role", "position", "epoch"}``; its words become facts and its
numbers become values. Any other body is fine as long as the status is right, and what must be in it is.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from monitor.clients.http import HttpClient
from monitor.clients.http_visit import Visit, text_of
from monitor.errors import CredentialError, TargetError
from monitor.probe import Answer, Observation, each, failed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from monitor.clients.http import HttpReply
    from monitor.clock import Clock
    from monitor.credential import Credentials
    from monitor.inventory.estate import Trust
    from monitor.probe import Target

AT_ONCE = 256  # so many that hang at once hold up nobody else
OK_STATUS = 200
LONGEST_FACT = 200
LONGEST_SHOWN = 60
LARGEST = 2**53  # beyond, a float is not exact
FACTS = ("system", "site", "role")
NUMBERS = {"position": "position", "epoch": "epoch"}

Scalar = str | bool | int | float


@dataclass(frozen=True, slots=True)
class FormLogin:
    """A log-in by the form on ``page`` that has these fields."""

    page: str
    user: str
    credential: str
    user_field: str
    password_field: str


@dataclass(frozen=True, slots=True)
class HeaderLogin:
    """A log-in by a header: with ``user`` Basic (RFC 7617), without it Bearer (RFC 6750)."""

    credential: str
    user: str | None = None


@dataclass(frozen=True, slots=True)
class JsonWanted:
    """A field that a JSON answer must have, by its keys and places in lists; ``equals`` None: whatever it holds."""

    path: tuple[str, ...]
    equals: Scalar | None = None


@dataclass(frozen=True, slots=True)
class HttpParams:
    """What to ask; with ``address`` (and ``port``) there, the certificate still being ``url``'s host's."""

    url: str
    address: str | None = None
    port: int | None = None
    expect_status: int = OK_STATUS
    contains: str = ""
    json: JsonWanted | None = None
    redirects: int = 0
    login: FormLogin | HeaderLogin | None = None


class HttpProbe:
    """Asks a page by GET, over TLS that is verified against the estate's CA."""

    def __init__(self, credentials: Credentials, trust: Trust, clock: Clock) -> None:
        """Prepare. Raises CredentialError when the CA bundle cannot be used."""
        self._http = HttpClient(credentials.path(trust.tls_ca), clock=clock)
        self._credentials = credentials
        self._clock = clock

    async def observe(self, targets: Sequence[Target]) -> AsyncIterator[Observation]:
        """Yield one observation a target: ``duration_seconds``, ``tls_not_after_seconds`` and what the body says.

        The duration is that of the whole, with log-in and redirects.
        """
        async for observation in each(targets, self._ask, AT_ONCE, self._clock):
            yield observation

    async def close(self) -> None:
        """Break off what still runs."""
        await self._http.close()

    async def _ask(self, target: Target) -> Observation:
        params: HttpParams = target.params
        started = self._clock.monotonic()
        try:
            reply = await self._visit(params, target.deadline_s)
        except (TargetError, CredentialError) as error:
            return failed(target, self._clock.now(), error)
        values = {"duration_seconds": self._clock.monotonic() - started, "status": float(reply.status)}
        if reply.tls_not_after is not None:
            values["tls_not_after_seconds"] = reply.tls_not_after
        facts, numbers = _said(reply)
        reason = self._credentials.redact(complaint(params, reply))
        return Observation(
            target.subject,
            target.probe,
            self._clock.now(),
            Answer.FAILED if reason else Answer.OK,
            reason,
            values | numbers,
            facts,
        )

    async def _visit(self, params: HttpParams, deadline_s: float) -> HttpReply:
        connect_to = None if params.address is None else (params.address, params.port)
        login = params.login
        authorization = self._authorization(login) if isinstance(login, HeaderLogin) else ""
        visit = Visit(self._http, self._clock, params.url, deadline_s, connect_to, authorization)
        if isinstance(login, FormLogin):
            names = (login.user_field, login.password_field)
            await visit.log_in(login.page, names, login.user, self._credentials.secret(login.credential))
        return await visit.get(params.url, params.redirects)

    def _authorization(self, login: HeaderLogin) -> str:
        secret = self._credentials.secret(login.credential).reveal()
        if login.user is not None:
            return "Basic " + base64.b64encode(f"{login.user}:{secret}".encode()).decode()
        if not secret.isascii() or not secret.isprintable():
            raise CredentialError(
                f"credential '{login.credential}' is no token: it has characters that a header cannot"
            )
        return f"Bearer {secret}"


def complaint(params: HttpParams, reply: HttpReply) -> str:
    """Say why an answer is not the expected one; empty when it is."""
    if reply.status != params.expect_status:
        return f"answered {reply.status} instead of {params.expect_status}"
    if params.contains and params.contains not in text_of(reply):
        return f"the answer does not contain {_shown(params.contains)}"
    return _not_in_json(params.json, reply) if params.json is not None else ""


def _not_in_json(wanted: JsonWanted, reply: HttpReply) -> str:
    try:
        found = json.loads(reply.body)
    except (ValueError, RecursionError):
        return "the answer is not JSON"
    for key in wanted.path:
        if isinstance(found, dict) and key in found:
            found = found[key]
        elif isinstance(found, list) and key.isdecimal() and len(key) < 6 and int(key) < len(found):  # noqa: PLR2004 - a place in a list
            found = found[int(key)]
        else:
            return f"the answer has no field {_shown('.'.join(wanted.path))}"
    if wanted.equals is None or (found == wanted.equals and isinstance(found, bool) is isinstance(wanted.equals, bool)):
        return ""
    return f"the field {_shown('.'.join(wanted.path))} is {_shown(found)}, expected {_shown(wanted.equals)}"


def _plain(text: str) -> str:
    """Return text without what would move a screen, or (half of a surrogate pair) cannot be written anywhere."""
    return "".join(character if character.isprintable() else " " for character in text)


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else f"'{value}'"
    plain = _plain(text)
    return plain if len(plain) <= LONGEST_SHOWN else plain[:LONGEST_SHOWN] + "…"


def _said(reply: HttpReply) -> tuple[dict[str, str], dict[str, float]]:
    """Return the known words and numbers of a JSON object; nothing of any other body."""
    if "json" not in reply.headers.get("content-type", ""):
        return {}, {}
    try:
        found = json.loads(reply.body)
    except (ValueError, RecursionError):
        return {}, {}
    if not isinstance(found, dict):
        return {}, {}
    facts = {key: _plain(found[key][:LONGEST_FACT]) for key in FACTS if isinstance(found.get(key), str)}
    numbers = {
        name: float(found[key])
        for key, name in NUMBERS.items()
        if isinstance(found.get(key), int | float)
        and not isinstance(found[key], bool)
        and -LARGEST < found[key] < LARGEST  # false for NaN as well
    }
    return facts, numbers
