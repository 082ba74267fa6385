"""The pages and the API against a real application on both of its doors, with steps whose outcomes a test dictates."""

from __future__ import annotations

import asyncio
import http.client
import json
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli_kit import PATIENCE_S, DeskDaemon, FakeWatch, estate

from console.api.front import Front
from console.serving import Doors
from dr.engine.joint_course import stands_still
from dr.engine.orchestrator import Request
from monitor.status.board import Board, Evidence
from monitor.status.state import Health, Status

FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Reply:
    """An answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    text: str

    def json(self) -> Any:
        return json.loads(self.text)

    def error(self) -> str:
        """Return the sentence of an API error."""
        return str(self.json()["error"]["message"])


class WebWatch(FakeWatch):
    """Everything of the shipped estate is well, until a test says otherwise."""

    def __init__(self, now: float) -> None:
        super().__init__()
        for subject in Board(estate(), now).statuses():
            detail = "main" if subject.startswith("system/") else ""
            self.held[subject] = Status(subject, Health.OK, "", now, now, detail)

    def evidence(self, _system: str) -> Evidence:
        return Evidence()

    def set(self, subject: str, health: Health, reason: str, detail: str = "") -> None:
        was = self.held[subject]
        self.held[subject] = Status(subject, health, reason, was.since, was.seen_at, detail)


class WebDaemon(DeskDaemon):
    """A daemon whose loopback door is open too."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.watch: WebWatch = WebWatch(self.clock.now())

    async def open_doors(self) -> None:
        self.doors = Doors(self.socket, "127.0.0.1", 0)
        self.doors.bind()
        self.front = Front(self.desk, self.doors.host_headers)
        await self.doors.open(self.front)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.doors.port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def ask(
        self, method: str, path: str, body: bytes | None = None, *, form: str | None = None, **headers: str
    ) -> Reply:
        """Ask over loopback as a program does; ``form`` makes it the page's own form. ``_`` in headers is ``-``."""
        sent = {"Host": self.host, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if form is not None:
            body, sent = form.encode(), {"Content-Type": FORM, **sent}
        line = http.client.HTTPConnection("127.0.0.1", self.doors.port, timeout=PATIENCE_S)
        try:
            line.request(method, path, body, sent)
            answer = line.getresponse()
            return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read().decode())
        finally:
            line.close()

    def knock(self) -> socket.socket:
        """Return a raw connection over loopback."""
        return socket.create_connection(("127.0.0.1", self.doors.port), timeout=PATIENCE_S)

    def prepared(self, playbook: str = "failover", system: str = "ncts", reason: str = "main is lost") -> str:
        """Ask for a run as the daemon itself does; return its id."""
        run = self.call(self.orchestrator.submit(Request(playbook, system, "karaula", reason, "alarm", reason)))
        return str(run.id)

    def wait_state(self, run_id: str, *states: str) -> None:
        """Wait until the run is in one of ``states``."""
        self.call(self._until(run_id, states))

    def wait_joint(self, joint_id: str, state: str, still: str = "") -> None:
        """Wait until the joint run is in ``state`` and (where ``still`` is given) stands still because of that."""
        self.call(self._until_joint(joint_id, state, still))

    async def _until_joint(self, joint_id: str, state: str, still: str) -> None:
        changed = asyncio.Event()
        leave = self.joints.subscribe(lambda _joint: changed.set())
        try:
            while (joint := self.joints.joint(joint_id)).state != state or still not in stands_still(
                joint, self.joints.runs(joint)
            ):
                await asyncio.wait_for(changed.wait(), PATIENCE_S)
                changed.clear()
        finally:
            leave()

    async def _until(self, run_id: str, states: tuple[str, ...]) -> None:
        changed = asyncio.Event()
        leave = self.orchestrator.subscribe(lambda _run, _events: changed.set())
        try:
            while self.orchestrator.run(run_id).state.value not in states:
                await asyncio.wait_for(changed.wait(), PATIENCE_S)
                changed.clear()
        finally:
            leave()


@contextmanager
def web_daemon() -> Iterator[WebDaemon]:
    """Run one; its folder has a short name, for a socket's path may have 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="karaula-web-"))
    daemon = WebDaemon(folder)
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.stop()
        shutil.rmtree(folder)
