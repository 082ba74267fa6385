"""HTTP over the daemon's Unix socket: one method a verb, and an error for each way in which it can go wrong.

Every error's text says what to type next; its ``exit_code`` is what the command ends with.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import httpx2

from console.terminal import exits
from monitor.errors import KaraulaError

LOCAL_SOCKET = Path(".karaula/state/karaula.sock")
SYSTEM_SOCKET = Path("/run/karaula/karaula.sock")
ANSWER_S = 30.0
CONNECT_S = 5.0
QUIET_S = 40.0  # an event stream says at least every 15 s that it is there
ZONE_HEADER = "karaula-timezone"


class ClientError(KaraulaError):
    """What was asked of the daemon did not come about; ``code`` is a stable word."""

    def __init__(self, message: str, code: str, exit_code: int) -> None:
        """Carry a message fit for a user."""
        self.code = code
        self.exit_code = exit_code
        super().__init__(message)


class NoDaemon(ClientError):
    """Nobody listens at the socket, or nobody answers."""

    def __init__(self, message: str) -> None:
        """Say what to type."""
        super().__init__(message, "no-daemon", exits.NO_DAEMON)


class Denied(ClientError):
    """The socket's permissions do not let this user in."""

    def __init__(self, message: str) -> None:
        """Say who may."""
        super().__init__(message, "permission", exits.REFUSED)


class Answered(ClientError):
    """The daemon answered with an error."""

    def __init__(self, status: int, code: str, message: str) -> None:
        """Carry the daemon's own words."""
        super().__init__(message, code, exits.of_refusal(status, code))


def default_socket() -> Path:
    """Return the socket below the current directory if there is one, else the system's."""
    return LOCAL_SOCKET if LOCAL_SOCKET.exists() else SYSTEM_SOCKET


class Client:
    """A connection to one daemon. ``zone`` is the estate's time zone as the last answer gave it."""

    def __init__(self, path: Path, name: str = "", answer_s: float = ANSWER_S) -> None:
        """Talk to the daemon at ``path``, as the person ``name`` (empty: as the account that runs this)."""
        self.path = path
        self.zone = "UTC"
        headers = {b"X-Karaula-As": name.encode()} if name else {}  # UTF-8: names here may be Cyrillic
        self._http = httpx2.Client(
            transport=httpx2.HTTPTransport(uds=os.fspath(path)),
            base_url="http://karaula",
            headers=headers,
            timeout=answer_s,
            trust_env=False,
        )

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def get(self, path: str, **query: str | int | bool) -> Any:
        """Return what the daemon answers to GET, as JSON. Raises ClientError."""
        return self._json("GET", path, params=query or None)

    def text(self, path: str) -> str:
        """Return what the daemon answers to GET, as text. Raises ClientError."""
        return self._asked("GET", path).text

    def file(self, path: str) -> bytes:
        """Return what the daemon answers to GET, byte by byte. Raises ClientError."""
        return self._asked("GET", path).content

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Return what the daemon answers to POST. Raises ClientError."""
        return self._json("POST", path, json=dict(body))

    def delete(self, path: str) -> Any:
        """Return what the daemon answers to DELETE. Raises ClientError."""
        return self._json("DELETE", path)

    def stream(self, path: str) -> Iterator[tuple[str, Any]]:
        """Yield the events (name, JSON data) of the stream at ``path`` until it ends. Raises ClientError."""
        self._knock()
        timeout = httpx2.Timeout(QUIET_S, connect=CONNECT_S)
        try:
            with self._http.stream("GET", path, timeout=timeout) as answer:
                self._look(answer)
                for event in httpx2.EventSource(answer):
                    yield event.event, json.loads(event.data)
        except httpx2.TransportError as error:
            self._failed(error)

    def _json(self, method: str, path: str, **more: Any) -> Any:
        answer = self._asked(method, path, **more)
        try:
            return answer.json()
        except ValueError as error:
            raise NoDaemon(f"what listens at {self.path} is not Karaula's daemon") from error

    def _asked(self, method: str, path: str, **more: Any) -> httpx2.Response:
        self._knock()
        try:
            answer = self._http.request(method, path, **more)
        except httpx2.TransportError as error:
            self._failed(error)
        except UnicodeEncodeError as error:  # a byte of the command line that is no text in this terminal's encoding
            raise ClientError("what was typed is no text: it is not UTF-8", "usage", exits.USAGE) from error
        self._look(answer)
        return answer

    def _look(self, answer: httpx2.Response) -> None:
        """Note the zone; raise Answered for an error."""
        self.zone = answer.headers.get(ZONE_HEADER, self.zone)
        if answer.is_success:
            return
        answer.read()
        try:
            error = answer.json()["error"]
            code, message = str(error["code"]), str(error["message"])
        except (ValueError, KeyError, TypeError):
            code, message = "defect", f"the daemon broke over this request (HTTP {answer.status_code}); see its log"
        raise Answered(answer.status_code, code, message)

    def _knock(self) -> None:
        """See that somebody listens, and say clearly why not. Raises ClientError."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
            door.settimeout(CONNECT_S)
            try:
                door.connect(os.fspath(self.path))
            except PermissionError as error:
                raise Denied(
                    f"{own_name()} may not use the socket {self.path}: its permissions decide who may use the daemon; "
                    f"ask for membership of the group '{_group(self.path)}', then log in anew"
                ) from error
            except TimeoutError as error:
                raise NoDaemon(f"the daemon at {self.path} takes no connection; look at its log") from error
            except ConnectionRefusedError as error:
                raise NoDaemon(f"the daemon of {self.path} is not running any more; {_HOW_TO_START}") from error
            except (FileNotFoundError, NotADirectoryError) as error:
                raise NoDaemon(f"no daemon listens at {self.path}; {_HOW_TO_START}") from error
            except OSError as error:
                raise NoDaemon(f"no daemon can be reached at {self.path}: {error.strerror or error}") from error

    def _failed(self, error: httpx2.TransportError) -> NoReturn:
        if isinstance(error, httpx2.TimeoutException):
            raise NoDaemon(f"the daemon at {self.path} does not answer in time; look at its log") from error
        raise NoDaemon(f"the daemon at {self.path} ended while it answered; {_HOW_TO_START}") from error


_HOW_TO_START = "start one with './do run', 'karaula serve' or 'systemctl start karaula', or name its socket"


def own_name() -> str:
    """Return the account that runs this, as the daemon will see it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"


def _group(path: Path) -> str:
    try:
        return path.group()
    except (OSError, KeyError):
        return "karaula"
