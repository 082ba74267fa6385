"""Does a page answer as it should, and what does a health page say of itself.

A front end's ``/health`` answers ``{"system", "site", "role", "position", "epoch"}``; its words become facts and its
numbers become values. Any other body is fine as long as the status is right.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from monitor.clients.http import HttpClient
from monitor.errors import TargetError
from monitor.probe import Answer, Observation, each, failed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from monitor.clients.http import HttpReply
    from monitor.clock import Clock
    from monitor.credential import Credentials
    from monitor.inventory.estate import Trust
    from monitor.probe import Target

AT_ONCE = 32
OK_STATUS = 200
LONGEST_FACT = 200
LARGEST = 2**53  # beyond, a float is not exact
FACTS = ("system", "site", "role")
NUMBERS = {"position": "position", "epoch": "epoch"}


@dataclass(frozen=True, slots=True)
class HttpParams:
    """What to ask; with ``address`` (and ``port``) there, the certificate still being ``url``'s host's."""

    url: str
    address: str | None = None
    port: int | None = None
    expect_status: int = OK_STATUS


class HttpProbe:
    """Asks a page by GET, over TLS that is verified against the estate's CA."""

    def __init__(self, credentials: Credentials, trust: Trust, clock: Clock) -> None:
        """Prepare. Raises CredentialError when the CA bundle cannot be used."""
        self._http = HttpClient(credentials.path(trust.tls_ca), clock=clock)
        self._clock = clock

    async def observe(self, targets: Sequence[Target]) -> AsyncIterator[Observation]:
        """Yield one observation a target: ``duration_seconds``, ``tls_not_after_seconds`` and what the body says."""
        async for observation in each(targets, self._ask, AT_ONCE):
            yield observation

    async def close(self) -> None:
        """Break off what still runs."""
        await self._http.close()

    async def _ask(self, target: Target) -> Observation:
        params: HttpParams = target.params
        connect_to = None if params.address is None else (params.address, params.port)
        try:
            reply = await self._http.request("GET", params.url, timeout_s=target.deadline_s, connect_to=connect_to)
        except TargetError as error:
            return failed(target, self._clock.now(), error)
        values = {"duration_seconds": reply.elapsed_s, "status": float(reply.status)}
        if reply.tls_not_after is not None:
            values["tls_not_after_seconds"] = reply.tls_not_after
        facts, numbers = _said(reply)
        as_expected = reply.status == params.expect_status
        return Observation(
            target.subject,
            target.probe,
            self._clock.now(),
            Answer.OK if as_expected else Answer.FAILED,
            "" if as_expected else f"answered {reply.status} instead of {params.expect_status}",
            values | numbers,
            facts,
        )


def _said(reply: HttpReply) -> tuple[dict[str, str], dict[str, float]]:
    """Return the known words and numbers of a JSON object; nothing of any other body."""
    if "json" not in reply.headers.get("content-type", ""):
        return {}, {}
    try:
        found = json.loads(reply.body)
    except (ValueError, RecursionError):
        return {}, {}
    if not isinstance(found, dict):
        return {}, {}
    facts = {key: found[key][:LONGEST_FACT] for key in FACTS if isinstance(found.get(key), str)}
    numbers = {
        name: float(found[key])
        for key, name in NUMBERS.items()
        if isinstance(found.get(key), int | float)
        and not isinstance(found[key], bool)
        and -LARGEST < found[key] < LARGEST  # false for NaN as well
    }
    return facts, numbers
