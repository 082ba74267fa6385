"""An observer at another place: asks the systems' fronts, and whether it is cut off itself, and says what it sees.

It keeps nothing, alarms nobody and starts nothing. What it believes, and when, is decided as in the daemon: failures
in a row, staleness, and no word on others while its own uplink is in doubt.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from monitor.inventory.dependencies import Ties
from monitor.poller import Poller
from monitor.status.evaluate import judge
from monitor.status.hysteresis import Rules, expired, judged, unseen
from monitor.status.sight import Sight
from monitor.status.votes import Vote, of_front
from monitor.targets import make_probes, targets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from monitor.clock import Clock
    from monitor.credential import Credentials
    from monitor.inventory.model import Inventory
    from monitor.probe import Observation

LOOKS_AT = ("front/", "anchor/")
TICK_S = 1.0


@dataclass(frozen=True, slots=True)
class Opinion:
    """What an observer says: its votes by system and site, and why it takes itself for cut off."""

    at: float
    isolated: str
    votes: Mapping[tuple[str, str], Vote]


class Observer:
    """The vantage point ``name`` of the inventory, at the place where it runs."""

    def __init__(self, name: str, inventory: Inventory, credentials: Credentials, clock: Clock) -> None:
        """Prepare. Raises CredentialError when the CA cannot be used, KeyError when there is no such point."""
        vantage = inventory.vantage
        self._name = name
        place = vantage.model_copy(update={"site": getattr(vantage.points[name], "site", None)})
        self._inventory = inventory.model_copy(update={"vantage": place})
        self._clock = clock
        asked = [target for target in targets(inventory) if target.subject.startswith(LOOKS_AT)]
        self._probes = make_probes(inventory, credentials, clock, {target.probe for target in asked})
        self._poller = Poller(asked, self._probes, self._observed, clock)
        ties = {target.subject: _at(target.subject) for target in asked}
        nothing = MappingProxyType[str, tuple[str, ...]]({})
        self._sight = Sight(self._inventory, Ties(MappingProxyType(ties), nothing, MappingProxyType({})))
        self._memories = {subject: unseen(subject, clock.now()) for subject in ties}
        polling = inventory.polling
        self._rules = Rules(polling.fail_after, polling.recover_after, polling.stale_after_s)
        self._ticking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to look."""
        await self._poller.start()
        self._ticking = asyncio.create_task(self._tick_for_ever(), name="observe")

    async def stop(self) -> None:
        """End and close the probes."""
        await self._poller.stop()
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.gather(self._ticking, return_exceptions=True)
        for probe in self._probes.values():
            await probe.close()

    def opinion(self) -> Opinion:
        """Return what is held true now."""
        now = self._clock.now()
        self.tick(now)  # nothing is said that would not be held true at this moment
        isolated = self._sight.reason
        votes = {}
        for system, entry in self._inventory.systems.items():
            for site in entry.sites:
                front = f"front/{system}/{site}"
                votes[system, site] = of_front(self._name, front, self._memories[front].status, now, isolated=isolated)
        return Opinion(now, isolated, MappingProxyType(votes))

    def tick(self, now: float) -> None:
        """Let time pass: judge the own uplink anew, and expire what is old."""
        self._memories.update(list(self._sight.look(self._memories, now, self._rules.stale_after_s)))
        self._memories = {subject: expired(memory, now, self._rules) for subject, memory in self._memories.items()}

    async def _tick_for_ever(self) -> None:
        while True:
            await self._clock.sleep(TICK_S)
            self.tick(self._clock.now())

    def _observed(self, observation: Observation) -> None:
        memory = self._memories[observation.subject]
        if self._sight.hear(observation):
            later = judged(memory, judge(observation, self._inventory), observation.at, self._rules)
            self._memories[observation.subject] = self._sight.believed(memory, later, observation)


def _at(subject: str) -> tuple[str, ...]:
    """Return the site that a front stands at."""
    return (f"site/{subject.rpartition('/')[2]}",) if subject.startswith("front/") else ()
