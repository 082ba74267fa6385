"""``http_call`` against a real HTTP server: one effect whatever gets lost, and nothing taken for done that is not."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_kit import world_of
from pydantic import ValidationError

from dr.action import Context, Done, Holds, Seen
from dr.actions.http_call import HttpCall, HttpCallArgs, usable
from dr.errors import StepFailed
from dr.world import World
from monitor.clients.http import HttpClient
from monitor.clock import RealClock
from monitor.credential import Credentials
from monitor.errors import SessionLost, TargetError, Unreachable

pytestmark = pytest.mark.anyio
ACTION = HttpCall()


@dataclass
class Portal:
    """A page that is on or off, and what it was asked. ``answers`` are statuses of calls in place of 200."""

    on: bool = False
    calls: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    heeds: bool = True
    loses: bool = False  # the next call's answer
    look: int = 0  # the status of every look, if not as it is

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
        except asyncio.IncompleteReadError:
            writer.close()
            return
        first, *lines = head.strip().split("\r\n")
        method, path, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        if method == "GET":
            status = self.look or (200 if self.on else 404)
        else:
            self.calls.append((method, path, headers, body))
            status = self.answers.pop(0) if self.answers else 200
            if self.heeds and status not in range(400, 500):
                self.on = method != "DELETE"
            if self.loses:
                self.loses = False
                writer.transport.abort()
                return
        said = b"maintenance" if self.on else b"open"
        writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (status, len(said), said))
        writer.close()


@asynccontextmanager
async def portal(**more: Any) -> AsyncIterator[tuple[Portal, World, str]]:
    made, clock = Portal(**more), RealClock()
    http = HttpClient(None, clock=clock)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        world: Any = clock
        yield made, replace(world_of(world), http=http), f"http://127.0.0.1:{port}"
    finally:
        server.close()
        await server.wait_closed()
        await http.close()


def args(base: str, **more: Any) -> HttpCallArgs:
    filled: dict[str, Any] = {"url": f"{base}/call", "check_url": f"{base}/state", "body": {"mode": "maintenance"}}
    return HttpCallArgs(system="ncts", site="dr", **filled | more)


def context(world: World, attempt: int = 1, timeout_s: float = 60.0) -> Context:
    return Context("run", "step", attempt, "run/step", 7, timeout_s, world, lambda _line: None)


async def run(world: World, wanted: HttpCallArgs, attempt: int = 1) -> Done:
    return await ACTION.run(wanted, context(world, attempt))


async def probe(world: World, wanted: HttpCallArgs) -> Seen:
    return await ACTION.probe(wanted, context(world))


async def test_run_twice_it_has_one_effect_and_says_whose_it_is() -> None:
    async with portal() as (made, world, base):
        first = await run(world, args(base))
        again = await run(world, args(base), attempt=2)
        assert first.outputs == again.outputs == {"status": 200, "body": "maintenance", "held_before": False}
        ((method, path, headers, body),) = made.calls
        assert (method, path, json.loads(body)) == ("POST", "/call", {"mode": "maintenance"})
        assert (headers["idempotency-key"], headers["karaula-epoch"]) == ("run/step", "7")


async def test_with_its_answer_lost_it_has_one_effect() -> None:
    async with portal(loses=True) as (made, world, base):
        with pytest.raises(TargetError) as caught:
            await run(world, args(base))
        assert not caught.value.outcome_known
        seen = await probe(world, args(base))
        assert (seen.holds, seen.outputs) == (Holds.YES, {"status": 200, "body": "maintenance", "held_before": False})
        await run(world, args(base), attempt=2)
        assert len(made.calls) == 1


async def test_a_refusal_is_no_effect_and_a_servers_error_may_be_one() -> None:
    async with portal(answers=[409, 500, 302]) as (made, world, base):
        with pytest.raises(StepFailed, match="refuses with status 409: open"):
            await run(world, args(base))
        assert (await probe(world, args(base))).holds is Holds.NO
        for status in (500, 302):
            made.on = False
            with pytest.raises(SessionLost, match=f"answers {status}: whether it was done is not known"):
                await run(world, args(base))
            assert (await probe(world, args(base))).holds is Holds.YES


async def test_an_answer_is_not_believed_without_its_effect() -> None:
    async with portal(heeds=False) as (_, world, base):
        with pytest.raises(StepFailed, match=r"answered 200, but .*/state answers 404, not 200"):
            await run(world, args(base))


async def test_a_call_that_nobody_can_see_the_end_of_is_not_known() -> None:
    async with portal(look=503) as (made, world, base):
        with pytest.raises(SessionLost, match="what came of it is not known"):
            await run(world, args(base))
        assert made.on


@pytest.mark.parametrize(
    ("look", "holds"), [(500, Holds.CANNOT_TELL), (401, Holds.CANNOT_TELL), (429, Holds.CANNOT_TELL), (410, Holds.NO)]
)
async def test_what_a_look_tells(look: int, holds: Holds) -> None:
    async with portal(look=look) as (_, world, base):
        assert (await probe(world, args(base))).holds is holds
    async with portal(on=True) as (_, world, base):
        assert (await probe(world, args(base, check_contains="maintenance"))).holds is Holds.YES
        assert (await probe(world, args(base, check_contains="closed for ever"))).holds is Holds.NO


async def test_a_server_that_is_gone_was_not_asked() -> None:
    async with portal() as (_, world, base):
        pass
    async with portal() as (_, world, _):
        with pytest.raises(Unreachable):
            await run(world, args(base))
        assert (await probe(world, args(base))).holds is Holds.CANNOT_TELL


async def test_it_is_taken_back_once_and_only_if_it_holds() -> None:
    async with portal() as (made, world, base):
        wanted = args(base, undo_url=f"{base}/call")
        assert wanted.can_be_undone
        assert not args(base).can_be_undone
        done = await run(world, wanted)
        for _ in range(2):
            await ACTION.undo(wanted, context(world), done.outputs)
        assert [method for method, *_ in made.calls] == ["POST", "DELETE"]
        assert not made.on


async def test_what_was_so_before_the_step_is_not_taken_back() -> None:
    async with portal(on=True) as (made, world, base):
        wanted = args(base, undo_url=f"{base}/call")
        done = await run(world, wanted)
        await ACTION.undo(wanted, context(world), done.outputs)
        assert (made.calls, made.on) == ([], True)
        again = await ACTION.run(wanted, replace(context(world), attempt=2))
        await ACTION.undo(wanted, context(world), again.outputs)
        assert not made.on, "it may be what the first attempt did, whose answer was lost"


async def test_the_secret_goes_to_the_server_and_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "portal-token").write_text("s3cret-of-the-portal\n")
    async with portal(heeds=False) as (made, world, base):
        known = replace(world, credentials=Credentials(tmp_path))
        said = []
        for user in ("", "karaula"):
            with pytest.raises(StepFailed) as caught:
                await run(known, args(base, credential="portal-token", user=user))
            said.append(str(caught.value))
        assert [one[2]["authorization"].split(" ")[0] for one in made.calls] == ["Bearer", "Basic"]
        assert "s3cret" in made.calls[0][2]["authorization"]
        assert "s3cret" not in " ".join(said)
        made.look = 404
        with pytest.raises(StepFailed, match="credential 'other' is not in"):
            await run(known, args(base, credential="other", check_url=f"{base}/x"))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"url": "ftp://portal/x"}, "'ftp://portal/x' is no http or https URL"),
        ({"url": "https://"}, "is no http or https URL"),
        ({"url": ""}, "url and check_url must not be empty"),
        ({"check_url": "https://ana:word@portal/"}, "must not hold a user or password"),
        ({"credential": "token", "url": "http://portal.example/x"}, "in clear text to http://portal.example/x"),
        ({"credential": "token", "undo_url": "http://10.0.0.1/x"}, "in clear text to http://10.0.0.1/x"),
        ({"credential": "../token"}, "string_pattern_mismatch"),
        ({"user": "ana"}, "a user without a credential"),
        ({"method": "GET"}, "POST"),
        ({"expect_status": []}, "too_short"),
    ],
)
def test_bad_arguments_are_refused_before_anything_runs(more: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said.replace("(", r"\(")):
        args("https://portal.example", **more)


@given(st.text(max_size=40))
def test_any_text_is_a_url_or_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert usable(text) == text
