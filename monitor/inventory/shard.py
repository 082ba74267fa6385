"""Which part of the estate one of several daemons watches: rendezvous hashing over lots that are judged together.

A lot is what must stay with one daemon so that it can judge and explain it: a crossing with its links; a site with
everything at it, since the site is judged by these and explains them; sites that a system joins; what a group joins.
Lots with key systems are the first daemon's, which alone does recovery. Each other lot goes to the shard whose number
hashes highest with the lot's name (highest random weight, Thaler and Ravishankar 1998): an (n+1)th shard takes about
1/(n+1) of the lots, and no lot moves between the others. Pure; the same on every machine and in every version.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from monitor.inventory.dependencies import depends_on, parts
from monitor.inventory.subjects import SECTIONS
from monitor.inventory.vantage import PostPoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from monitor.inventory.model import Inventory

MOST = 64
RECOVERY = "recovery"  # the lot of everything that key systems are judged and recovered with
_FIRST = ("site", "crossing")  # a lot is named after its first site or crossing, whatever else joins it
_WORDS = re.compile(r"([0-9]{1,3})/([0-9]{1,3})")


@dataclass(frozen=True, slots=True)
class Shard:
    """The ``number`` of a daemon, from 1, among the ``count`` that share the estate."""

    number: int = 1
    count: int = 1

    def __str__(self) -> str:
        """Return ``2/5``."""
        return f"{self.number}/{self.count}"

    @property
    def recovers(self) -> bool:
        """Return whether this daemon does recovery."""
        return self.number == 1


WHOLE = Shard()


def shard(text: str) -> Shard:
    """Return the shard that ``2/5`` names. Raises ValueError with a sentence."""
    found = _WORDS.fullmatch(text)
    if found is None:
        raise ValueError(f"'{text[:20]}' is not NUMBER/COUNT, such as 2/5")
    number, count = int(found[1]), int(found[2])
    if not 1 <= count <= MOST:
        raise ValueError(f"an estate is shared by 1 to {MOST} daemons, found {count}")
    if not 1 <= number <= count:
        raise ValueError(f"the number of a shard is from 1 to {count}, found {number}")
    return Shard(number, count)


def lots(inventory: Inventory) -> Mapping[str, str]:
    """Return the lot of every subject."""
    dependencies = depends_on(inventory)
    leader = {subject: subject for subject in dependencies}

    def find(subject: str) -> str:
        while leader.setdefault(subject, subject) != subject:
            leader[subject] = leader[leader[subject]]
            subject = leader[subject]
        return subject

    for joined in (dependencies, parts(inventory)):
        for subject, others in joined.items():
            for other in () if subject.startswith(_EVERYWHERE) else others:
                if other.startswith(_EVERYWHERE):
                    continue
                leader[find(subject)] = find(other)
    for key, point in inventory.vantage.points.items():  # looks at the key systems, for whoever recovers them
        seen = [f"system/{system}" for system in inventory.systems]
        for other in [*seen, f"crossing/{point.crossing}"] if isinstance(point, PostPoint) else seen:
            leader[find(f"vantage/{key}")] = find(other)
    members: dict[str, list[str]] = defaultdict(list)
    for subject in dependencies:
        members[find(subject)].append(subject)
    return {subject: name for found in members.values() for name in [_name(found)] for subject in found}


def home(lot: str, count: int) -> int:
    """Return the number of the shard that ``lot`` belongs to among ``count``."""
    if lot == RECOVERY:
        return 1
    return max(range(1, count + 1), key=lambda number: _weight(lot, number))


def part(inventory: Inventory, mine: Shard) -> Inventory:
    """Return the inventory with the entries whose subjects ``mine`` watches; what is no subject stays."""
    if mine.count == 1:
        return inventory
    own = {subject for subject, lot in lots(inventory).items() if home(lot, mine.count) == mine.number}
    kept: dict[str, Any] = {
        section: {key: entry for key, entry in getattr(inventory, section).items() if f"{kind}/{key}" in own}
        for kind, section in SECTIONS.items()
        if kind in _WHOLE and section in type(inventory).model_fields
    }
    kept["links"] = {key: pair for key, pair in inventory.links.items() if f"crossing/{key}" in own}
    kept["downtimes"] = {
        key: planned
        for key, planned in inventory.downtimes.items()
        if planned.subject in own or _vcenter_of(planned.subject) in own
    }
    if not mine.recovers:
        kept["vantage"] = inventory.vantage.model_copy(update={"points": {}})
    return inventory.model_copy(update=kept)


_WHOLE = frozenset(  # kinds whose subject is one entry of a section
    {"site", "vcenter", "host", "power", "dns", "system", "crossing", "sensor", "vote", "check", "group"}
)
_EVERYWHERE = "anchor/"  # asks after the daemon's own uplink, so every daemon has it


def _vcenter_of(subject: str) -> str:
    """Return the vCenter of a VM; the inventory need not list a VM whose downtime it plans. Empty for anything else."""
    kind, _, rest = subject.partition("/")
    return f"vcenter/{rest.partition('/')[0]}" if kind == "vm" else ""


def _name(members: Iterable[str]) -> str:
    found = sorted(members)
    if any(subject.startswith("system/") for subject in found):
        return RECOVERY
    named = [subject for kind in _FIRST for subject in found if subject.startswith(f"{kind}/")]
    return (named or found)[0]


def _weight(lot: str, number: int) -> bytes:
    return hashlib.blake2b(f"{lot}\0{number}".encode(), digest_size=16).digest()
