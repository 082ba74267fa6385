"""What every command that talks to the daemon shares: the options --socket, --as and --output, and completion."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from console.cli.lazy import JSON_WANTED
from console.terminal import exits
from monitor.errors import KaraulaError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from console.client import Client
    from console.terminal.screen import Screen

F = TypeVar("F", bound=Callable[..., Any])
COMPLETE_S = 1.0


class Mistyped(KaraulaError):
    """What was typed names nothing that there is; the text says what does."""

    code = "usage"
    exit_code = exits.USAGE


class Session:
    """One call of one command: its screen, and the connection, made when it is first used."""

    def __init__(self, socket: Path | None, name: str, *, as_json: bool) -> None:
        """Talk to the daemon at ``socket`` (None: the default) as ``name`` (empty: the account)."""
        from console.terminal.screen import Screen

        self.screen: Screen = Screen(as_json=as_json)
        self.name = name
        self._socket = socket
        self._client: Client | None = None

    @property
    def client(self) -> Client:
        """The connection to the daemon."""
        from console.client import Client, default_socket

        if self._client is None:
            self._client = Client(self._socket or default_socket(), self.name)
        return self._client

    def get(self, path: str, **query: str | int | bool) -> Any:
        """GET; afterwards times are shown in the estate's zone. Raises ClientError."""
        return self._zoned(self.client.get(path, **query))

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """POST. Raises ClientError."""
        return self._zoned(self.client.post(path, body))

    def delete(self, path: str) -> Any:
        """DELETE. Raises ClientError."""
        return self._zoned(self.client.delete(path))

    def stream(self, path: str) -> Iterator[tuple[str, Any]]:
        """Yield the stream's events. Raises ClientError."""
        for event in self.client.stream(path):
            yield self._zoned(event)

    def whoami(self) -> str:
        """Return the name that the daemon will record."""
        from console.client import own_name

        return self.name or own_name()

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        threading.Event().wait(seconds)

    def close(self) -> None:
        """Close the connection if there is one."""
        if self._client is not None:
            self._client.close()

    def _zoned(self, answer: Any) -> Any:
        from console.terminal.words import zone_of

        self.screen.zone = zone_of(self.client.zone)
        return answer


def segment(text: str) -> str:
    """Return ``text`` as one segment of a path: whatever was typed leads nowhere else. Raises Mistyped."""
    from urllib.parse import quote

    if "/" in text or not text.strip(".%"):
        raise Mistyped(f"'{text}' names nothing that there is")
    return quote(text, safe="")


def reasoned(_ctx: click.Context, _parameter: click.Parameter, value: str) -> str:
    """Refuse a reason that says nothing; a click callback."""
    if not value.strip():
        raise click.BadParameter("a reason needs words")
    return value


def _named(_ctx: click.Context, _parameter: click.Parameter, value: str) -> str:
    """Return the name that was typed; refuse one that cannot be sent."""
    if value and not value.isprintable():
        raise click.BadParameter("a name has letters that can be printed, in one line")
    return value.strip()


def _noted(ctx: click.Context, _parameter: click.Parameter, value: str) -> str:
    ctx.meta[JSON_WANTED] = value == "json"
    return value


def output_option(function: F) -> F:
    """Add ``--output``."""
    return click.option(
        "--output",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        callback=_noted,
        help="For people, or JSON for programs.",
    )(function)


def talks(function: Callable[..., None]) -> Callable[..., None]:
    """Add --socket, --as and --output, and hand the Session over as the first argument."""

    @functools.wraps(function)
    def command(socket: Path | None, name: str, output: str, **arguments: Any) -> None:
        session = Session(socket, name, as_json=output == "json")
        try:
            function(session, **arguments)
        finally:
            session.close()

    with_output = output_option(command)
    with_name = click.option(
        "--as",
        "name",
        envvar="KARAULA_AS",
        default="",
        metavar="NAME",
        callback=_named,
        help="Who you are, on a shared account ($KARAULA_AS).",
    )(with_output)
    return click.option(
        "--socket",
        type=click.Path(path_type=Path),
        envvar="KARAULA_SOCKET",
        help="The daemon's socket ($KARAULA_SOCKET); see docs/cli.md for the default.",
    )(with_name)


# -- completion: what the daemon knows, or nothing when it does not answer at once ------------------------------------


def _asked(ctx: click.Context, path: str) -> Any:
    from console.client import Client, ClientError, default_socket

    client = Client(ctx.params.get("socket") or default_socket(), answer_s=COMPLETE_S)
    try:
        return client.get(path)
    except ClientError:  # a completion cannot speak; the command itself will say what is wrong
        return None
    finally:
        client.close()


def complete_system(ctx: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
    """Complete a system's key."""
    answer = _asked(ctx, "/api/status") or {"subjects": []}
    names = [item["subject"].removeprefix("system/") for item in answer["subjects"] if "system/" in item["subject"]]
    return [name for name in names if name.startswith(typed)]


def complete_subject(ctx: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
    """Complete a subject."""
    answer = _asked(ctx, "/api/status") or {"subjects": []}
    return [item["subject"] for item in answer["subjects"] if item["subject"].startswith(typed)]


def complete_run(ctx: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
    """Complete a run's id, the newest first."""
    found = [*(_asked(ctx, "/api/runs") or []), *(_asked(ctx, "/api/joint-runs") or [])]
    return [run["id"] for run in found if run["id"].startswith(typed)]


def complete_step(ctx: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
    """Complete a step of the run that was typed before."""
    run = _asked(ctx, f"/api/runs/{ctx.params.get('run')}") or {"steps": []}
    return [step["id"] for step in run["steps"] if step["id"].startswith(typed)]
