"""What may be believed of each subject while the monitor's own uplink is in doubt or gone (``isolation``).

Between the hysteresis and the board: a subject that would become DOWN, or a sensor that would be at fault, waits until
somebody else was heard after it failed; while the monitor is isolated, what it cannot see is UNKNOWN and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from monitor.probe import Answer
from monitor.status.hysteresis import Memory
from monitor.status.isolation import ISOLATED, Lookout, Rules
from monitor.status.state import Health

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from monitor.inventory.dependencies import Ties
    from monitor.inventory.model import Inventory
    from monitor.probe import Observation
    from monitor.status.state import Status

INSIDE_A_VCENTER = ("vm", "esx", "datastore")  # known from what their vCenter tells
COMPOSITES = ("crossing/", "system/", "site/", "group/", "vote/")
NOT_SEEN = "it cannot be seen: the monitor itself is cut off"
PARTLY_SEEN = " (what is not known cannot be seen: the monitor itself is cut off)"
NOT_HEARD_AGAIN = "not heard again since the monitor itself was cut off"


@dataclass(frozen=True, slots=True)
class _Held:
    """Bad news that waits to be believed: when the failure was seen first, and what would then be remembered."""

    failed_at: float
    memory: Memory


class Sight:
    """The lookout with what waits for it."""

    def __init__(self, inventory: Inventory, ties: Ties) -> None:
        """Begin with nothing seen; ``ties`` are those of all subjects of the inventory."""
        self._lookout = Lookout(_rules(inventory, ties))
        self._held: dict[str, _Held] = {}
        self._left_at: float | None = None

    def change(self, inventory: Inventory, ties: Ties) -> None:
        """Go by another inventory from now on."""
        self._lookout.change(_rules(inventory, ties))

    def forget(self, subject: str) -> None:
        """Take note that ``subject`` is gone."""
        self._lookout.forget(subject)
        self._held.pop(subject, None)

    @property
    def reason(self) -> str:
        """Why the monitor takes itself for isolated; empty while it does not."""
        return self._lookout.reason

    @property
    def knows(self) -> bool:
        """Whether enough has been asked for a verdict."""
        return self._lookout.knows()

    @property
    def clear(self) -> bool:
        """Whether the monitor sees, and all was heard again since it last did not: ``unjudged`` has nobody to name."""
        return self._left_at is None and not self._lookout.isolated

    def hear(self, observation: Observation) -> bool:
        """Take in an observation; return whether it says anything of its subject."""
        self._lookout.hear(observation)
        return observation.answer is Answer.OK or not self._blind(observation.subject)

    def believed(self, before: Memory, later: Memory, observation: Observation) -> Memory:
        """Return what is to be remembered: ``later``, or ``before`` while bad news must wait for the next ``look``."""
        subject = observation.subject
        if observation.answer is Answer.OK or _inside_a_vcenter(subject) or not _fell(before, later):
            self._held.pop(subject, None)
            return later
        waiting = self._held.get(subject)
        failed_at = observation.at if waiting is None else min(waiting.failed_at, observation.at)  # clocks are set back
        self._held[subject] = _Held(failed_at, later)
        return Memory(before.status, later.recent, later.trusting)

    def look(self, memories: Mapping[str, Memory], now: float, keep_s: float) -> Iterator[tuple[str, Memory]]:
        """Judge anew, and yield what is to be remembered of subjects from now on. ``keep_s``: see ``unjudged``."""
        was_isolated = self._lookout.isolated
        self._lookout.look(lambda subject: subject in memories and _lost(memories[subject].status))
        if self._lookout.isolated:
            self._left_at = None
            yield from self._blanked(memories, now)
            self._held = {each: held for each, held in self._held.items() if not self._lookout.out_of_sight(each)}
            yield from self._released(memories)
            return
        if was_isolated:
            self._left_at = now
        yield from self._released(memories)
        if self._left_at is not None and now - self._left_at > keep_s:
            self._left_at = None
            for subject, memory in memories.items():
                if memory.status.detail == ISOLATED:
                    yield subject, replace(memory, status=replace(memory.status, reason=NOT_HEARD_AGAIN, detail=""))

    def _blanked(self, memories: Mapping[str, Memory], now: float) -> Iterator[tuple[str, Memory]]:
        for subject, memory in memories.items():
            if memory.status.detail != ISOLATED and not subject.startswith(COMPOSITES) and self._blind(subject):
                yield subject, _blank(memory, now)

    def _released(self, memories: Mapping[str, Memory]) -> Iterator[tuple[str, Memory]]:
        for subject, held in list(self._held.items()):
            if self._lookout.believable(subject, held.failed_at):
                del self._held[subject]
                if subject in memories:
                    yield subject, held.memory

    def unjudged(self, statuses: Mapping[str, Status], expected: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
        """Return the subjects of which no alarm may be raised or cleared.

        While isolated that is everything out of sight; for a while after, what was not heard again.
        """
        if self._lookout.isolated:
            return frozenset(subject for subject in expected if self._lookout.out_of_sight(_source(subject)))
        if self._left_at is None:
            return frozenset()
        return frozenset(
            subject for subject in expected if subject in statuses and statuses[subject].health is Health.UNKNOWN
        )

    def _blind(self, subject: str) -> bool:
        return self._lookout.blind(_source(subject))


def _source(subject: str) -> str:
    """Return who is asked about ``subject``: the vCenter of what is inside one, else itself."""
    return f"vcenter/{subject.split('/')[1]}" if _inside_a_vcenter(subject) else subject


def _inside_a_vcenter(subject: str) -> bool:
    return subject.partition("/")[0] in INSIDE_A_VCENTER


def _fell(before: Memory, later: Memory) -> bool:
    """Tell whether a subject would become DOWN, or unknown by its own fault, as a sensor that does not answer."""
    now = later.status
    if now.health is Health.UNKNOWN:
        return now.detail not in ("", ISOLATED, before.status.detail)
    return now.health is Health.DOWN and before.status.health is not Health.DOWN


def _lost(status: Status) -> bool:
    """Tell whether something is known to be wrong with a subject: it is down, or unknown by its own fault."""
    unknown = status.health is Health.UNKNOWN and status.detail not in ("", ISOLATED)
    return unknown or status.health is Health.DOWN


def _blank(memory: Memory, now: float) -> Memory:
    status = memory.status
    since = status.since if status.health is Health.UNKNOWN else now
    return Memory(
        replace(status, health=Health.UNKNOWN, reason=NOT_SEEN, detail=ISOLATED, since=since), (), trusting=False
    )


def _rules(inventory: Inventory, ties: Ties) -> Rules:
    vantage, expected = inventory.vantage, ties.depends_on
    anchors = frozenset(f"anchor/{key}" for key in vantage.anchors)
    here = f"site/{vantage.site}"
    near = {subject for subject, needs in expected.items() if here in needs or subject == here}
    near |= {f"power/{key}" for key, entry in inventory.power_controllers.items() if entry.site == vantage.site}
    while wholes := {w for w, parts in ties.parts.items() if w not in near and parts and near.issuperset(parts)}:
        near |= wholes  # a group may be part of another one
    slow = {
        f"sensor/{key}"
        for key, sensor in inventory.sensors.items()
        if sensor.interval_s is not None and sensor.interval_s > inventory.polling.interval_s
    }
    others = expected.keys() - near - slow - anchors
    far = frozenset(each for each in others if not each.startswith(COMPOSITES) and not _inside_a_vcenter(each))
    return Rules(anchors, vantage.need, vantage.many_percent / 100, frozenset(near), far, inventory.polling.fail_after)
