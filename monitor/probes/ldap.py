"""Does a directory take a log-in and find what it must."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from monitor.clients.ldap import Directory, Search, context, count
from monitor.errors import CredentialError, TargetError
from monitor.probe import Answer, Observation, each, failed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from monitor.clock import Clock
    from monitor.credential import Credentials
    from monitor.inventory.estate import Trust
    from monitor.probe import Target

AT_ONCE = 256  # so many that hang at once hold up nobody else


@dataclass(frozen=True, slots=True)
class LdapParams:
    """A directory, what must be found in it, and who asks (None: nobody in particular)."""

    directory: Directory
    search: Search
    bind_dn: str | None = None
    credential: str | None = None


class LdapProbe:
    """Visits directories, each time anew: that one takes a log-in is a part of the question."""

    def __init__(self, credentials: Credentials, trust: Trust, clock: Clock) -> None:
        """Prepare. Raises CredentialError when the CA bundle cannot be used."""
        self._tls = context(credentials.path(trust.tls_ca))
        self._credentials = credentials
        self._clock = clock

    async def observe(self, targets: Sequence[Target]) -> AsyncIterator[Observation]:
        """Yield one observation a target, with ``duration_seconds`` of the whole and the number of ``entries``."""
        async for observation in each(targets, self._ask, AT_ONCE, self._clock):
            yield observation

    async def close(self) -> None:
        """Nothing is kept open."""

    async def _ask(self, target: Target) -> Observation:
        params: LdapParams = target.params
        started = self._clock.monotonic()
        try:
            who = None
            if params.bind_dn is not None and params.credential is not None:
                who = (params.bind_dn, self._credentials.secret(params.credential))
            found = await count(params.directory, self._tls, who, params.search, target.deadline_s)
        except (TargetError, CredentialError) as error:
            return failed(target, self._clock.now(), error)
        enough = found >= params.search.enough
        return Observation(
            target.subject,
            target.probe,
            self._clock.now(),
            Answer.OK if enough else Answer.FAILED,
            "" if enough else f"the search found {found} of the {params.search.enough} entries that must be there",
            {"duration_seconds": self._clock.monotonic() - started, "entries": float(found)},
        )
