"""In which order the systems of one request are moved: what a system depends on first, then by priority. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from dr.errors import RunRefused


class Ordered(Protocol):
    """What is asked of a system (``monitor.inventory.systems.System`` has it)."""

    @property
    def priority(self) -> int:
        """1 is moved first."""
        ...

    @property
    def depends_on(self) -> tuple[str, ...]:
        """The systems that it cannot work without."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where a system stands: its ``group`` (1 begins first) and which of the others it waits for (``needs``)."""

    system: str
    group: int
    needs: tuple[str, ...]


def in_order(names: Collection[str], systems: Mapping[str, Ordered]) -> tuple[Place, ...]:
    """Return the places of ``names``, the first to begin first. Raises RunRefused when they wait in a circle.

    A system that others of a more urgent priority wait for is as urgent as they are. A dependency that leads through
    a system which is not among ``names`` counts all the same.
    """
    needs = {name: _needs(name, names, systems) for name in systems if name in names}
    urgency = {name: systems[name].priority for name in needs}
    for name in needs:
        for need in _all(name, needs):
            urgency[need] = min(urgency[need], systems[name].priority)
    groups = {urgent: number for number, urgent in enumerate(sorted(set(urgency.values())), 1)}
    placed: list[Place] = []
    left = sorted(needs, key=lambda name: (urgency[name], systems[name].priority, name))
    while left:
        done = {place.system for place in placed}
        following = next((name for name in left if done.issuperset(needs[name])), None)
        if following is None:
            raise RunRefused("order", f"{', '.join(left)} wait for one another; correct their depends_on")
        left.remove(following)
        placed.append(Place(following, groups[urgency[following]], needs[following]))
    return tuple(placed)


def _needs(name: str, names: Collection[str], systems: Mapping[str, Ordered]) -> tuple[str, ...]:
    """Return which of ``names`` the system waits for, looking through those that are not among them."""
    found: list[str] = []
    seen: set[str] = set()
    stack = list(reversed(systems[name].depends_on))
    while stack:
        other = stack.pop()
        if other in seen or other not in systems:
            continue
        seen.add(other)
        if other in names:
            found.append(other)
        else:
            stack.extend(reversed(systems[other].depends_on))
    return tuple(found)


def _all(name: str, needs: Mapping[str, tuple[str, ...]]) -> set[str]:
    found: set[str] = set()
    stack = list(needs[name])
    while stack:
        other = stack.pop()
        if other not in found:
            found.add(other)
            stack.extend(needs[other])
    return found
