"""What readiness is said in: a light and one sentence for each check, and the worst of them for the system. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum


class Light(StrEnum):
    """The four answers. UNKNOWN is what nobody has found out; it is never taken for GREEN."""

    GREEN = "green"
    AMBER = "amber"
    UNKNOWN = "unknown"
    RED = "red"


WORST_LAST = (Light.GREEN, Light.AMBER, Light.UNKNOWN, Light.RED)

REPLICA = "replica"
MACHINES = "machines"
ACCESS = "access"
FENCE = "fence"
CAPACITY = "capacity"
PLAYBOOK = "playbook-"
DRILL = "drill"
BACKUPS = "backups"

STOOD_ON = frozenset({REPLICA, MACHINES, ACCESS, CAPACITY})
"""What a drill stands on: red there, it would fail half-way or show nothing. What is merely overdue is not among
them: a drill is the remedy for a drill that is overdue."""

NEEDED_ALONE = frozenset({MACHINES, ACCESS, CAPACITY})
"""What must be known to be well where a failover goes that nobody looks at. The copy's age is not among them: the guard
``rpo`` weighs it exactly, and the disaster itself cuts the copy off."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that a recovery needs. ``sentence`` says what was found, how old it is, and what to do."""

    name: str
    light: Light
    sentence: str


@dataclass(frozen=True, slots=True)
class Readiness:
    """How ready ``system`` is for a recovery to ``site``, where it stands by, as known at ``at`` (Unix seconds)."""

    system: str
    site: str
    at: float
    checks: tuple[Check, ...]

    @property
    def total(self) -> Light:
        """The worst of the checks."""
        return worst(check.light for check in self.checks)

    def red(self, names: Collection[str]) -> tuple[Check, ...]:
        """Return the red ones of these checks."""
        return tuple(check for check in self.checks if check.light is Light.RED and check.name in names)

    def uncertain(self, names: Collection[str]) -> tuple[Check, ...]:
        """Return those of these checks that are red, or of which nobody knows."""
        bad = {Light.RED, Light.UNKNOWN}
        return tuple(check for check in self.checks if check.light in bad and check.name in names)

    def amiss(self) -> tuple[Check, ...]:
        """Return what is not green, the worst first."""
        found = [check for check in self.checks if check.light is not Light.GREEN]
        return tuple(sorted(found, key=lambda check: -WORST_LAST.index(check.light)))

    def words(self) -> str:
        """Say in one sentence how it stands: what is red or unknown with its reason, what is amber by its name."""
        amiss = self.amiss()
        if not amiss:
            return f"{self.system} is ready for a recovery to {self.site}: all {len(self.checks)} checks are green"
        grave = [check for check in amiss if check.light is not Light.AMBER]
        names = [check.name for check in amiss if check.light is Light.AMBER]
        parts = (said(grave), f"amber: {', '.join(names)}" if names else "")
        return f"{self.system} is {self.total} for a recovery to {self.site}: {'; '.join(filter(None, parts))}"


def said(checks: Iterable[Check]) -> str:
    """Return checks with their sentences, one after the other."""
    return "; ".join(f"{check.name} {check.light} ({check.sentence})" for check in checks)


def worst(lights: Iterable[Light]) -> Light:
    """Return the worst of the lights; of nothing at all nothing is known."""
    return max(lights, key=WORST_LAST.index, default=Light.UNKNOWN)
