"""``wait_for`` against a real port and a real page, and on what is held true of a subject."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from orchestrator_kit import world_of

from dr.action import Context, Done
from dr.actions.wait_for import WaitFor, WaitForArgs
from dr.errors import StepFailed
from dr.world import World
from monitor.clients.http import HttpClient
from monitor.clock import RealClock

ACTION = WaitFor()


def args(**more: Any) -> WaitForArgs:
    return WaitForArgs(system="ncts", site="dr", **more)


async def run(world: World, wanted: WaitForArgs, said: list[str] | None = None) -> Done:
    context = Context("run", "step", 1, "key", 1, 60.0, world, (said if said is not None else []).append)
    return await ACTION.run(wanted, context)


async def on_a_server(answer: bytes, use: Callable[[World, int], Awaitable[None]]) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.read(1):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
        writer.close()

    clock: Any = RealClock()
    http = HttpClient(None, clock=clock)
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        await use(replace(world_of(clock), http=http), server.sockets[0].getsockname()[1])
    finally:
        server.close()
        await server.wait_closed()
        await http.close()


def test_a_page_that_answers_as_wanted() -> None:
    async def use(world: World, port: int) -> None:
        url = f"http://127.0.0.1:{port}/health"
        done = await run(world, args(url=url, status=503))
        assert done.outputs == {"seen": f"{url} answers 503"}
        with pytest.raises(StepFailed, match="answers 503, not 200"):
            await run(world, args(url=url, within_s=0))

    asyncio.run(on_a_server(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", use))


def test_a_port_that_takes_connections_and_one_that_does_not() -> None:
    async def use(world: World, port: int) -> None:
        assert (await run(world, args(tcp=f"127.0.0.1:{port}"))).outputs[
            "seen"
        ] == f"127.0.0.1:{port} takes connections"
        held = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
        free = held.sockets[0].getsockname()[1]
        held.close()
        await held.wait_closed()
        with pytest.raises(StepFailed, match=f"127.0.0.1:{free} takes no connection"):
            await run(world, args(tcp=f"127.0.0.1:{free}", within_s=0))

    asyncio.run(on_a_server(b"", use))


def test_a_subject_is_waited_for_until_it_is_so() -> None:
    seen = iter(["unknown", "down", "ok"])
    said: list[str] = []
    clock: Any = RealClock()
    world = replace(world_of(clock), health=lambda _subject: next(seen))
    assert asyncio.run(run(world, args(subject="site/main"), said)).outputs == {"seen": "site/main is ok"}
    assert said == [
        "not yet: site/main is unknown, not ok",
        "not yet: site/main is down, not ok",
        "site/main is ok",
    ]


@pytest.mark.parametrize("wrong", [{}, {"tcp": "a:1", "subject": "site/main"}, {"tcp": "no port"}])
def test_exactly_one_thing_is_waited_for(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"exactly one of url, tcp and subject|should match pattern"):
        args(**wrong)
