"""The lab's HTTP framing and the life of its listeners."""

from __future__ import annotations

import asyncio

import pytest
from examples_kit import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lab.presence import Presence
from lab.servers.http_server import BadRequest, HttpServer, Request, Response, json_response, read_request
from lab.servers.listener import TcpListener

pytestmark = pytest.mark.anyio


async def echo(request: Request) -> Response:
    return json_response({"path": request.path, "query": dict(request.query), "body": request.body.decode()})


async def talk(wire: bytes) -> bytes:
    server = HttpServer("127.0.0.1", 0, echo)
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(wire)
    writer.write_eof()
    said = await reader.read()
    writer.close()
    await server.stop()
    return said


async def test_requests_on_one_connection_are_answered_in_order():
    wire = b"POST /a%20b?x=1&y= HTTP/1.1\r\nContent-Length: 2\r\n\r\nhiGET /last HTTP/1.1\r\nConnection: close\r\n\r\n"
    first, second = (await talk(wire)).split(b"HTTP/1.1 200 OK\r\n")[1:]
    assert b'{"path": "/a b", "query": {"x": "1", "y": ""}, "body": "hi"}' in first
    assert b'"/last"' in second
    assert b"Connection: close" in second


@pytest.mark.parametrize(
    ("wire", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 101 + b"\r\n", 431),
        (b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n", 431),
    ],
)
async def test_a_request_that_cannot_be_read_is_answered_and_ends_the_connection(wire, status):
    said = await talk(wire)
    assert said.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"Connection: close" in said


async def test_a_connection_reset_within_a_request_leaves_nothing_behind():
    listener = HttpServer("127.0.0.1", 0, echo)
    await listener.start()
    _, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    writer.write(b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nhal")
    await writer.drain()
    writer.transport.abort()
    async with asyncio.timeout(60):
        while listener._listener._conversations:  # noqa: ASYNC110 - nobody tells when a conversation has ended
            await asyncio.sleep(0.01)
    await listener.stop()


@settings(max_examples=examples(200), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=400))
def test_no_bytes_break_the_reader(wire):
    async def read() -> None:
        reader = asyncio.StreamReader()
        reader.feed_data(wire)
        reader.feed_eof()
        try:
            await read_request(reader)
        except (BadRequest, asyncio.IncompleteReadError):
            return

    asyncio.run(read())


async def test_a_listener_follows_the_truth_back_and_forth():
    presence = Presence.DEAD

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(10):
            writer.write(data)

    listener = TcpListener("127.0.0.1", 0, serve, lambda: presence)
    await listener.start()
    assert listener.port == 0  # born dead: it has not asked for a port yet
    presence = Presence.HANGING
    listener.refresh()
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    writer.write(b"held")
    await asyncio.sleep(0.05)
    assert not reader._buffer
    presence = Presence.ALIVE
    listener.refresh()
    assert await reader.readexactly(4) == b"held"
    presence = Presence.HANGING
    listener.refresh()
    listener.refresh()
    writer.write(b"more")
    presence = Presence.DEAD
    listener.refresh()
    with pytest.raises(ConnectionResetError):
        await reader.read(1)
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", listener.port)
    presence = Presence.ALIVE
    listener.refresh()
    _, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    writer.close()
    await listener.stop()
    listener.refresh()  # stopped is stopped
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", listener.port)
