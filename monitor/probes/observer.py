"""What does an observer at another place (``karaula vantage``) see of the systems' fronts.

It answers over HTTPS to whoever has its token. What it says is taken word by word and nothing is filled in: an answer
that leaves out one side is no answer.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from monitor.clients.http import HttpClient
from monitor.errors import CredentialError, GarbledReply, Refused, TargetError
from monitor.printable import printable
from monitor.probe import Answer, Observation, each, failed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from monitor.clock import Clock
    from monitor.credential import Credentials
    from monitor.inventory.estate import Trust
    from monitor.probe import Target

AT_ONCE = 16
PATH = "/api/opinion"
WORDS = frozenset({"down", "up", "unknown"})
LONGEST_REASON = 300
OLDEST_S = 1e9


@dataclass(frozen=True, slots=True)
class ObserverParams:
    """Where the observer answers, its token's name, and the sides (system and site) of which it must speak."""

    url: str
    credential: str
    sides: frozenset[tuple[str, str]]


class ObserverProbe:
    """Asks each observer for all that it sees."""

    def __init__(self, credentials: Credentials, trust: Trust, clock: Clock) -> None:
        """Prepare; tokens are read at each question. Raises CredentialError when the CA cannot be used."""
        self._credentials = credentials
        self._clock = clock
        self._client = HttpClient(credentials.path(trust.tls_ca), clock=clock)

    async def observe(self, targets: Sequence[Target]) -> AsyncIterator[Observation]:
        """Yield one observation an observer: a fact ``ncts/main`` (down, up, unknown), and how old that is."""
        async for observation in each(targets, self._ask, AT_ONCE, self._clock):
            yield observation

    async def close(self) -> None:
        """Break off what still runs."""
        await self._client.close()

    async def _ask(self, target: Target) -> Observation:
        params: ObserverParams = target.params
        try:
            token = self._credentials.secret(params.credential)
            reply = await self._client.request(
                "GET",
                params.url.rstrip("/") + PATH,
                timeout_s=target.deadline_s,
                headers={"Authorization": f"Bearer {token.reveal()}"},
            )
            if reply.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
                raise Refused(f"{params.url} does not take the token '{params.credential}'")
            if reply.status != HTTPStatus.OK:
                raise Refused(f"{params.url} answered {reply.status}")
            values, facts = read(reply.body, params)
        except (TargetError, CredentialError) as error:
            return failed(target, self._clock.now(), error)
        return Observation(target.subject, target.probe, self._clock.now(), Answer.OK, "", values, facts)


def read(body: bytes, params: ObserverParams) -> tuple[dict[str, float], dict[str, str]]:
    """Return values and facts of an answer. Raises GarbledReply for anything but a whole and sound one."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise GarbledReply(f"{params.url} answered what is not JSON") from error
    systems = document.get("systems") if isinstance(document, dict) else None
    if not isinstance(systems, dict):
        raise GarbledReply(f"{params.url} answered without an opinion")
    values, facts = {}, {}
    for system, site in sorted(params.sides):
        side, found = f"{system}/{site}", _within(_within(systems, system), site)
        word, age_s, reason = (_within(found, name) for name in ("word", "age_s", "reason"))
        if not isinstance(word, str) or word not in WORDS or not isinstance(reason, str):
            raise GarbledReply(f"{params.url} says nothing sound of {side}")
        if word != "unknown" and not _is_age(age_s):
            raise GarbledReply(f"{params.url} does not say how old its word on {side} is")
        facts[side], facts[f"{side} reason"] = word, printable(reason)[:LONGEST_REASON]
        if _is_age(age_s):
            values[f"{side} age_s"] = float(age_s)
    return values, facts


def _within(found: Any, name: str) -> Any:
    return found.get(name) if isinstance(found, dict) else None


def _is_age(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < OLDEST_S
