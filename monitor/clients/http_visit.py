"""A visit to a site as a person's browser makes it: redirects, cookies for this visit alone, and a log-in by a form.

What a secret may meet is narrow: https, the one origin (RFC 6454) that the inventory names, and a form that sends it in
a body. A redirect that leaves the origin ends a visit that has logged in; one from https to http ends every visit.
Sources: RFC 9110 (section 15.4), RFC 6265 (cookies, by ``http.cookiejar``), HTML Living Standard (form submission).
"""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

import httpx2

from monitor.clients.http_form import find_form
from monitor.errors import DeadlineExceeded, GarbledReply, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from monitor.clients.http import HttpClient, HttpReply
    from monitor.clock import Clock
    from monitor.credential import Secret

REDIRECTS = frozenset({301, 302, 303, 307, 308})
KEEPS_METHOD = frozenset({307, 308})
AFTER_LOG_IN = 5  # redirects that a log-in may take
# What the Encoding Standard's names come to in Python. Others are no page's (idna, undefined), or quadratic (punycode).
CHARSETS = ("utf-8", "utf-16", "ascii", "iso8859", "cp", "koi8", "mac", "gb", "big5", "euc", "shift_jis", "iso2022_jp")


class Visit:
    """One visit: cookies, origin, deadline. ``connect_to`` holds for the first origin only."""

    def __init__(
        self,
        http: HttpClient,
        clock: Clock,
        url: str,
        timeout_s: float,
        connect_to: tuple[str, int | None] | None = None,
        authorization: str = "",
    ) -> None:
        """Begin at the origin of ``url``; ``authorization`` is a header's value that goes nowhere else."""
        self._http = http
        self._clock = clock
        self._origin = origin(url)
        self._connect_to = connect_to
        self._authorization = authorization
        self._end = clock.monotonic() + timeout_s
        self._timeout_s = timeout_s
        self._cookies = httpx2.Cookies()
        self._confined = bool(authorization)

    async def get(self, url: str, redirects: int = 0) -> HttpReply:
        """Return the page, after at most ``redirects`` redirects; with 0 a redirect is a reply like any other.

        Raises what ``HttpClient.request`` raises, and Refused for a redirect that must not be followed.
        """
        return (await self._follow("GET", url, None, redirects))[0]

    async def log_in(self, page: str, names: tuple[str, str], user: str, password: Secret) -> None:
        """Fill in and send the form of ``page`` that has the fields ``names`` (user, password).

        Raises Refused when there is no such form, when it must not have a password, and when the answer is an error.
        """
        self._confined = True
        reply, at = await self._follow("GET", page, None, AFTER_LOG_IN)
        if reply.status != 200:  # noqa: PLR2004 - OK
            raise Refused(f"the log-in page answered {reply.status}")
        form = find_form(text_of(reply), at, names)
        if origin(form.action) != self._origin:
            raise Refused("the log-in form would send the password to another site")
        filled = {**form.fields, names[0]: user, names[1]: password.reveal()}
        answer, _ = await self._follow("POST", form.action, filled, AFTER_LOG_IN)
        if answer.status >= 400:  # noqa: PLR2004 - an error, RFC 9110
            raise Refused(f"log-in refused: answered {answer.status}")

    async def _follow(
        self, method: str, url: str, form: Mapping[str, str] | None, redirects: int
    ) -> tuple[HttpReply, str]:
        for step in range(redirects + 1):
            reply = await self._ask(method, url, form)
            if reply.status not in REDIRECTS or redirects == 0 or "location" not in reply.headers:
                return reply, url
            if step == redirects:
                break
            url = self._next(url, reply.headers["location"])
            if reply.status not in KEEPS_METHOD:
                method, form = "GET", None
        raise Refused(f"more than {redirects} redirects")

    def _next(self, url: str, location: str) -> str:
        try:
            target = str(httpx2.URL(url).join(location))
            place = origin(target)
        except (httpx2.InvalidURL, ValueError) as error:
            raise GarbledReply("a redirect leads to what is not a URL") from error
        if place[0] not in ("http", "https"):
            raise Refused("a redirect leads to what is not a page")
        if self._origin[0] == "https" and place[0] != "https":
            raise Refused("a redirect leads to an unencrypted page")
        if self._confined and place != self._origin:
            raise Refused("a redirect leads to another site, where the log-in must not go")
        return target

    async def _ask(self, method: str, url: str, form: Mapping[str, str] | None) -> HttpReply:
        left_s = self._end - self._clock.monotonic()
        if left_s <= 0:
            raise DeadlineExceeded(f"the visit took more than {self._timeout_s:g} s")
        at_home = origin(url) == self._origin
        headers = {}
        asked = httpx2.Request(method, url)  # never sent: the cookies' rules want the name, not where we connect to
        self._cookies.set_cookie_header(asked)
        if "cookie" in asked.headers:
            headers["Cookie"] = asked.headers["cookie"]
        if self._authorization and at_home:
            headers["Authorization"] = self._authorization
        connect_to = self._connect_to if at_home else None
        reply = await self._http.request(
            method, url, timeout_s=left_s, connect_to=connect_to, headers=headers, form=form
        )
        # A cookie is ASCII (RFC 6265, section 4.1.1); others could not be sent back.
        pairs = [("set-cookie", cookie) for cookie in reply.set_cookies if cookie.isascii()]
        self._cookies.extract_cookies(httpx2.Response(reply.status, headers=pairs, request=asked))
        return reply


def origin(url: str) -> tuple[str, str, int | None]:
    """Return scheme, host and port of a URL (RFC 6454); raises httpx2.InvalidURL."""
    parts = httpx2.URL(url)
    default = {"https": 443, "http": 80}.get(parts.scheme)
    return parts.scheme, parts.host.lower(), parts.port or default


def text_of(reply: HttpReply) -> str:
    """Return the body as text: by its charset when it is one of a page, else as UTF-8, with replacement."""
    charset = "utf-8"
    try:
        kind = httpx2.Response(200, headers={"content-type": reply.headers.get("content-type", "")})
        named = codecs.lookup(kind.charset_encoding or charset).name
        charset = named if named.startswith(CHARSETS) else charset
    except (LookupError, ValueError):
        pass  # nothing that anybody knows
    return reply.body.decode(charset, "replace")
