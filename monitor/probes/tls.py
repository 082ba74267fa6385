"""Is a server's certificate trusted and its own, and until when; each way to be wrong has its own words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from monitor.clients.tls import Certificate, TlsClient
from monitor.errors import TargetError
from monitor.probe import Answer, Observation, each, failed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from monitor.clock import Clock
    from monitor.credential import Credentials
    from monitor.inventory.estate import Trust
    from monitor.probe import Target

AT_ONCE = 32
DAY_S = 86400
WORDS = {
    "expired": "the certificate ended {days:.1f} days ago",
    "not-yet-valid": "the certificate begins in {begins:.1f} days only (or a clock is wrong)",
    "self-signed": "the certificate is signed by itself, not by an authority that we trust",
    "unknown-authority": "the certificate comes from '{issuer}', which we do not trust, nor anybody shown above it",
    "incomplete-chain": "the server does not show the certificate of '{issuer}', which signed its own",
    "wrong-name": "the certificate is for {names}, not for {name}",
    "revoked": "the certificate was revoked",
}


@dataclass(frozen=True, slots=True)
class TlsParams:
    """Where to connect to, and the name that the certificate must be for."""

    address: str
    port: int
    name: str


class TlsProbe:
    """Makes a handshake with each server."""

    def __init__(self, credentials: Credentials, trust: Trust, clock: Clock) -> None:
        """Prepare. Raises CredentialError when the CA bundle cannot be used."""
        self._client = TlsClient(credentials.path(trust.tls_ca), clock)
        self._clock = clock

    async def observe(self, targets: Sequence[Target]) -> AsyncIterator[Observation]:
        """Yield one observation a server: ``tls_not_after_seconds``, ``duration_seconds``, the fact ``issuer``.

        FAILED with the fact ``fault`` when the certificate is not what it should be; how soon it ends is judged by
        others.
        """
        async for observation in each(targets, self._ask, AT_ONCE, self._clock):
            yield observation

    async def close(self) -> None:
        """Nothing is kept."""

    async def _ask(self, target: Target) -> Observation:
        params: TlsParams = target.params
        try:
            shown = await self._client.certificate(params.address, params.port, params.name, target.deadline_s)
        except TargetError as error:
            return failed(target, self._clock.now(), error)
        values = {"duration_seconds": shown.elapsed_s}
        if shown.not_after is not None:
            values["tls_not_after_seconds"] = shown.not_after
        facts = {"issuer": shown.issuer} | ({"fault": shown.fault} if shown.fault else {})
        answer = Answer.FAILED if shown.fault else Answer.OK
        now = self._clock.now()
        return Observation(target.subject, target.probe, now, answer, _why(shown, params.name, now), values, facts)


def _why(shown: Certificate, name: str, now: float) -> str:
    if not shown.fault:
        return ""
    words = WORDS.get(shown.fault)
    if words is None or shown.not_after is None or shown.not_before is None:
        return f"the certificate is not trusted: {shown.why or shown.fault}"
    return words.format(
        days=(now - shown.not_after) / DAY_S,
        begins=(shown.not_before - now) / DAY_S,
        issuer=shown.issuer,
        names=shown.names or "no name at all",
        name=name,
    )
