"""Who is let in over loopback, what every answer carries, and that each refusal is one clear sentence."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest
from web_kit import WebDaemon, web_daemon

from console.api.gate import LARGEST_BODY_BYTES, Gate
from monitor.errors import StateError

PATHS = ("/", "/runs", "/runs/nothing", "/nowhere", "/api/status", "/api/nowhere", "/metrics", "/-/healthy", "/-/ready")
ASK = json.dumps({"playbook": "drill", "system": "ncts"}).encode()


@pytest.fixture(scope="module")
def daemon() -> Iterator[WebDaemon]:
    with web_daemon() as running:
        yield running


@pytest.mark.parametrize("path", [*PATHS, "/static/live.js", "/static/none", "/static/../pages.py"])
def test_every_answer_carries_the_policy(daemon: WebDaemon, path: str) -> None:
    reply = daemon.ask("GET", path)
    assert "default-src 'self'" in reply.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in reply.headers["content-security-policy"]
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["referrer-policy"] == "same-origin"
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["karaula-timezone"] == "Europe/Skopje"
    assert "server" not in reply.headers


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8470", "127.0.0.1", "", "127.0.0.1:1"])
@pytest.mark.parametrize("path", ["/", "/api/status", "/metrics", "/static/live.js"])
def test_a_foreign_host_name_is_not_served(daemon: WebDaemon, host: str, path: str) -> None:
    reply = daemon.ask("GET", path, Host=host)
    assert reply.status == 403
    assert "not served under the name" in reply.text
    assert "Customs" not in reply.text


def test_localhost_is_served(daemon: WebDaemon) -> None:
    assert daemon.ask("GET", "/", Host=f"LocalHost:{daemon.doors.port}").status == 200


def test_forwarded_addresses_are_not_believed(daemon: WebDaemon) -> None:
    """Else anybody on loopback could say that he came by the Unix socket, as root."""
    for spoof in ("unix", "unix:0", "127.0.0.1, unix"):
        assert daemon.ask("GET", "/", Host="evil.example", X_Forwarded_For=spoof).status == 403
        reply = daemon.ask("POST", "/api/runs", ASK, Content_Type="application/json", X_Forwarded_For=spoof)
        assert (reply.status, reply.error()) == (400, "say who you are: a name is recorded with every decision")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": ""},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_a_change_from_another_origin_is_refused(daemon: WebDaemon, headers: dict[str, str], method: str) -> None:
    for path in ("/api/runs", "/runs/any/decide", "/api/pauses/ncts"):
        reply = daemon.ask(method, path, b"{}", Content_Type="application/json", X_Karaula_As="ana", **headers)
        assert reply.status == 403
        assert "another origin" in reply.text
    assert not daemon.orchestrator.runs()


def test_our_own_page_and_plain_programs_may_change(daemon: WebDaemon) -> None:
    body = json.dumps({"system": "ite", "reason": "test", "for_s": 60}).encode()
    for headers in ({"Origin": daemon.url}, {"Sec_Fetch_Site": "same-origin"}, {}):
        reply = daemon.ask("POST", "/api/pauses", body, Content_Type="application/json", X_Karaula_As="ana", **headers)
        assert reply.status == 201, reply.text
    lifted = daemon.ask("DELETE", "/api/pauses/ite", X_Karaula_As="ana")
    assert lifted.json() == {"lifted": 3}


@pytest.mark.parametrize("name", ["<b>ana</b>", "karaula", "KARAULA ", "\t", "a" * 65, "-ana", "ana;drop", "%00"])
def test_what_is_no_name_is_refused(daemon: WebDaemon, name: str) -> None:
    reply = daemon.ask("POST", "/api/runs", ASK, Content_Type="application/json", X_Karaula_As=name)
    assert reply.status == 400
    assert "name" in reply.error()
    assert not daemon.orchestrator.runs()


@pytest.mark.parametrize(
    ("method", "path", "status", "says"),
    [
        ("GET", "/nowhere", 404, "There is nothing at /nowhere."),
        ("GET", "/runs/ncts-x", 404, "There is no run &#39;ncts-x&#39;."),
        ("GET", "/runs/%3Cscript%3E", 404, "There is no run &#39;&lt;script&gt;&#39;."),
        ("POST", "/", 405, "/ does not take POST; it takes GET."),
        ("DELETE", "/runs", 405, "/runs does not take DELETE; it takes GET."),
        ("POST", "/runs/x/decide", 422, "Decision: Field required."),
    ],
)
def test_mistakes_on_pages_are_pages(daemon: WebDaemon, method: str, path: str, status: int, says: str) -> None:
    reply = daemon.ask(method, path, **({"form": "x=1"} if method == "POST" else {}))  # type: ignore[arg-type]  # one or none
    assert reply.status == status
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert says in reply.text
    assert "Traceback" not in reply.text


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "says"),
    [
        ("GET", "/api/nowhere", b"", 404, "there is nothing at /api/nowhere"),
        ("GET", "/api/runs/ncts-x", b"", 404, "there is no run 'ncts-x'"),
        ("GET", "/api/runs/ncts-x/stream", b"", 404, "there is no run 'ncts-x'"),
        ("GET", "/api/runs/ncts-x/report.html", b"", 404, "there is no run 'ncts-x'"),
        ("GET", "/api/runs?limit=0", b"", 422, "limit: Input should be greater than or equal to 1"),
        ("GET", "/api/status/system/nctz", b"", 404, "nothing is watched under 'system/nctz'"),
        ("PUT", "/api/runs", b"", 405, "/api/runs does not take PUT; it takes "),
        ("POST", "/api/runs", b"", 422, "Field required"),
        ("POST", "/api/runs", b"{", 422, "JSON decode error"),
        ("POST", "/api/runs", b"[" * 60_000, 400, "error parsing the body"),
        ("POST", "/api/runs", b'{"playbook": "\xff"}', 400, "error parsing the body"),
        ("POST", "/api/runs", b'{"playbook": "drill", "system": "ncts", "more": 1}', 422, "more: Extra inputs"),
        ("POST", "/api/runs", b'{"playbook": "nope", "system": "ncts"}', 404, "unknown playbook 'nope'"),
        ("POST", "/api/runs", b'{"playbook": "drill", "system": "nctss"}', 404, "did you mean 'ncts'"),
        ("POST", "/api/runs/ncts-x/approve", b"{}", 404, "there is no run"),
        ("POST", "/api/pauses", b'{"system": "ncts", "reason": "x", "for_s": NaN}', 422, "for_s"),
        ("POST", "/api/pauses", b'{"system": "ncts", "reason": "x", "for_s": 1e999}', 422, "for_s"),
    ],
)
def test_mistakes_below_api_are_json(
    daemon: WebDaemon, method: str, path: str, body: bytes, status: int, says: str
) -> None:
    reply = daemon.ask(method, path, body, Content_Type="application/json", X_Karaula_As="ana")
    assert reply.status == status, reply.text
    assert set(reply.json()) == {"schema", "error"}
    assert says in reply.error()
    assert "\n" not in reply.error()
    assert len(reply.error()) < 500


def test_a_defect_is_one_sentence_and_in_the_log(
    daemon: WebDaemon, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise ZeroDivisionError("a secret detail")

    monkeypatch.setattr(daemon.orchestrator, "runs", broken)
    for path, form in (("/", "text/html"), ("/api/runs", "application/json")):
        reply = daemon.ask("GET", path)
        assert reply.status == 500
        assert reply.headers["content-type"].startswith(form)
        assert "araula made a mistake with this request; its log says more" in reply.text
        assert "secret" not in reply.text
        assert "default-src 'self'" in reply.headers["content-security-policy"]
    assert [record.message for record in caplog.records] == ["GET / broke", "GET /api/runs broke"]
    assert "a secret detail" in caplog.text


def test_a_state_that_cannot_be_used_is_a_sentence(daemon: WebDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_run_id: str) -> None:
        raise StateError("the journal cannot be read: disk I/O error")

    run_id = daemon.prepared("backup")
    monkeypatch.setattr(daemon.orchestrator, "outputs", full)
    assert daemon.ask("GET", f"/api/runs/{run_id}/outputs").error() == "the journal cannot be read: disk I/O error"
    page = daemon.ask("GET", f"/runs/{run_id}")
    assert page.status == 503
    assert "The journal cannot be read: disk I/O error." in page.text


def test_a_body_has_a_limit_announced_or_not(daemon: WebDaemon) -> None:
    long = b"reason=" + b"x" * LARGEST_BODY_BYTES
    for path in ("/api/runs", "/runs/any/decide"):
        reply = daemon.ask("POST", path, long, Content_Type="application/json", X_Karaula_As="ana")
        assert reply.status == 413
        assert "64 KiB" in reply.text
    with daemon.knock() as line:
        line.sendall(f"POST /api/runs HTTP/1.1\r\nHost: {daemon.host}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        for _ in range(LARGEST_BODY_BYTES // 0x4000 + 1):
            line.sendall(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
        assert line.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_a_field_has_a_limit(daemon: WebDaemon) -> None:
    reply = daemon.ask("POST", "/runs/any/decide", form="decision=approve&name=ana&reason=" + "x" * 501)
    assert reply.status == 422
    assert "Reason: String should have at most 500 characters" in reply.text


def test_static_serves_its_own_folder_alone(daemon: WebDaemon) -> None:
    for path in ("/static/../pages.py", "/static/..%2fpages.py", "/static/%2e%2e/pages.py", "/static//etc/passwd"):
        reply = daemon.ask("GET", path)
        assert reply.status == 404
        assert "there is nothing at" in reply.text
    assert daemon.ask("GET", "/static/").status == 404


@pytest.mark.anyio
async def test_a_sender_that_dawdles_is_let_go() -> None:
    async def app(*_: object) -> None:
        raise AssertionError("the route must not be reached")

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"x", "more_body": True} if not waited else await asyncio.Future()

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    waited: list[int] = []
    sent: list[dict[str, object]] = []
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/runs",
        "query_string": b"",
        "headers": [(b"host", b"h")],
        "client": ("127.0.0.1", 1),
        "server": ("h", 80),
        "scheme": "http",
    }
    waited.append(1)
    gate = Gate(app, frozenset({"h"}), {}, body_within_s=0.01)
    await gate(scope, receive, send)  # type: ignore[arg-type]  # likewise
    assert sent[0]["status"] == 408
    assert b"did not arrive within 0.01 s" in sent[1]["body"]  # type: ignore[operator]  # bytes
