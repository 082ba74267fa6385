"""A small TLS server in threads whose every answer the test writes byte by byte."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO


@dataclass
class Request:
    """What came in: method, path, headers in lower case, body."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[[Request, socket.socket], bytes | None]


@dataclass
class Server:
    """A running server; ``requests`` are those that arrived whole, ``stop`` is set when it ends."""

    address: str
    port: int
    requests: list[Request] = field(default_factory=list)
    connections: list[socket.socket] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)


@contextmanager
def serving(
    certificate: tuple[Path, Path] | None, answer: Answer, address: str = "127.0.0.1", port: int = 0
) -> Iterator[Server]:
    """Serve; ``answer`` returns raw bytes to send, or None to close without a word. Plain TCP without certificate."""
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
    listener = socket.create_server((address, port))
    server = Server(address, listener.getsockname()[1])
    threads: list[threading.Thread] = []

    def accept() -> None:
        while not server.stop.is_set():
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=_talk, args=(server, plain, context, answer), daemon=True)
            threads.append(thread)
            thread.start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield server
    finally:
        server.stop.set()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for connection in server.connections:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
        for thread in (acceptor, *threads):
            thread.join(5)


def _talk(server: Server, plain: socket.socket, context: ssl.SSLContext | None, answer: Answer) -> None:
    with contextlib.suppress(OSError, ssl.SSLError, ValueError), contextlib.ExitStack() as stack:
        stack.callback(plain.close)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # or an answer waits for the tickets' receipt
        connection = stack.enter_context(context.wrap_socket(plain, server_side=True)) if context else plain
        server.connections.append(connection)
        reader = stack.enter_context(connection.makefile("rb"))
        while (request := _read(reader)) is not None:
            server.requests.append(request)
            reply = answer(request, connection)
            if reply is None:
                return
            connection.sendall(reply)


def reply(status: int, body: bytes, kind: str = "application/json", *extra: str) -> bytes:
    """Return an HTTP/1.1 answer."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *extra, "", ""]
    return "\r\n".join(lines).encode() + body


def _read(reader: BinaryIO) -> Request | None:
    first = reader.readline().decode("latin-1").split()
    if len(first) < 2:
        return None
    headers: dict[str, str] = {}
    while (line := reader.readline().decode("latin-1").strip()) != "":
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    body = reader.read(int(headers.get("content-length", "0")))
    return Request(first[0], first[1], headers, body)
