"""A run's event stream: complete, over when the run is, let go when the reader or the daemon leaves."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from engine_kit import accepted, plan, step
from orchestrator_kit import world_of
from web_kit import WebDaemon, web_daemon

from console.api.streams import KEPT, Streams
from dr.errors import RunRefused
from dr.journal.run import Run, RunState
from monitor.clock import ManualClock


@pytest.fixture
def daemon() -> Iterator[WebDaemon]:
    with web_daemon() as running:
        yield running


def listen(daemon: WebDaemon, run_id: str) -> socket.socket:
    """Open the run's stream and read until its first event is there."""
    line = daemon.knock()
    line.sendall(f"GET /api/runs/{run_id}/stream HTTP/1.1\r\nHost: {daemon.host}\r\n\r\n".encode())
    seen = b""
    while b"event: run" not in seen:
        seen += line.recv(65536)
    assert b"text/event-stream" in seen
    return line


def rest(line: socket.socket) -> str:
    """Read until the answer is over."""
    seen = b""
    while not seen.endswith(b"0\r\n\r\n"):
        got = line.recv(65536)
        if not got:
            break
        seen += got
    return seen.decode()


def test_the_stream_tells_lines_and_ends_with_the_run(daemon: WebDaemon) -> None:
    daemon.script.words["copy"] = ["hold"]
    before = daemon.onlookers()
    run_id = daemon.prepared("drill")
    with listen(daemon, run_id) as line:
        assert daemon.front.app.state.streams.open == 1
        daemon.script.released.set()
        told = rest(line)
    assert '"line": "ask on its way"' in told
    assert '"state": "SUCCEEDED"' in told.rpartition("event: run")[2]
    daemon.until("the stream to be let go", lambda: daemon.front.app.state.streams.open == 0)
    assert daemon.onlookers() == before


def test_the_stream_of_a_run_that_is_over_is_one_state(daemon: WebDaemon) -> None:
    run_id = daemon.prepared("backup")
    daemon.wait_state(run_id, "SUCCEEDED")
    reply = daemon.ask("GET", f"/api/runs/{run_id}/stream")
    events = [part for part in reply.text.split("\n\n") if part]
    assert len(events) == 1
    assert json.loads(events[0].partition("data: ")[2])["state"] == "SUCCEEDED"


def test_a_reader_that_leaves_is_forgotten(daemon: WebDaemon) -> None:
    before = daemon.onlookers()
    run_id = daemon.prepared()
    lines = [listen(daemon, run_id) for _ in range(5)]
    assert daemon.front.app.state.streams.open == 5
    for line in lines:
        line.close()
    daemon.until("five readers to be forgotten", lambda: daemon.front.app.state.streams.open == 0)
    assert daemon.onlookers() == before


def test_closing_the_doors_ends_open_streams(daemon: WebDaemon) -> None:
    before = daemon.onlookers()
    run_id = daemon.prepared()
    with listen(daemon, run_id) as line, daemon.knock() as idle:
        idle.sendall(b"GET / HTTP/1.1\r\nHost: ")
        daemon.call(daemon.doors.close())
        assert rest(line).endswith("0\r\n\r\n"), "the stream was cut off in the middle"
    assert daemon.onlookers() == before


class Source:
    """As much of an orchestrator as a stream needs."""

    def __init__(self, run: Run) -> None:
        self.now = run
        self.told: list[tuple[Any, Any]] = []
        self.world = world_of(ManualClock())

    def run(self, run_id: str) -> Run:
        if run_id != self.now.id:
            raise RunRefused("run", "unknown")
        return self.now

    def subscribe(self, changed: Any, heard: Any) -> Callable[[], None]:
        self.told.append((changed, heard))
        return self.told.clear

    def change(self, run: Run) -> None:
        self.now = run
        for changed, _ in self.told:
            changed(run, ())


@pytest.mark.anyio
async def test_a_slow_reader_loses_lines_but_never_the_end() -> None:
    run, _ = accepted(plan(step("point")))
    source, streams = Source(run), Streams()
    told = streams.of_run(source, run.id)  # type: ignore[arg-type]  # as much of it as is needed
    assert '"final": false' in await anext(told)
    for number in range(KEPT + 500):
        source.told[0][1](run.id, "point", 1, f"line {number}")
        source.told[0][1]("another-run", "point", 1, "not ours")
    source.change(replace(run, state=RunState.FAILED))
    events = [event async for event in told]
    assert len(events) == KEPT + 1
    assert '"final": true' in events[-1]
    assert "not ours" not in "".join(events)
    assert streams.open == 0
    assert not source.told


@pytest.mark.anyio
async def test_silence_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.api.streams.STILL_HERE_S", 0.01)
    run, _ = accepted(plan(step("point")))
    streams = Streams()
    async with contextlib.aclosing(streams.of_run(Source(run), run.id)) as told:  # type: ignore[type-var,arg-type]  # it is a generator
        await anext(told)
        assert await anext(told) == ": still here\n\n"
    assert streams.open == 0
