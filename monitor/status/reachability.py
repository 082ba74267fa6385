"""Composites: what the parts say of a crossing, a site and a system as a whole.

Parts already went through hysteresis, so composites follow them; only what two fronts say of their roles must be
confirmed (``settle``), for they are never asked at the same moment. Invariant: a composite is OK only when what
makes it OK is known to be so. A system is never said to be active at one site while two sites claim it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from monitor.status import voting
from monitor.status.crossings import crossing
from monitor.status.hysteresis import Judgement
from monitor.status.redundancy import group
from monitor.status.state import Health
from monitor.status.traffic import NOTHING, Evidence, evidence

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from monitor.inventory.model import Inventory
    from monitor.inventory.systems import Deployment, System
    from monitor.probe import Observation
    from monitor.status.state import Status

SPLIT_BRAIN = "split-brain"
UP = (Health.OK, Health.DEGRADED)
FEW = 3


@dataclass(frozen=True, slots=True)
class Seen:
    """What is held true of single subjects, and the newest OK observation of each.

    Not simply the newest: one lost answer must not make a role unknown while the status still stands.
    """

    statuses: Mapping[str, Status]
    observations: Mapping[str, Observation]

    def health(self, subject: str) -> Health:
        """Return the subject's health; UNKNOWN when there is none."""
        status = self.statuses.get(subject)
        return Health.UNKNOWN if status is None else status.health

    def fresh(self, subject: str) -> Mapping[str, float] | None:
        """Return the values of a subject that is up; None when it is not."""
        observation = self.observations.get(subject)
        return observation.values if observation and self.health(subject) in UP else None

    def fact(self, subject: str, name: str) -> str:
        """Return a fact of a subject that is up; else empty."""
        observation = self.observations.get(subject)
        return observation.facts.get(name, "") if observation and self.health(subject) in UP else ""


def composites(inventory: Inventory, seen: Seen) -> dict[str, Judgement]:
    """Return the judgement of every crossing, system, site, group and vote."""
    found = {f"crossing/{key}": crossing(key, seen, carried(key, inventory, seen)) for key in inventory.links}
    found |= {f"system/{key}": system(key, entry, seen) for key, entry in inventory.systems.items()}
    found |= {f"site/{key}": site(key, inventory, seen) for key in inventory.sites}
    for key, entry in inventory.groups.items():
        found[f"group/{key}"] = group(entry, [seen.health(member) for member in entry.members])
    found |= {f"vote/{key}": voting.judged(entry, seen.health) for key, entry in inventory.votes.items()}
    return found


@dataclass(frozen=True, slots=True)
class Doubt:
    """A judgement of a system that is not believed yet, and when each front that counts in it was last heard."""

    judgement: Judgement
    heard: Mapping[str, float]


def settle(
    key: str, entry: System, judgement: Judgement, doubt: Doubt | None, seen: Seen
) -> tuple[Judgement | None, Doubt | None]:
    """Return the judgement when it may be believed, or the doubt to keep until the next time.

    While a system moves, one front may already say ``active`` and the other's last word be older than the move. So
    "active at two sites" and "active at none" wait until every front that is up has been heard once more.
    """
    if judgement.health is not Health.DOWN:
        return judgement, None
    fronts = [f"front/{key}/{site}" for site in entry.sites if seen.health(f"front/{key}/{site}") in UP]
    heard = {front: seen.observations[front].at for front in fronts if front in seen.observations}
    if doubt is None or doubt.judgement.detail != judgement.detail:
        doubt = Doubt(judgement, heard)
    if any(heard[front] == at for front, at in doubt.heard.items() if front in heard):  # ==: clocks are also set back
        return None, doubt
    return judgement, doubt


def carried(key: str, inventory: Inventory, seen: Seen) -> Evidence:
    """Return which link of a crossing carries its traffic, as far as its router or its path tell."""
    entry = inventory.crossings.get(key)
    return NOTHING if entry is None else evidence(key, entry, seen)


def system(key: str, entry: System, seen: Seen) -> Judgement:
    """Judge a system by where its fronts say that it is active; ``detail`` is that site's key."""
    active = [site for site in entry.sites if seen.fact(f"front/{key}/{site}", "role") == "active"]
    unknown = [site for site in entry.sites if _front_unknown(key, site, seen)]
    if len(active) > 1:
        return Judgement(Health.DOWN, f"active at {' and '.join(active)} at once", SPLIT_BRAIN)
    if not active:
        if unknown:
            return Judgement(Health.UNKNOWN, f"the front at {' and '.join(unknown)} is not known")
        return Judgement(
            Health.DOWN, "active at no site: " + "; ".join(_words(key, site, seen) for site in entry.sites)
        )
    found = _ailments(key, entry, active[0], seen)
    if found:
        words = "; ".join(each.words for each in found)
        return Judgement(Health.DEGRADED, f"active at {active[0]}; {words}", active[0])
    return Judgement(Health.OK, "", active[0])


@dataclass(frozen=True, slots=True)
class _Ailment:
    """Why a system that works is not at its best, and the subjects that are to blame."""

    words: str
    subjects: tuple[str, ...]


def _ailments(key: str, entry: System, active: str, seen: Seen) -> list[_Ailment]:
    fronts = {site: f"front/{key}/{site}" for site in entry.sites if site != active}
    weak = [site for site, front in fronts.items() if seen.health(front) not in UP]
    found = [_Ailment(f"no standby: {_words(key, site, seen)}", (fronts[site],)) for site in weak]
    found += [
        _Ailment(f"at {site} {_list(bad)} down", tuple(bad))
        for site, deployment in entry.sites.items()
        if site not in weak and (bad := _down_parts(key, site, deployment, seen))
    ]
    lag_s = lag(key, entry, active, seen)
    if lag_s is not None and lag_s > entry.rpo_s:
        words = f"the standby is {lag_s:.0f} s behind, more than the {entry.rpo_s:g} s that may be lost"
        found.append(_Ailment(words, tuple(f"database/{key}/{site}" for site in fronts)))
    return found


def ailing(inventory: Inventory, seen: Seen) -> dict[str, tuple[str, ...]]:
    """Return, for each system that works at one site and not at its best, the subjects that are to blame."""
    found: dict[str, tuple[str, ...]] = {}
    for key, entry in inventory.systems.items():
        active = [site for site in entry.sites if seen.fact(f"front/{key}/{site}", "role") == "active"]
        if len(active) == 1 and (ailments := _ailments(key, entry, active[0], seen)):
            found[f"system/{key}"] = tuple(subject for each in ailments for subject in each.subjects)
    return found


def lag(key: str, entry: System, active: str, seen: Seen) -> float | None:
    """Return how many seconds the standby's newest record is older than the active site's; None when not known."""
    newest: list[float] = []
    for site in (active, next((other for other in entry.sites if other != active), active)):
        subject = f"database/{key}/{site}"
        observation = seen.observations.get(subject)
        if observation is None or seen.health(subject) not in UP or "received_at" not in observation.values:
            return None
        newest.append(observation.values["received_at"])
    return max(0.0, newest[0] - newest[1])


def site(key: str, inventory: Inventory, seen: Seen) -> Judgement:
    """Judge a site by everything in it that answers over its network; power controllers have their own battery."""
    health = {member: seen.health(member) for member in members(key, inventory)}
    down = [member for member, each in health.items() if each is Health.DOWN]
    unknown = [member for member, each in health.items() if each is Health.UNKNOWN]
    up = len(health) - len(down) - len(unknown)
    if not health:
        return Judgement(Health.UNKNOWN, "nothing at this site is watched")
    if up == 0 and not unknown:
        return Judgement(
            Health.DOWN, f"none of the {len(health)} things watched at the site answers{_runs_there(key, inventory)}"
        )
    if up == 0:
        return Judgement(Health.UNKNOWN, f"{_list(unknown)} not known")
    if down:
        return Judgement(Health.DEGRADED, f"{_list(down)} down")
    if unknown:
        return Judgement(Health.UNKNOWN, f"{_list(unknown)} not known")
    return Judgement(Health.OK)


def _runs_there(key: str, inventory: Inventory) -> str:
    """Name the systems of a site: its one message speaks for them."""
    names = [system.name for system in inventory.systems.values() if key in system.sites]
    return f"; systems there: {', '.join(names)}" if names else ""


def members(key: str, inventory: Inventory) -> list[str]:
    """Return the subjects that answer over the network of site ``key``."""
    found = [f"vcenter/{name}" for name, entry in inventory.vcenters.items() if entry.site == key]
    found += [f"host/{name}" for name, entry in inventory.hosts.items() if entry.site == key]
    found += [f"dns/{name}" for name, entry in inventory.dns_servers.items() if entry.site == key]
    return found + [f"front/{name}/{key}" for name, entry in inventory.systems.items() if key in entry.sites]


def _front_unknown(key: str, site: str, seen: Seen) -> bool:
    """Return whether the front may be active for all we know: it is not known, or answers without a role."""
    front = f"front/{key}/{site}"
    health = seen.health(front)
    return health is Health.UNKNOWN or (health in UP and seen.fact(front, "role") not in ("active", "standby"))


def _words(key: str, site: str, seen: Seen) -> str:
    health = seen.health(f"front/{key}/{site}")
    if health is Health.DOWN:
        return f"{site} does not answer"
    return f"{site} is not known" if health is Health.UNKNOWN else f"{site} stands by"


def _down_parts(key: str, site: str, deployment: Deployment, seen: Seen) -> list[str]:
    tiers = deployment.vms
    parts = [f"vm/{deployment.vcenter}/{vm}" for vm in (*tiers.database, *tiers.application, *tiers.web)]
    parts.append(f"database/{key}/{site}")
    down = [part for part in parts if seen.health(part) is Health.DOWN]
    return down + (_down_by_rule(f"{key}/{site}/", seen) if tiers.rules else [])


def _down_by_rule(place: str, seen: Seen) -> list[str]:
    """Return the VMs that are down and that a rule of the inventory had found for ``place`` (system/site/)."""
    found = []
    for subject, status in seen.statuses.items():
        if status.health is Health.DOWN and subject.startswith("vm/"):
            last = seen.observations.get(subject)
            if last is not None and last.facts.get("belongs_to", "").startswith(place):
                found.append(subject)
    return found


def _list(subjects: Iterable[str]) -> str:
    names = list(subjects)
    shown = ", ".join(names[:FEW]) + (f" and {len(names) - FEW} more" if len(names) > FEW else "")
    return f"{shown} {'is' if len(names) == 1 else 'are'}"
