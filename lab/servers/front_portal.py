"""The front's log-in for people: ``GET /login`` (a form), ``POST /session``, ``GET /desk`` for who is signed in.

As portals are: a token against forgery in the form, a session by cookie. The fault ``refuse-logins`` turns everybody
away while the health page stays green. Sessions and tokens are few and forget the oldest.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Mapping
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from typing import TypeVar
from urllib.parse import parse_qs

from lab.plan import DeploymentPlan
from lab.scenario import Estate
from lab.servers.http_server import Request, Response

Kept = TypeVar("Kept")

HTML = "text/html; charset=utf-8"
MOST = 1000
FORM = """<!doctype html><title>{system}: log in</title><h1>{system} at {site}</h1>
<form method="post" action="/session"><input type="hidden" name="token" value="{token}">
<label>User <input name="username"></label> <label>Password <input type="password" name="password"></label>
<button>Log in</button></form>
"""


class Portal:
    """The log-in of one front; ``passwords`` are those of its users."""

    def __init__(self, estate: Estate, plan: DeploymentPlan, passwords: Mapping[str, str]) -> None:
        self._estate = estate
        self._plan = plan
        self._passwords = passwords
        self._tokens: OrderedDict[str, None] = OrderedDict()
        self._sessions: OrderedDict[str, str] = OrderedDict()

    def serve(self, request: Request) -> Response | None:
        """Answer a request for a page of the portal; None for any other."""
        match request.method, request.path:
            case "GET", "/login":
                return self._form()
            case "POST", "/session":
                return self._log_in(request)
            case "GET", "/desk":
                return self._desk(request)
            case _:
                return None

    def _form(self) -> Response:
        token = secrets.token_urlsafe(12)
        _remember(self._tokens, token, None)
        text = FORM.format(system=self._plan.system, site=self._plan.site, token=token)
        return Response(HTTPStatus.OK, text.encode(), HTML)

    def _log_in(self, request: Request) -> Response:
        sent = {name: values[0] for name, values in parse_qs(request.body.decode("utf-8", "replace")).items()}
        known = sent.get("token", "") in self._tokens
        self._tokens.pop(sent.get("token", ""), None)
        password = self._passwords.get(sent.get("username", ""))
        turned_away = self._estate.faults.active("refuse-logins", f"{self._plan.system}/{self._plan.site}")
        if turned_away or not known or password is None or sent.get("password") != password:
            return Response(HTTPStatus.FORBIDDEN, b"<p>Log-in refused.\n", HTML)
        session = secrets.token_urlsafe(18)
        _remember(self._sessions, session, sent["username"])
        cookie = f"session={session}; Path=/; Secure; HttpOnly; SameSite=Strict"
        return Response(HTTPStatus.SEE_OTHER, b"", HTML, {"Location": "/desk", "Set-Cookie": cookie})

    def _desk(self, request: Request) -> Response:
        user = self._sessions.get(_session(request.headers.get("cookie", "")))
        if user is None:
            return Response(HTTPStatus.SEE_OTHER, b"", HTML, {"Location": "/login"})
        text = f"<!doctype html><title>{self._plan.system}</title><p>Signed in as {user}.\n"
        return Response(HTTPStatus.OK, text.encode(), HTML)


def _remember(kept: OrderedDict[str, Kept], key: str, value: Kept) -> None:
    kept[key] = value
    if len(kept) > MOST:
        kept.popitem(last=False)


def _session(header: str) -> str:
    try:
        found = SimpleCookie(header).get("session")
    except CookieError:
        return ""
    return found.value if found else ""
