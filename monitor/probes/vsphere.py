"""Is the vCenter there, and how is everything in it: VMs, ESXi hosts, datastores, alarms.

One target is a whole vCenter, subject ``vcenter/<key>``; with it come ``vm/<key>/<name>``, ``esx/<key>/<name>`` and
``datastore/<key>/<name>``. VMs that the inventory names, or that one of its rules finds, must be on; replicas must be
there and sound, on or off; others are shown as they are, and an intentional power-off is no failure. What was there
before and is gone is said once, unless the inventory names it: then every time.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from monitor.clients.http import HttpClient
from monitor.clients.vsphere import StillReading, Surveys, VcenterSession
from monitor.clients.vsphere_tags import TagFollower
from monitor.errors import CredentialError, Refused, TargetError
from monitor.probe import Answer, each, failed, own_mistake
from monitor.probes.vsphere_rules import NO_TAGS, Rule
from monitor.probes.vsphere_things import Teller, VsphereParams, judge

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from monitor.clients.vsphere_tags import Tag, Tagged
    from monitor.clock import Clock
    from monitor.credential import Credentials
    from monitor.errors import KaraulaError
    from monitor.inventory.estate import Trust
    from monitor.probe import Observation, Target

__all__ = ["Rule", "VsphereParams", "VsphereProbe", "judge"]

log = logging.getLogger(__name__)

CLOSING_S = 3.0  # for the end of a tag service's session
AFTER_REFUSAL_S = 60.0  # vCenter locks an account after five refused log-ins within three minutes


class VsphereProbe:
    """Keeps one session a vCenter; a vCenter that hangs delays no other."""

    def __init__(self, credentials: Credentials, trust: Trust, clock: Clock) -> None:
        """Prepare; sessions are made when first asked for."""
        self._credentials = credentials
        self._trust = trust
        self._clock = clock
        self._sessions: dict[VsphereParams, VcenterSession] = {}
        self._http: HttpClient | None = None  # of the tag services
        self._followers: dict[VsphereParams, TagFollower] = {}
        self._tellers: dict[VsphereParams, Teller] = {}
        self._refused: dict[VsphereParams, tuple[float, str]] = {}

    async def observe(self, targets: Sequence[Target]) -> AsyncIterator[Observation]:
        """Yield each vCenter's observations as soon as that vCenter has answered."""
        async for observation in each(targets, self._told, max(1, len(targets)), self._clock):
            yield observation

    async def close(self) -> None:
        """Log out everywhere."""
        await asyncio.gather(*(self._end(params) for params in tuple(self._sessions)))
        if self._http is not None:
            await self._http.close()
            self._http = None

    async def _told(self, target: Target) -> Sequence[Observation]:
        """Ask; when this probe itself breaks on an answer, what is in the vCenter is as unknown as the vCenter."""
        try:
            return await self._ask(target)
        except Exception as error:  # as in ``each``, which knows nothing of what is in a vCenter
            log.exception("the vsphere probe broke on %s", target.subject)
            now = self._clock.now()
            return own_mistake(target, now, error), *self._teller(target).unseen(now, "says what could not be read")

    async def _ask(self, target: Target) -> Sequence[Observation]:
        params: VsphereParams = target.params
        started = self._clock.monotonic()
        until, refusal = self._refused.get(params, (started, ""))
        if started < until:
            return self._unseen(target, Refused(refusal))
        try:
            await self._retire(params)
            session = self._session(params, target.deadline_s)
            snapshot = await session.refresh()
            tagged = await self._tagged(params, snapshot.api_version, started + target.deadline_s)
        except Refused as error:
            refusal = f"{error}; asked again once a minute"
            self._refused[params] = (self._clock.monotonic() + AFTER_REFUSAL_S, refusal)
            await self._end(params)  # the next session reads the credential anew
            return self._unseen(target, Refused(refusal))
        except (TargetError, CredentialError) as error:
            return self._unseen(target, error)
        itself, *others = self._teller(target).tell(snapshot, session.survey, session.survey_error, tagged)
        lasted = {"duration_seconds": self._clock.monotonic() - started}
        return replace(itself, subject=target.subject, values={**itself.values, **lasted}), *others

    def _unseen(self, target: Target, error: KaraulaError) -> Sequence[Observation]:
        """Say that the vCenter failed, and of everything in it that nothing is known."""
        now = self._clock.now()
        said = failed(target, now, error)
        if isinstance(error, StillReading):  # it answers, and has not been heard out
            said = replace(said, answer=Answer.UNKNOWN)
        return said, *self._teller(target).unseen(now)

    def _teller(self, target: Target) -> Teller:
        params: VsphereParams = target.params
        if params not in self._tellers:
            self._tellers[params] = Teller(params, target.probe)
        return self._tellers[params]

    async def _retire(self, params: VsphereParams) -> None:
        """End the session that this vCenter had under an earlier inventory."""
        for old in [one for one in self._sessions if one.key == params.key and one != params]:
            self._tellers.pop(old, None)
            await self._end(old)

    async def _end(self, params: VsphereParams) -> None:
        follower, session = self._followers.pop(params, None), self._sessions.pop(params)
        if follower is not None:
            await follower.close(CLOSING_S)
        await session.close()

    async def _tagged(self, params: VsphereParams, api_version: str, expires: float) -> Mapping[Tag, Tagged]:
        """Return what is known of the tags that rules name; the first reading of all is waited for until ``expires``.

        Asked of a vCenter that has just answered only: its tag service knows the same users, and locks them alike.
        """
        tags = {rule.tag for rule in params.rules if rule.tag is not None}
        if not tags:
            return NO_TAGS
        follower = self._followers.get(params)
        if follower is None:
            if self._http is None:
                self._http = HttpClient(self._credentials.path(self._trust.tls_ca), clock=self._clock)
            follower = self._followers[params] = TagFollower(
                self._http,
                (params.address, params.port),
                (params.user, self._credentials.secret(params.credential)),
                tags,
                interval_s=params.tags_interval_s,
                clock=self._clock,
            )
            follower.begin_when_due(api_version)
            await follower.settled(expires - self._clock.monotonic())
        else:
            follower.begin_when_due(api_version)
        return follower.tagged

    def _session(self, params: VsphereParams, deadline_s: float) -> VcenterSession:
        session = self._sessions.get(params)
        if session is None:
            session = VcenterSession(
                params.address,
                params.port,
                params.user,
                self._credentials.secret(params.credential),
                self._credentials.path(self._trust.tls_ca),
                deadline_s=deadline_s,
                clock=self._clock,
                datacenter=params.datacenter,
                surveys=Surveys(params.survey_interval_s, params.counters),
                by_rule=bool(params.rules),
            )
            self._sessions[params] = session
        return session
