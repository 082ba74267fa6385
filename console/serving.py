"""The daemon's two doors: a Unix socket (its permissions are the access control) and loopback TCP for the browser.

They are taken at the start, so that a second daemon is refused at once; what answers at them (``console.api.front``)
comes when it is loaded, and whoever knocks before waits for it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from monitor.errors import StateError

if TYPE_CHECKING:  # see load_front
    from console.api.desk import Desk
    from console.api.front import Front

CUT_OFF_S = 4.0  # longer than the front itself takes to cut off whom it serves
HTTP_PORT = 80  # browsers leave it out of the Host header
ANSWER_S = 1.0


class Doors:
    """Listens from ``open`` to ``close``."""

    def __init__(self, socket_path: Path, host: str, port: int) -> None:
        self.socket_path = socket_path
        self.host = host
        self.port = port
        self._sockets: list[socket.socket] = []
        self._socket_file: tuple[int, int, int] | None = None
        self._front: Front | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def host_headers(self) -> frozenset[str]:
        """Return the Host header values that mean us."""
        shown = f"[{self.host}]" if ":" in self.host else self.host
        names = {f"{shown}:{self.port}", f"localhost:{self.port}"}
        return frozenset(names | {shown, "localhost"} if self.port == HTTP_PORT else names)

    def bind(self) -> None:
        """Take both addresses. Raises StateError with what is in the way."""
        try:
            self._sockets.append(_unix(self.socket_path))
            self._socket_file = _identity(self.socket_path)
            self._sockets.append(listening(self.host, self.port))
            self.port = self._sockets[-1].getsockname()[1]  # 0 asks the system for a free one
        except StateError:
            self._let_go()
            raise

    async def open(self, front: Front) -> None:
        """Serve ``front`` on what ``bind`` took."""
        self._front = front
        self._task = asyncio.create_task(front.server.serve(sockets=self._sockets), name="http")
        while not front.server.started and not self._task.done():  # noqa: ASYNC110 - uvicorn offers a flag, no event
            await asyncio.sleep(0.01)
        if self._task.done():
            self._task.result()

    async def close(self) -> None:
        """Stop listening and end the streams; whoever is still being served is cut off."""
        if self._front is not None and self._task is not None:
            self._front.end()
            _, pending = await asyncio.wait({self._task}, timeout=CUT_OFF_S)
            for task in pending:
                task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._let_go()

    def _let_go(self) -> None:
        for taken in self._sockets:
            taken.close()
        if self._socket_file is not None and _identity(self.socket_path) == self._socket_file:
            self.socket_path.unlink(missing_ok=True)
        self._sockets, self._socket_file = [], None


async def load_front(desk: Desk, hosts: frozenset[str]) -> Front:
    """Return what answers over HTTP; in a thread, beside a run that may be under way."""

    def loaded() -> Front:
        from console.api.front import Front  # noqa: PLC0415 - a quarter of a start, and a run does not wait for pages

        return Front(desk, hosts)

    return await asyncio.to_thread(loaded)


def loopback_only(host: str) -> str:
    """Return ``host`` when it is a loopback address. Raises StateError: until logins exist nothing else is served."""
    try:
        address = ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError as error:
        raise StateError(f"'{host}' is not an address to listen on") from error
    if not address.is_loopback:
        raise StateError(f"the web page listens on loopback only, until logins exist; {host} is not loopback")
    return str(address)


def _unix(path: Path) -> socket.socket:
    """Return a listening socket at ``path`` that only its owner and group may use."""
    if len(os.fsencode(path)) > 107:  # noqa: PLR2004 - sun_path, unix(7)
        raise StateError(f"the socket's path is longer than the system allows (107 bytes): {path}")
    try:
        _clear(path)
    except OSError as error:
        raise StateError(f"the socket {path} cannot be made: {error.strerror}") from error
    unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o117)
    try:
        unix.bind(os.fspath(path))
    except OSError as error:
        unix.close()
        raise StateError(f"the socket {path} cannot be made: {error.strerror}") from error
    finally:
        os.umask(before)
    return unix


def _clear(path: Path) -> None:
    """Remove a socket that a daemon left when it died. Raises StateError for anything else, and OSError."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise StateError(f"{path} is in the way: it is not a socket; move it, or choose another place with --socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(ANSWER_S)
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except FileNotFoundError:
            return
        except TimeoutError:
            pass  # it is there, and too busy to answer
    raise StateError(f"another daemon listens at {path}; stop it, or choose another place with --socket")


def _identity(path: Path) -> tuple[int, int, int] | None:
    """Return what tells this file from a later one at the same path, which may get the same inode."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_mtime_ns)


def listening(host: str, port: int) -> socket.socket:
    """Return a listening TCP socket. Raises StateError with what is in the way."""
    tcp = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        tcp.bind((host, port))
        tcp.listen()  # only from here on a second daemon is refused the port
    except OSError as error:
        tcp.close()
        raise StateError(
            f"{host}:{port} cannot be listened on: {error.strerror}; choose another with --listen"
        ) from error
    return tcp
