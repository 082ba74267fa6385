"""What the overview says of everything that has no table of its own: per kind how many are how, and which are not well.

What a standing alarm explains, and what the monitor cannot see while it is itself cut off, is counted and not listed:
one lost site must not push the rest off a telephone's screen. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from console.terminal.kinds import called, ordered
from console.web.overview import WORST_FIRST
from monitor.alarms.inhibit import EXPLAINS
from monitor.status.alarm import Alarm
from monitor.status.isolation import ISOLATED
from monitor.status.sight import INSIDE_A_VCENTER
from monitor.status.state import Health, Status

SHOWN_ELSEWHERE = frozenset({"system", "site", "crossing", "link", "sensor", "vote"})
LISTED = 4


@dataclass(frozen=True, slots=True)
class Kind:
    """All subjects of one kind of which not every one is well.

    ``counts`` are how many are how, worst first, none that is nought; ``listed`` the worst that nothing explains,
    ``more`` how many of those are not listed, ``explained`` how many something else explains.
    """

    kind: str
    title: str
    counts: tuple[tuple[Health, int], ...]
    listed: tuple[Status, ...]
    more: int
    explained: int


@dataclass(frozen=True, slots=True)
class Rest:
    """The kinds in trouble, and in words those of which every subject is well: ``30 VMs``."""

    amiss: tuple[Kind, ...]
    well: tuple[str, ...]


def rest(statuses: Mapping[str, Status], alarms: Collection[Alarm], depends_on: Mapping[str, tuple[str, ...]]) -> Rest:
    """Return how everything is that the page shows nowhere else; ``depends_on`` as ``dependencies.ties`` gives it."""
    kinds: dict[str, list[Status]] = {}
    for status in statuses.values():
        kind = status.subject.partition("/")[0]
        if kind not in SHOWN_ELSEWHERE:
            kinds.setdefault(kind, []).append(status)
    caused = {alarm.subject for alarm in alarms if alarm.cause}
    explaining = {alarm.subject for alarm in alarms if alarm.name in EXPLAINS}
    amiss, well = [], []
    for kind in ordered(kinds):
        found = kinds[kind]
        if all(status.health is Health.OK for status in found):
            well.append(f"{len(found)} {called(kind, len(found))}")
            continue
        bad = [status for status in found if status.health is not Health.OK]
        own = [status for status in bad if not _explained(status, caused, explaining, depends_on)]
        own.sort(key=lambda status: (WORST_FIRST.index(status.health), status.since, status.subject))
        amiss.append(
            Kind(
                kind,
                title(kind),
                counted(found),
                tuple(own[:LISTED]),
                len(own) - len(own[:LISTED]),
                len(bad) - len(own),
            )
        )
    return Rest(tuple(amiss), tuple(well))


def title(kind: str) -> str:
    """Return a kind as a heading: ``Name servers``; ``vCenters`` is written so."""
    name = called(kind, 2)
    return name if name[1:2].isupper() else name[:1].upper() + name[1:]


def counted(found: Iterable[Status]) -> tuple[tuple[Health, int], ...]:
    """Return how many are how, worst first."""
    healths = [status.health for status in found]
    return tuple((health, count) for health in WORST_FIRST if (count := healths.count(health)))


def _explained(
    status: Status,
    caused: Collection[str],
    explaining: Collection[str],
    depends_on: Mapping[str, tuple[str, ...]],
) -> bool:
    """Tell whether an alarm above already says why, also before the subject's own alarm is raised."""
    if status.subject in caused or status.detail == ISOLATED:
        return True
    if status.subject in explaining:
        return False
    return any(each in explaining for each in _needs(status.subject, depends_on))


def _needs(subject: str, depends_on: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return what a subject depends on; one that the inventory does not name, on the vCenter that told of it."""
    kind, _, rest_of_it = subject.partition("/")
    if subject in depends_on or kind not in INSIDE_A_VCENTER:
        return depends_on.get(subject, ())
    vcenter = f"vcenter/{rest_of_it.partition('/')[0]}"
    return (vcenter, *depends_on.get(vcenter, ()))
