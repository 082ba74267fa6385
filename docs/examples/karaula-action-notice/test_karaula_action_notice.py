"""The action against a portal of its own: done, seen, done again, taken back. Needs pytest and Karaula, no estate."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from typing import Any

import pytest
from karaula_action_notice import PortalNotice

from dr.action import Context, Holds
from dr.errors import StepFailed
from monitor.clients.http import HttpClient


class Portal(HTTPServer):
    """What the portal holds, and every change that it was asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Notice)
        self.text = ""
        self.status = 200
        self.changes: list[tuple[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/notice"


class Notice(BaseHTTPRequestHandler):
    server: Portal

    def do_GET(self) -> None:
        self.answer({"text": self.server.text})

    def do_PUT(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.change(body["text"])

    def do_DELETE(self) -> None:
        self.change("")

    def change(self, text: str) -> None:
        self.server.changes.append((self.command, self.headers["X-Karaula-Epoch"]))
        if self.server.status == 200:
            self.server.text = text
        self.answer({})

    def answer(self, body: object) -> None:
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def portal() -> Iterator[Portal]:
    with Portal() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_done_seen_and_taken_back(portal: Portal) -> None:
    async def course() -> None:
        world: Any = SimpleNamespace(http=HttpClient(None))  # all of the World that this action touches
        context = Context("run", "announce", 1, "run/announce", 7, 30.0, world, lambda _line: None)
        action = PortalNotice()
        args = action.Args.model_validate(
            {"system": "ncts", "site": "dr", "url": portal.url, "text": "Clearance is moving"}
        )
        portal.text = "Welcome"
        assert (await action.probe(args, context)).holds is Holds.NO
        done = await action.run(args, context)
        assert (portal.text, done.outputs) == ("Clearance is moving", {"before": "Welcome"})
        assert (await action.probe(args, context)).holds is Holds.YES
        await action.undo(args, context, done.outputs)
        assert portal.text == "Welcome"
        assert portal.changes == [("PUT", "7"), ("PUT", "7")]
        portal.status = 503
        with pytest.raises(StepFailed, match="503"):
            await action.run(args, context)
        assert (await action.probe(args, context)).holds is Holds.CANNOT_TELL

    asyncio.run(course())


def test_what_it_declares_is_what_it_is_told() -> None:
    action = PortalNotice()
    args = action.Args.model_validate(
        {"system": "ncts", "site": "dr", "url": "https://portal/notice", "text": "Moving"}
    )
    (effect,) = action.effects(args)
    assert (effect.subject, effect.field, effect.value) == ("notice/portal", "text", "Moving")
