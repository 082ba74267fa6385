"""What a page must hold, and log-ins before it, against TLS servers whose every answer the test writes."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from https_kit import Request, Server, reply, serving
from hypothesis import given
from hypothesis import strategies as st
from tls_kit import ThrowawayCa

from monitor.clients.http_form import find_form
from monitor.clock import RealClock
from monitor.credential import Credentials
from monitor.errors import TargetError
from monitor.inventory.estate import Trust
from monitor.probe import Answer, Observation, Target
from monitor.probes.http import FormLogin, HeaderLogin, HttpParams, HttpProbe, JsonWanted

pytestmark = pytest.mark.anyio

SECRET = "open-sesame&more=1"
HEALTH = b'{"status": {"database": "ok", "up": true, "nodes": [{"role": "primary"}]}, "count": 3}'
FORM = """<html><!-- <form method=post action=//evil.example/><input name=username><input name=password></form> -->
<form action="/search"><input name=q></form>
<form method="POST" action="/session?next=%2F&amp;x=1">
<input type="hidden" name="csrf" value="t&quot;7"><input name=username value=guest><input type=password name=password>
<input type=checkbox name=stay value=1><input type=checkbox name=terms value=yes checked>
<input type=submit name=go value=Go>
</form>"""


@dataclass
class Site:
    """A server and a probe that trusts it."""

    server: Server
    probe: HttpProbe

    @property
    def url(self) -> str:
        return f"https://{self.server.address}:{self.server.port}"

    def login(self, **changes: str) -> FormLogin:
        form = FormLogin(self.url + "/login", "karaula", "portal", "username", "password")
        return replace(form, **changes)

    async def ask(self, params: HttpParams) -> Observation:
        (seen,) = [one async for one in self.probe.observe([Target("check/x", "http", params, 10, 20)])]
        return seen

    def paths(self) -> list[str]:
        return [f"{request.method} {request.path}" for request in self.server.requests]


@pytest.fixture
def open_site(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    ca = ThrowawayCa(tmp_path)
    (tmp_path / "portal").write_text(SECRET + "\n")
    (tmp_path / "two-lines").write_text("a\nb\n")
    trust = Trust(tls_ca="ca.pem", known_hosts="known_hosts")
    with ExitStack() as stack:

        def start(answer: Callable[[Request], bytes], address: str = "127.0.0.1") -> Site:
            certificate = ca.server(address, "portal.customs.example")
            server = stack.enter_context(serving(certificate, lambda request, _: answer(request), address))
            return Site(server, HttpProbe(Credentials(tmp_path), trust, RealClock()))

        yield start


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ({"contains": "primary"}, ""),
        ({"contains": "Fehler"}, "the answer does not contain 'Fehler'"),
        ({"json": JsonWanted(("status", "database"), "ok")}, ""),
        ({"json": JsonWanted(("status", "nodes", "0", "role"), "primary")}, ""),
        ({"json": JsonWanted(("status", "nodes", "0"))}, ""),
        ({"json": JsonWanted(("status", "database"), "down")}, "the field 'status.database' is 'ok', expected 'down'"),
        ({"json": JsonWanted(("status", "up"), True)}, ""),
        ({"json": JsonWanted(("status", "up"), 1)}, "the field 'status.up' is true, expected 1"),
        ({"json": JsonWanted(("count",), 3)}, ""),
        ({"json": JsonWanted(("status", "nodes", "1"))}, "the answer has no field 'status.nodes.1'"),
        ({"json": JsonWanted(("status", "database", "x"))}, "the answer has no field 'status.database.x'"),
        ({"expect_status": 204}, "answered 200 instead of 204"),
    ],
)
async def test_what_must_be_in_the_answer(open_site: Callable[..., Site], wanted: dict, reason: str) -> None:
    site = open_site(lambda _: reply(200, HEALTH))
    seen = await site.ask(HttpParams(site.url + "/", **wanted))
    assert (seen.answer, seen.reason) == (Answer.FAILED if reason else Answer.OK, reason)


@pytest.mark.parametrize("body", [b"<html>", b"", b"[" * 5000, b"\xff\xfe"])
async def test_a_body_that_is_no_json_is_told(open_site: Callable[..., Site], body: bytes) -> None:
    site = open_site(lambda _: reply(200, body))
    seen = await site.ask(HttpParams(site.url + "/", json=JsonWanted(("a",))))
    assert seen.reason == "the answer is not JSON"


async def test_what_a_page_says_of_itself_can_be_written_anywhere(open_site: Callable[..., Site]) -> None:
    site = open_site(lambda _: reply(200, b'{"role": "\\ud800prim\\u001b[2Jary", "site": "main"}'))
    seen = await site.ask(HttpParams(site.url + "/"))
    assert seen.facts == {"role": " prim [2Jary", "site": "main"}


async def test_text_is_found_in_its_own_charset(open_site: Callable[..., Site]) -> None:
    site = open_site(lambda _: reply(200, "Царина".encode("cp1251"), "text/html; charset=windows-1251"))
    assert (await site.ask(HttpParams(site.url + "/", contains="Царина"))).answer is Answer.OK
    odd = open_site(lambda _: reply(200, b"plain", "text/html; charset=klingon"))
    assert (await odd.ask(HttpParams(odd.url + "/", contains="plain"))).answer is Answer.OK


# -- redirects --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("charset", ["idna", "undefined", "punycode", "hex", "\xe9", "a b", "x" * 3000])
async def test_a_charset_that_is_none_is_read_as_utf_8(open_site: Callable[..., Site], charset: str) -> None:
    kind = f"text/html; charset={charset}"
    site = open_site(
        lambda _: b"".join(
            (
                b"HTTP/1.1 200 OK\r\nContent-Type: ",
                kind.encode("latin-1"),
                b"\r\nContent-Length: 6\r\nConnection: close\r\n\r\n\xc3\xa4 ok\xff",
            )
        )
    )
    seen = await site.ask(HttpParams(site.url + "/", contains="\xe4 ok"))
    assert (seen.answer, seen.reason) == (Answer.OK, "")


async def test_a_cookie_that_is_none_is_not_kept(open_site: Callable[..., Site]) -> None:
    def answer(request: Request) -> bytes:
        if request.path == "/":
            return reply(
                302, b"", "text/html", "Location: /b", "Set-Cookie: a=1; Path=/", "Set-Cookie: b=\xe9\xff; Path=/"
            )
        return reply(200, b"ok", "text/html")

    site = open_site(answer)
    assert (await site.ask(HttpParams(site.url + "/", redirects=2, contains="ok"))).answer is Answer.OK
    assert site.server.requests[-1].headers["cookie"] == "a=1"


def hop(location: str, status: int = 302) -> bytes:
    return reply(status, b"", "text/plain", f"Location: {location}")


async def test_redirects_are_followed_as_far_as_allowed(open_site: Callable[..., Site]) -> None:
    def answer(request: Request) -> bytes:
        step = int(request.path.strip("/") or 0)
        return hop(f"/{step + 1}") if step < 3 else reply(200, b"there")

    site = open_site(answer)
    assert (await site.ask(HttpParams(site.url + "/"))).reason == "answered 302 instead of 200"
    assert (await site.ask(HttpParams(site.url + "/", expect_status=302))).answer is Answer.OK
    assert (await site.ask(HttpParams(site.url + "/", redirects=3, contains="there"))).answer is Answer.OK
    assert (await site.ask(HttpParams(site.url + "/", redirects=2))).reason == "more than 2 redirects"


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("http://127.0.0.1:1/", "a redirect leads to an unencrypted page"),
        ("file:///etc/passwd", "a redirect leads to what is not a page"),
        ("javascript:alert(1)", "a redirect leads to what is not a page"),
        ("https://a:b/", "a redirect leads to what is not a URL"),
    ],
)
async def test_redirects_that_nobody_should_follow(open_site: Callable[..., Site], location: str, reason: str) -> None:
    site = open_site(lambda _: hop(location))
    assert (await site.ask(HttpParams(site.url + "/", redirects=5))).reason == reason


async def test_a_redirect_to_another_site_is_verified_like_any_other(open_site: Callable[..., Site]) -> None:
    other = open_site(lambda _: reply(200, b"over here"), "127.0.0.2")
    site = open_site(lambda _: hop(other.url + "/"))
    assert (await site.ask(HttpParams(site.url + "/", redirects=1, contains="over here"))).answer is Answer.OK


# -- log-ins ----------------------------------------------------------------------------------------------------------


async def test_basic_and_bearer(open_site: Callable[..., Site]) -> None:
    site = open_site(lambda request: reply(200 if "authorization" in request.headers else 401, b"{}"))
    assert (await site.ask(HttpParams(site.url + "/"))).reason == "answered 401 instead of 200"
    for login in (HeaderLogin("portal", "karaula"), HeaderLogin("portal")):
        assert (await site.ask(HttpParams(site.url + "/", login=login))).answer is Answer.OK
    basic, bearer = (request.headers["authorization"] for request in site.server.requests[1:])
    assert base64.b64decode(basic.removeprefix("Basic ")).decode() == f"karaula:{SECRET}"
    assert bearer == f"Bearer {SECRET}"
    for credential in ("two-lines", "missing"):
        seen = await site.ask(HttpParams(site.url + "/", login=HeaderLogin(credential)))
        assert seen.answer is Answer.UNKNOWN
    assert len(site.server.requests) == 3


async def test_what_logs_in_never_leaves_its_site(open_site: Callable[..., Site]) -> None:
    other = open_site(lambda _: reply(200, b"{}"), "127.0.0.2")
    site = open_site(lambda _: hop(other.url + "/"))
    seen = await site.ask(HttpParams(site.url + "/", redirects=5, login=HeaderLogin("portal")))
    assert seen.reason == "a redirect leads to another site, where the log-in must not go"
    assert other.server.requests == []


class Portal:
    """A site with a log-in form, a token against forgery, and a session by cookie."""

    def __init__(self, form: str = FORM) -> None:
        self.form = form
        self.sent: list[dict[str, list[str]]] = []

    def __call__(self, request: Request) -> bytes:
        cookie = request.headers.get("cookie", "")
        if request.path == "/login":
            return reply(200, self.form.encode(), "text/html", "Set-Cookie: before=1; Path=/; Secure; HttpOnly")
        if request.path.startswith("/session"):
            self.sent.append(parse_qs(request.body.decode(), keep_blank_values=True))
            found = self.sent[-1]
            if found.get("password") != [SECRET] or found.get("csrf") != ['t"7'] or "before=1" not in cookie:
                return reply(403, b"no", "text/html")
            return reply(303, b"", "text/html", "Location: /home", "Set-Cookie: session=abc; Path=/; Secure; HttpOnly")
        welcome = "session=abc" in cookie
        return reply(200, f"Welcome, karaula {SECRET}".encode() if welcome else self.form.encode(), "text/html")


async def test_a_form_is_filled_in_as_a_browser_does(open_site: Callable[..., Site]) -> None:
    portal = Portal()
    site = open_site(portal)
    seen = await site.ask(HttpParams(site.url + "/app", contains="Welcome, karaula", login=site.login()))
    assert (seen.answer, seen.reason) == (Answer.OK, "")
    assert site.paths() == ["GET /login", "POST /session?next=%2F&x=1", "GET /home", "GET /app"]
    assert portal.sent == [{"csrf": ['t"7'], "username": ["karaula"], "password": [SECRET], "terms": ["yes"]}]


async def test_cookies_live_for_one_check_only(open_site: Callable[..., Site]) -> None:
    site = open_site(Portal())
    assert (await site.ask(HttpParams(site.url + "/app", contains="Welcome", login=site.login()))).answer is Answer.OK
    without = await site.ask(HttpParams(site.url + "/app", contains="Welcome"))
    assert without.reason == "the answer does not contain 'Welcome'"
    assert "cookie" not in site.server.requests[-1].headers
    await site.ask(HttpParams(site.url + "/app", login=site.login()))
    assert "session" not in site.server.requests[-4].headers.get("cookie", "")


async def test_a_name_behind_an_address_keeps_its_cookies(open_site: Callable[..., Site]) -> None:
    site = open_site(Portal())
    base = f"https://portal.customs.example:{site.server.port}"
    login = site.login(page=base + "/login")
    seen = await site.ask(HttpParams(base + "/app", "127.0.0.1", contains="Welcome", login=login))
    assert (seen.answer, seen.reason) == (Answer.OK, "")
    assert {request.headers["host"] for request in site.server.requests} == {base.removeprefix("https://")}


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        (FORM.replace("POST", "get"), "the log-in form would put the password into a URL (its method is not post)"),
        (FORM.replace('"/session', '"https://127.0.0.9/'), "the log-in form would send the password to another site"),
        (FORM.replace('"/session', '"http://127.0.0.1/'), "the log-in form would send the password to another site"),
        (FORM.replace("name=password>\n", "name=other>\n"),
         "the log-in page has no form with the fields 'username' and 'password'"),
        (FORM.replace("t&quot;7", "other"), "log-in refused: answered 403"),
        ("", "the log-in page has no form with the fields 'username' and 'password'"),
    ],
)  # fmt: skip
async def test_a_form_that_must_not_have_the_password(open_site: Callable[..., Site], form: str, reason: str) -> None:
    site = open_site(Portal(form))
    seen = await site.ask(HttpParams(site.url + "/app", contains="Welcome", login=site.login()))
    assert (seen.answer, seen.reason) == (Answer.FAILED, reason)
    assert SECRET not in seen.reason


async def test_a_wrong_password_is_refused_and_an_echoed_one_is_not_told(
    open_site: Callable[..., Site], tmp_path: Path
) -> None:
    (tmp_path / "wrong").write_text("wrong\n")
    site = open_site(Portal())
    refused = await site.ask(HttpParams(site.url + "/app", contains="Welcome", login=site.login(credential="wrong")))
    assert refused.reason == "log-in refused: answered 403"
    echo = open_site(lambda request: reply(200, f'{{"said": "{request.headers.get("authorization", "")}"}}'.encode()))
    told = await echo.ask(HttpParams(echo.url, json=JsonWanted(("said",), "x"), login=HeaderLogin("portal")))
    assert told.reason == "the field 'said' is 'Bearer ***', expected 'x'"


async def test_the_deadline_is_one_for_the_whole_visit(open_site: Callable[..., Site]) -> None:
    site = open_site(lambda _: hop("/"))
    target = Target("check/x", "http", HttpParams(site.url + "/", redirects=10), 10, 0.000001)
    (seen,) = [one async for one in site.probe.observe([target])]
    assert seen.answer is Answer.FAILED


@given(st.text(alphabet="<>form input=\"'/names&;#!-post", max_size=300))
def test_no_page_breaks_the_search_for_a_form(page: str) -> None:
    with suppress(TargetError):
        find_form(page + FORM, "https://a.example/login", ("username", "password"))
