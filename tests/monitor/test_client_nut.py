"""NUT against an upsd written for this test from RFC 9271, honest and hostile."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from monitor.clients.nut import variables
from monitor.errors import DeadlineExceeded, GarbledReply, NotFound, Refused, TargetError, Unreachable

pytestmark = pytest.mark.anyio
ADDRESS = "127.94.5.66"
LISTED = (
    b"BEGIN LIST VAR ups-a\n"
    b'VAR ups-a battery.charge "87"\n'
    b'VAR ups-a ups.status "OL CHRG"\n'
    b'VAR ups-a ups.mfr "a \\"good\\" one"\n'
    b"END LIST VAR ups-a\n"
)


@pytest.fixture
async def upsd():
    servers: list[asyncio.Server] = []
    held: list[asyncio.StreamWriter] = []
    asked: list[bytes] = []

    async def start(reply: bytes | None) -> int:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            held.append(writer)
            with contextlib.suppress(ConnectionError):  # the client hangs up on garbage
                while line := await reader.readline():
                    asked.append(line)
                    if reply is None:
                        break
                    writer.write(reply)
            writer.close()

        server = await asyncio.start_server(serve, ADDRESS, 0)
        servers.append(server)
        port: int = server.sockets[0].getsockname()[1]
        return port

    start.asked = asked
    yield start
    for server in servers:
        server.close()
    for writer in held:
        writer.close()
    await asyncio.sleep(0.01)


async def test_every_variable_in_one_question(upsd) -> None:
    found = await variables(ADDRESS, await upsd(LISTED), "ups-a", 20.0)
    assert (found["battery.charge"], found["ups.status"]) == ("87", "OL CHRG")
    assert upsd.asked == [b"LIST VAR ups-a\n"]


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (b"ERR UNKNOWN-UPS\n", NotFound),
        (b"ERR DATA-STALE\n", Unreachable),
        (b"ERR DRIVER-NOT-CONNECTED\n", Unreachable),
        (b"ERR ACCESS-DENIED\n", Refused),
        (b"ERR FEATURE-NOT-CONFIGURED\n", Refused),
        (b"ERR\n", Refused),
        (b"220 mail.customs.example ESMTP\n", GarbledReply),
        (b"BEGIN LIST VAR ups-b\nEND LIST VAR ups-b\n", GarbledReply),
        (b"\xff\xfe\xfd\n", GarbledReply),
        (b"BEGIN LIST VAR ups-a\n" + b"VAR ups-a x \xff\nEND LIST VAR ups-a\n", GarbledReply),
        (b"x" * 200_000, GarbledReply),
        (b"BEGIN LIST VAR ups-a\nVAR ups-a short\nEND LIST VAR ups-a\n", GarbledReply),
        (b"BEGIN LIST VAR ups-a\nVAR ups-a\nEND LIST VAR ups-a\n", GarbledReply),
        (b"BEGIN LIST VAR ups-a\n" + b"VAR ups-a x 1\n" * 20_000, GarbledReply),
        (None, TargetError),
    ],
)
async def test_refusals_and_garbage(upsd, said: bytes | None, kind: type[TargetError]) -> None:
    with pytest.raises(kind):
        await variables(ADDRESS, await upsd(said), "ups-a", 20.0)


async def test_more_variables_than_a_ups_has(upsd) -> None:
    flood = b"".join(b'VAR ups-a v%d "1"\n' % n for n in range(2000))
    with pytest.raises(GarbledReply):
        await variables(ADDRESS, await upsd(b"BEGIN LIST VAR ups-a\n" + flood + b"END LIST VAR ups-a\n"), "ups-a", 20.0)


async def test_silence_ends_at_the_deadline(upsd) -> None:
    with pytest.raises(DeadlineExceeded):
        await variables(ADDRESS, await upsd(b""), "ups-a", 0.3)


async def test_nobody_listening() -> None:
    with pytest.raises(Unreachable, match=r"Connection refused$"):
        await variables("127.94.5.99", 9, "ups-a", 20.0)


async def test_a_name_cannot_smuggle_a_command(upsd) -> None:
    port = await upsd(LISTED)
    with pytest.raises(NotFound):
        await variables(ADDRESS, port, "ups-a\nFSD ups-a", 20.0)
    assert upsd.asked == []
