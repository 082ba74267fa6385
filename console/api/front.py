"""All that answers over HTTP: the application and the server that carries it to the daemon's doors.

Signals stay with the daemon, and an open event stream does not keep it from stopping. To load this module takes a
quarter of a daemon's start, so the daemon does it last: a run that goes on after a crash does not wait for web pages.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import uvicorn

from console.api.actor import PeerProtocol
from console.api.app import change_desk, make_app
from console.api.desk import Desk

STOP_S = 3


class QuietServer(uvicorn.Server):
    """A server that leaves the process's signals alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture nothing."""
        yield


class Front:
    """The application of a desk, ready to be served."""

    def __init__(self, desk: Desk, hosts: frozenset[str]) -> None:
        """``hosts`` are the Host header values that are served over TCP."""
        self.app = make_app(desk, hosts)
        self.server = QuietServer(
            uvicorn.Config(
                self.app,
                http=PeerProtocol,
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,  # X-Forwarded-For would let anybody on loopback say that he came by the socket
                lifespan="off",
                timeout_graceful_shutdown=STOP_S,
            )
        )

    def change(self, desk: Desk) -> None:
        """Serve ``desk`` from the next request on."""
        change_desk(self.app, desk)

    def end(self) -> None:
        """Take no more requests, and end the streams; whoever is still being served is cut off after ``STOP_S``."""
        self.server.should_exit = True
        self.app.state.streams.close()
