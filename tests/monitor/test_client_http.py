"""The HTTP client against real TLS servers in threads."""

from __future__ import annotations

import asyncio
import base64
import socket

import pytest
from https_kit import reply, serving
from real_kit import free_port
from tls_kit import ThrowawayCa

from monitor.clients.http import MOST_BODY_BYTES, HttpClient
from monitor.credential import Secret
from monitor.errors import (
    CredentialError,
    DeadlineExceeded,
    GarbledReply,
    Refused,
    SessionLost,
    TargetError,
    Unreachable,
    Untrusted,
)

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return ThrowawayCa(tmp_path_factory.mktemp("ca"))


@pytest.fixture
async def client(ca):
    client = HttpClient(ca.bundle)
    yield client
    await client.close()


def ok(_request, _connection):
    return reply(200, b"")


async def test_a_page_with_its_certificate(ca, client):
    with serving(ca.server("127.0.0.1"), lambda *_: reply(200, b'{"role": "active"}')) as server:
        got = await client.request("GET", f"https://127.0.0.1:{server.port}/health", timeout_s=60)
    assert (got.status, got.body) == (200, b'{"role": "active"}')
    assert got.headers["content-type"] == "application/json"
    assert got.tls_not_after is not None
    assert server.requests[0].path == "/health"


async def test_any_status_is_a_reply_and_redirects_are_not_followed(ca, client):
    with serving(ca.server("127.0.0.1"), lambda *_: reply(302, b"", "text/html", "Location: /other")) as server:
        got = await client.request("GET", f"https://127.0.0.1:{server.port}/", timeout_s=60)
    assert got.status == 302
    assert len(server.requests) == 1


async def test_body_and_password_are_sent(ca, client):
    with serving(ca.server("127.0.0.1"), lambda *_: reply(201, b"{}")) as server:
        await client.request(
            "POST",
            f"https://127.0.0.1:{server.port}/x",
            timeout_s=60,
            json={"PowerState": "Off"},
            auth=("karaula", Secret("s3cret")),
        )
    request = server.requests[0]
    assert request.body.replace(b" ", b"") == b'{"PowerState":"Off"}'
    assert request.headers["authorization"] == "Basic " + base64.b64encode(b"karaula:s3cret").decode()


async def test_connects_to_an_address_and_verifies_the_name(ca, client):
    with serving(ca.server("ncts.customs.example"), ok) as server:
        there = ("127.0.0.1", server.port)
        got = await client.request("GET", "https://ncts.customs.example/health", timeout_s=60, connect_to=there)
        assert got.status == 200
        assert server.requests[0].headers["host"] == "ncts.customs.example"
        with pytest.raises(Untrusted, match="cdeps"):
            await client.request("GET", "https://cdeps.customs.example/health", timeout_s=60, connect_to=there)
    assert len(server.requests) == 1


async def test_a_certificate_of_another_ca_is_untrusted_and_nothing_is_sent(tmp_path, client):
    other = ThrowawayCa(tmp_path, "Somebody else")
    with serving(other.server("127.0.0.1"), ok) as server, pytest.raises(Untrusted, match="not trusted") as caught:
        await client.request("GET", f"https://127.0.0.1:{server.port}/", timeout_s=60)
    assert not caught.value.retry_helps
    assert server.requests == []


async def test_an_expired_certificate_is_untrusted(ca, client):
    expired = ca.server("127.0.0.1", days=(-10, -1))
    with serving(expired, ok) as server, pytest.raises(Untrusted, match="expired"):
        await client.request("GET", f"https://127.0.0.1:{server.port}/", timeout_s=60)


async def test_a_closed_port_is_unreachable(client):
    with pytest.raises(Unreachable, match="refused") as caught:
        await client.request("GET", f"https://127.0.0.1:{free_port()}/", timeout_s=60)
    assert caught.value.outcome_known


async def test_a_server_that_accepts_and_says_nothing_is_unreachable_before_tls(client):
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(Unreachable, match="in time"):
        await client.request("GET", f"https://127.0.0.1:{listener.getsockname()[1]}/", timeout_s=0.3)


async def in_vain(client, method: str, port: int) -> TargetError:
    """Ask a server that never answers to the end; a busy machine may want more than the first time for TLS alone."""
    for timeout_s in (0.5, 5, 50):
        with pytest.raises(TargetError) as caught:
            await client.request(method, f"https://127.0.0.1:{port}/", timeout_s=timeout_s)
        if not isinstance(caught.value, Unreachable):
            break
    return caught.value


async def test_no_answer_leaves_the_outcome_unknown(ca, client):
    def hang(_request, _connection):
        server.stop.wait(600)

    with serving(ca.server("127.0.0.1"), hang) as server:
        error = await in_vain(client, "POST", server.port)
        server.stop.set()
    assert isinstance(error, DeadlineExceeded)
    assert not error.outcome_known


async def test_the_deadline_holds_for_an_answer_that_drips(ca, client):
    def drip(_request, connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not server.stop.wait(0.05):
            connection.sendall(b".")

    with serving(ca.server("127.0.0.1"), drip) as server:
        assert isinstance(await in_vain(client, "GET", server.port), DeadlineExceeded)
        server.stop.set()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", GarbledReply),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nhal", TargetError),
        (reply(200, b"x" * (MOST_BODY_BYTES + 1)), GarbledReply),
        (reply(200, b"\x1f\x8b", "text/plain", "Content-Encoding: gzip"), GarbledReply),
        (None, TargetError),
    ],
)
async def test_what_is_not_an_answer(ca, client, answer, error):
    def once(_request, connection):
        if answer is not None:
            connection.sendall(answer)

    with serving(ca.server("127.0.0.1"), once) as server, pytest.raises(error) as caught:
        await client.request("GET", f"https://127.0.0.1:{server.port}/", timeout_s=60)
    assert isinstance(caught.value, GarbledReply | SessionLost)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "health", "https://", "http://[::1"])
async def test_what_is_not_a_url_is_refused(client, url):
    with pytest.raises(Refused, match="cannot be asked"):
        await client.request("GET", url, timeout_s=1)


async def test_secrets_do_not_get_into_errors(client):
    url = f"https://someone:s3cret@127.0.0.1:{free_port()}/x?token=s3cret"
    with pytest.raises(Unreachable) as caught:
        await client.request("GET", url, timeout_s=1, auth=("karaula", Secret("s3cret")))
    assert "s3cret" not in str(caught.value)


async def test_one_that_hangs_does_not_delay_another(ca, client):
    def hang(_request, _connection):
        slow.stop.wait(600)

    with (
        serving(ca.server("127.0.0.1"), hang) as slow,
        serving(ca.server("127.0.0.1"), ok) as quick,
    ):
        waiting = asyncio.ensure_future(client.request("GET", f"https://127.0.0.1:{slow.port}/", timeout_s=600))
        got = await client.request("GET", f"https://127.0.0.1:{quick.port}/", timeout_s=60)
        assert got.status == 200
        assert not waiting.done()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        slow.stop.set()


def test_a_missing_ca_bundle_is_named(tmp_path):
    with pytest.raises(CredentialError, match=r"gone\.pem"):
        HttpClient(tmp_path / "gone.pem")
