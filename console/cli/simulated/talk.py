"""What the lab's commands share: its address, and HTTP to its control port."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from console.cli.session import output_option

if TYPE_CHECKING:
    from console.terminal.screen import Screen

DEFAULT = "http://127.80.0.1:8900"
ANSWER_S = 10.0


class Lab:
    """The lab's control port and the user's screen."""

    def __init__(self, url: str, screen: Screen) -> None:
        """Talk to the lab at ``url``."""
        self.url = url.rstrip("/")
        self.screen = screen

    def get(self, path: str) -> Any:
        """Return the lab's answer. Raises ClientError."""
        return self._asked("GET", path, None)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Return the lab's answer. Raises ClientError; what the lab calls a mistake is one of usage."""
        return self._asked("POST", path, body)

    def _asked(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        import httpx2

        from console.client import ClientError, NoDaemon
        from console.terminal import exits

        try:
            with httpx2.Client(timeout=ANSWER_S, trust_env=False) as http:
                answer = http.request(method, self.url + path, json=body)
            document = answer.json()
        except (httpx2.TransportError, httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
            raise NoDaemon(f"no lab answers at {self.url}; start one with './do run' or 'karaula lab up'") from error
        except ValueError as error:
            raise NoDaemon(f"what answers at {self.url} is not the lab") from error
        if answer.is_error:
            message = document.get("error", answer.text) if isinstance(document, dict) else answer.text
            raise ClientError(str(message), "lab", exits.USAGE)
        return document


def on_lab(function: Callable[..., None]) -> Callable[..., None]:
    """Add --lab and --output, and hand the Lab over as the first argument."""

    @functools.wraps(function)
    def command(lab_url: str, output: str, **arguments: Any) -> None:
        from console.terminal.screen import Screen

        function(Lab(lab_url, Screen(as_json=output == "json")), **arguments)

    return click.option(
        "--lab",
        "lab_url",
        envvar="KARAULA_LAB",
        default=DEFAULT,
        show_default=True,
        help="The lab's control port ($KARAULA_LAB).",
    )(output_option(command))
