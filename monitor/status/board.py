"""Everything that is held true, kept up to date by observations and by the passing of time.

Pure bookkeeping over ``hysteresis``, ``evaluate``, ``sight``, ``flapping`` and ``reachability``: no clock, no disk. The
subjects that the inventory knows are always on the board, UNKNOWN until observed; others (VMs that nobody listed) come
and go with what is seen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from monitor.inventory.dependencies import Ties, ties
from monitor.probe import Answer
from monitor.status import flapping
from monitor.status.crossings import DEGRADED, crossing, steadied
from monitor.status.evaluate import judge
from monitor.status.hysteresis import Memory, Rules, expired, judged, unseen
from monitor.status.isolation import ISOLATED
from monitor.status.reachability import UP, Doubt, Seen, ailing, composites, settle
from monitor.status.sight import COMPOSITES, INSIDE_A_VCENTER, PARTLY_SEEN, Sight
from monitor.status.state import Flip, Health, Status
from monitor.status.totals import LinkTotals
from monitor.status.trend import Trends

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from monitor.inventory.model import Inventory
    from monitor.probe import Observation
    from monitor.status.hysteresis import Judgement
    from monitor.status.totals import Totals

GONE = "no longer in the inventory"
LISTED = frozenset(  # kinds whose every subject the inventory names; a VM may also be one that only its vCenter knows
    {"site", "system", "crossing", "vcenter", "host", "front", "database", "link", "sensor", "dns", "power", "check"}
    | {"vip", "group", "anchor", "vantage", "vote", "router", "path"}
)


@dataclass(frozen=True, slots=True)
class Recorded:
    """The last flip of a subject: what history says that it is, since when."""

    health: Health
    detail: str
    since: float


@dataclass(frozen=True, slots=True)
class Sighting:
    """The newest moment at which a site was seen to be active, or its database to be primary.

    ``at`` is Unix seconds; ``position`` the replication position (with ``by_record`` the number of the newest record),
    ``received_at`` the Unix time of the newest record.
    """

    site: str
    at: float
    position: float | None
    received_at: float | None
    epoch: float | None
    by_record: bool = False


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was last seen of a system while it worked; None where it was not seen since the daemon's start."""

    active: Sighting | None = None
    primary: Sighting | None = None

    @property
    def service_ok_at(self) -> float | None:
        """When the service was last seen to work."""
        return None if self.active is None else self.active.at


class Board:
    """The state of the watch. Not thread-safe: it belongs to the event loop."""

    def __init__(
        self,
        inventory: Inventory,
        now: float,
        recorded: Mapping[str, Recorded] | None = None,
        recent: Iterable[Flip] = (),
    ) -> None:
        """Begin with every subject UNKNOWN; ``recorded`` is what history says of them, ``recent`` its newest flips."""
        self._started = now
        self._memories: dict[str, Memory] = {}
        self._newest: dict[str, Observation] = {}
        self._good: dict[str, Observation] = {}
        self._doubts: dict[str, Doubt] = {}
        self._differ_since: dict[str, float | None] = {}
        self._links = LinkTotals()
        self._evidence: dict[str, Evidence] = {}
        self._trends = Trends()
        self._recorded = dict(recorded or {})
        self._resuming: set[str] = set()
        self._swings: dict[str, flapping.Swings] = {}
        self._went_blind: set[str] = set()
        self._sight = Sight(inventory, ties(inventory))
        self._take(inventory, now)
        self._leaving = {  # the inventory has changed while no daemon ran, or one died before it could say so
            subject: kept
            for subject, kept in self._recorded.items()
            if subject not in self.expected and (subject.partition("/")[0] in LISTED or self._orphaned(subject))
        }
        for subject in self._leaving:
            del self._recorded[subject]
        for flip in recent:
            self._swing(flip)

    def _take(self, inventory: Inventory, now: float) -> None:
        polling = inventory.polling
        self.inventory = inventory
        self.rules = Rules(polling.fail_after, polling.recover_after, polling.stale_after_s)
        self.marks = flapping.Marks(inventory.flapping.half_life_s, inventory.flapping.high, inventory.flapping.low)
        self.ties = ties(inventory)
        self.expected = self.ties.depends_on
        self._sight.change(inventory, self.ties)
        in_a_row = max(polling.fail_after, polling.recover_after) + 1
        self._settle_s = in_a_row * polling.interval_s + polling.deadline_s
        for subject in self.expected.keys() - self._memories.keys():
            before = self._recorded.get(subject)
            trusting = before is None or before.health is Health.OK
            self._memories[subject] = unseen(subject, now, trusting=trusting)
            if before is not None:
                self._resuming.add(subject)

    def reload(self, inventory: Inventory, now: float, changed: Iterable[str] = ()) -> frozenset[str]:
        """Change to a new inventory; return the subjects that are gone with the old one.

        ``changed`` are subjects that are asked something else from now on: what they were, and since when, stands
        until they are heard or it is too old, but no value that was read elsewhere is shown as theirs.
        """
        before, systems = self.expected, self.inventory.systems.keys()
        self._take(inventory, now)
        gone = frozenset(
            subject
            for subject in {*self._memories, *before}
            if subject not in self.expected and (subject in before or self._orphaned(subject))
        )
        for subject in gone:
            if (kept := self._recorded.get(subject)) is not None:
                self._leaving[subject] = kept
            self._forget(subject)
        for subject in self.expected.keys() & self._leaving.keys():
            self._recorded[subject] = self._leaving.pop(subject)  # back before its going was written down
        for subject in changed:
            self._newest.pop(subject, None)
            self._good.pop(subject, None)
            self._trends.forget(subject)
        for system in systems - inventory.systems.keys():
            self._evidence.pop(system, None)
        return gone

    def observe(self, observation: Observation, steady: float | None = None) -> None:
        """Take in one observation, of whatever subject; ``steady`` is a clock that nobody sets, where there is one."""
        observation = self._trends.followed(observation, self.inventory.sensors, steady)
        subject = observation.subject
        if self._orphaned(subject):
            return  # an answer that was under way while its vCenter left the inventory
        if observation.facts.get("vanished") and subject not in self.expected:
            self._forget(subject)
            return
        self._newest[subject] = observation
        self._links.observe(observation)
        if observation.answer is Answer.OK:
            self._good[subject] = observation
            self._note_whereabouts(observation)
        memory = self._memories.get(subject) or self._meet(subject, observation.at)
        if self._sight.hear(observation):
            later = judged(memory, judge(observation, self.inventory), observation.at, self.rules)
            self._memories[subject] = self._sight.believed(memory, later, observation)

    def _meet(self, subject: str, at: float) -> Memory:
        """Begin with a subject that the inventory does not know, as history last had it."""
        before = self._recorded.get(subject)
        if before is not None:
            self._resuming.add(subject)
        return unseen(subject, at, trusting=before is None or before.health is Health.OK)

    def alarming(self) -> Ties:
        """Return the ties of all that may alarm: the subjects of the inventory, and what vCenters bring.

        A VM that nobody named or described by a rule is not among them: nobody has said how it ought to be.
        """
        found = dict(self.expected)
        for subject, observation in self._newest.items():
            kind, _, rest = subject.partition("/")
            if kind not in INSIDE_A_VCENTER:
                continue
            vcenter = rest.partition("/")[0]
            host = observation.facts.get("host", "")
            on = (f"esx/{vcenter}/{host}",) if host else ()
            if subject in self.expected:
                found[subject] = (*self.expected[subject], *on)
            elif kind != "vm" or "belongs_to" in observation.facts:
                found[subject] = (*self.expected.get(f"vcenter/{vcenter}", ()), f"vcenter/{vcenter}", *on)
        return replace(self.ties, depends_on=MappingProxyType(found))

    def tick(self, now: float) -> list[Flip]:
        """Let time pass: expire what is old, judge the composites, and return what changed since the last tick."""
        self._memories.update(list(self._sight.look(self._memories, now, self.rules.stale_after_s)))
        for subject, memory in list(self._memories.items()):
            if subject.startswith(COMPOSITES):
                continue
            later = expired(memory, now, self.rules)
            if later is not memory and subject not in self.expected and self._parent_up(subject):
                self._forget(subject)
            else:
                self._memories[subject] = later
        seen = Seen({subject: memory.status for subject, memory in self._memories.items()}, self._good)
        for subject, judgement in composites(self.inventory, seen).items():
            self._compose(subject, judgement, seen, now)
        left = [
            Flip(subject, kept.health, Health.UNKNOWN, GONE, now)
            for subject, kept in self._leaving.items()
            if kept.health is not Health.UNKNOWN
        ]
        self._leaving.clear()
        flips = [flip for subject in list(self._memories) if (flip := self._flip(subject, now))]
        self._swings = {
            subject: swings
            for subject, each in self._swings.items()
            if (swings := flapping.passed(each, now, self.marks)).flapping
            or flapping.penalty(swings, now, self.marks) > flapping.NOTHING
        }
        for flip in flips:
            self._swing(flip)
        return [*left, *flips]

    def ailing(self) -> Mapping[str, tuple[str, ...]]:
        """Return what is to blame for each system that works and is not at its best."""
        return ailing(self.inventory, Seen(self.statuses(), self._good))

    def statuses(self) -> Mapping[str, Status]:
        """Return a copy of every status."""
        return MappingProxyType({subject: memory.status for subject, memory in self._memories.items()})

    def status(self, subject: str) -> Status | None:
        """Return the status of ``subject``; None when there is no such subject."""
        memory = self._memories.get(subject)
        return None if memory is None else memory.status

    def links(self) -> Mapping[str, Totals]:
        """Return what became of each link's probes since the start."""
        return self._links.snapshot()

    def flapping(self) -> frozenset[str]:
        """Return the subjects that change to and fro too often for a single change to mean much."""
        return frozenset(subject for subject, swings in self._swings.items() if swings.flapping)

    @property
    def isolated(self) -> str:
        """Why the monitor takes itself for cut off from the estate; empty while it does not."""
        return self._sight.reason

    @property
    def knows_isolation(self) -> bool:
        """Whether enough has been asked to say whether the monitor is isolated."""
        return self._sight.knows

    def unjudged(self) -> frozenset[str]:
        """Return the subjects that cannot be seen, or were not heard since: no alarm of theirs is raised or cleared."""
        if self._sight.clear:
            return frozenset()
        return self._sight.unjudged(
            {subject: each.status for subject, each in self._memories.items()}, self.alarming().depends_on
        )

    def newest(self, subject: str) -> Observation | None:
        """Return the newest observation, whatever it said."""
        return self._newest.get(subject)

    def good(self) -> Mapping[str, Observation]:
        """Return the newest OK observation of every subject that ever had one."""
        return MappingProxyType(self._good)

    def evidence(self, system: str) -> Evidence:
        """Return what was last seen of ``system`` while it worked."""
        return self._evidence.get(system, Evidence())

    def _compose(self, subject: str, judgement: Judgement, seen: Seen, now: float) -> None:
        memory = self._memories[subject]
        status = memory.status
        kind, _, key = subject.partition("/")
        if kind == "system":
            system = self.inventory.systems[key]
            believed, doubt = settle(key, system, judgement, self._doubts.get(subject), seen)
            if doubt is None:
                self._doubts.pop(subject, None)
            else:
                self._doubts[subject] = doubt
            if believed is None:
                return
            judgement = believed
        if kind == "crossing":
            since = self._differ_since.get(subject)
            probed = crossing(key, seen) if judgement.detail == DEGRADED else judgement  # else it does not matter
            judgement, since = steadied(judgement, probed, since, now, self._settle_s)
            self._differ_since[subject] = since
        judgement = self._marked(subject, judgement)
        since = status.since if judgement.health is status.health else now
        seen_at = status.seen_at if judgement.health is Health.UNKNOWN else now
        fresh = Status(subject, judgement.health, judgement.reason, since, seen_at, judgement.detail)
        self._memories[subject] = Memory(fresh, memory.recent, memory.trusting)

    def _marked(self, subject: str, judgement: Judgement) -> Judgement:
        """Say of a whole that is worse for it that parts of it are not seen because the monitor is isolated."""
        parts = [self._memories[part].status for part in self.ties.parts.get(subject, ()) if part in self._memories]
        if not any(part.detail == ISOLATED for part in parts):
            return judgement
        if judgement.health not in (Health.UNKNOWN, Health.DEGRADED):
            return judgement
        return replace(judgement, reason=judgement.reason + PARTLY_SEEN)

    def _flip(self, subject: str, now: float) -> Flip | None:
        memory = self._memories[subject]
        status = memory.status
        before = self._recorded.get(subject)
        if subject in self._resuming:
            if status.health is Health.UNKNOWN and now - self._started <= self.rules.stale_after_s:
                return None  # not asked yet since the start: what history says still stands
            self._resuming.discard(subject)
            if before is not None and status.health is before.health:
                status = replace(status, since=before.since)
                self._memories[subject] = replace(memory, status=status)
        old = Recorded(Health.UNKNOWN, "", status.since) if before is None else before
        if old.health is status.health and old.detail == status.detail:
            return None
        at = now if old.health is status.health else status.since
        self._recorded[subject] = Recorded(status.health, status.detail, status.since)
        return Flip(subject, old.health, status.health, status.reason, at, status.detail)

    def _swing(self, flip: Flip) -> None:
        """Count a change towards flapping, unless it is the monitor itself that could not see.

        A site that is degraded and well again says nothing that its parts do not.
        """
        if flip.subject.startswith("site/") and Health.DOWN not in (flip.old, flip.new):
            return
        if flip.detail == ISOLATED or flip.reason.endswith(PARTLY_SEEN):
            self._went_blind.add(flip.subject)
        elif flip.subject in self._went_blind:
            if flip.new is not Health.UNKNOWN:  # the way back ends where something is known again
                self._went_blind.discard(flip.subject)
        else:
            before = self._swings.get(flip.subject, flapping.STEADY)
            self._swings[flip.subject] = flapping.changed(before, flip.at, self.marks)

    def _note_whereabouts(self, observation: Observation) -> None:
        kind, _, rest = observation.subject.partition("/")
        system, _, site = rest.partition("/")
        role, values = observation.facts.get("role"), observation.values
        if (kind, role) not in (("front", "active"), ("database", "primary")):
            return
        position, by_record = values.get("record", values.get("position")), "record" in values
        sighting = Sighting(site, observation.at, position, values.get("received_at"), values.get("epoch"), by_record)
        before = self._evidence.get(system, Evidence())
        changed = replace(before, active=sighting) if kind == "front" else replace(before, primary=sighting)
        self._evidence[system] = changed

    def _parent_up(self, subject: str) -> bool:
        kind, _, rest = subject.partition("/")
        parent = self.status(f"vcenter/{rest.partition('/')[0]}") if kind in INSIDE_A_VCENTER else None
        return parent is None or parent.health in UP

    def _orphaned(self, subject: str) -> bool:
        """Return whether ``subject`` is of a vCenter that the inventory has not: nothing will be heard of it."""
        kind, _, rest = subject.partition("/")
        vcenter = rest.partition("/")[0]
        return kind in INSIDE_A_VCENTER and subject not in self.expected and vcenter not in self.inventory.vcenters

    def _forget(self, subject: str) -> None:
        for kept in (self._memories, self._newest, self._good, self._doubts, self._recorded, self._swings):
            kept.pop(subject, None)
        self._went_blind.discard(subject)
        self._sight.forget(subject)
        self._resuming.discard(subject)
        self._differ_since.pop(subject, None)
        self._links.forget(subject)


def recorded_from(flips: Iterable[Flip]) -> dict[str, Recorded]:
    """Return what the last flips of all subjects say; a change of detail alone does not begin a health anew."""
    found: dict[str, Recorded] = {}
    for flip in flips:
        before = found.get(flip.subject)
        since = before.since if before is not None and before.health is flip.new else flip.at
        found[flip.subject] = Recorded(flip.new, flip.detail, since)
    return found
