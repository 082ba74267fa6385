"""Drift: what runs have set, by their journal, and what it is to be held against. Pure; ``drift_seen`` looks.

Of each thing that a step can set (a side's role, fence and power, where the service's name leads) the newest step that
succeeded counts, of whichever run; from the promotions follows where the system is active. A fence takes the ground
from under what was said of the power of machines before it: nothing runs there any more, whatever a vCenter calls it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from dr.journal.run import Run, StepRecord, StepState
from dr.playbook.foreign import TIERS

ACTIVE, ROLE, FENCE, TRAFFIC, POWER, VIP = "active", "role", "fence", "traffic", "power", "vip"
COMPARED = frozenset({ROLE, FENCE, TRAFFIC, POWER})
OF_A_SIDE = frozenset({ROLE, FENCE, POWER})
AND = ", "


class Agreement(StrEnum):
    """Whether what is observed is what was declared."""

    AGREES = "agrees"
    DRIFT = "drift"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Compared:
    """One thing that a step has set: ``field`` of the system at ``site`` is ``declared``, since ``at`` (Unix seconds).

    ``observed`` is empty where the agreement is unknown; ``why`` says what was looked at, or why nothing was seen.
    ``part`` names the tiers whose power it is; empty: of all of them.
    """

    system: str
    site: str
    field: str
    declared: str
    run: str
    step: str
    at: float
    observed: str = ""
    agreement: Agreement = Agreement.UNKNOWN
    why: str = ""
    part: str = ""

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Return what is compared, whatever its value."""
        return self.system, self.site if self.field in OF_A_SIDE else "", self.field, self.part

    @property
    def what(self) -> str:
        """Name what is compared within its system."""
        part = f" of {self.part}" if self.part else ""
        return f"{self.field}{part}" + (f" at {self.site}" if self.field in OF_A_SIDE else "")

    def sentence(self) -> str:
        """Say in what way the world is not as declared."""
        machines = f"{self.part} machines" if self.part else "machines"
        what = {
            ACTIVE: f"{self.system} belongs at {self.declared}",
            VIP: f"the address of {self.system} belongs at {self.declared}",
            TRAFFIC: f"the name of {self.system} leads to {self.declared}",
            ROLE: f"{self.system} at {self.site} is {self.declared}",
            FENCE: f"the fence of {self.system} at {self.site} is {self.declared}",
            POWER: f"the {machines} of {self.system} at {self.site} are {self.declared}",
        }[self.field]
        return f"{what} by step '{self.step}' of {self.run}, and {self.why}"


def declared(system: str, runs: Iterable[Run]) -> list[Compared]:
    """Return what steps have set of the system and no later one has set anew.

    Where the newest attempt is under way, has failed, is not known or was taken back, nothing is declared any more.
    """
    newest: dict[tuple[str, str, str, str], tuple[float, Compared | None]] = {}
    dark: dict[str, float] = {}  # by site, when a fence was last begun there, be it proven or not
    for run in runs:
        for record in run.steps.values() if run.system == system else ():
            if record.started_at is None:
                continue
            at = record.started_at if record.ended_at is None else record.ended_at
            holds = record.state is StepState.SUCCEEDED
            for one in _set(system, run.id, record, at):
                if one.key not in newest or at >= newest[one.key][0]:
                    newest[one.key] = at, one if holds else None
                if (one.field, one.declared) == (FENCE, "on"):
                    dark[one.site] = max(at, dark.get(one.site, at))
    stands = [one for _, one in newest.values() if one is not None]
    power = [one for one in stands if one.field == POWER and one.at > dark.get(one.site, float("-inf"))]
    found = [*(one for one in stands if one.field != POWER), *_together(power)]
    return sorted(found, key=lambda one: (one.field, one.site, one.part))


def _set(system: str, run: str, record: StepRecord, at: float) -> Iterator[Compared]:
    """Yield what a step sets, the power of each tier by itself; the action says what leads traffic: name or address."""
    for subject, field, value in record.plan.effects:
        site = subject.removeprefix(f"system/{system}/")
        if field not in COMPARED or site == subject:
            continue
        what = VIP if (field, record.plan.action) == (TRAFFIC, VIP) else field
        made = Compared(system, site, what, value, run, record.plan.id, at)
        if field == POWER:
            tier, _, state = value.rpartition("-")
            for each in (tier,) if tier else TIERS:
                yield replace(made, declared=state, part=each)
            continue
        yield made
        if record.plan.promotes:
            yield replace(made, field=ACTIVE, declared=site)


def _together(power: Iterable[Compared]) -> Iterator[Compared]:
    """Yield the power of tiers that one step has set alike as one thing."""
    found: dict[Compared, set[str]] = {}
    for one in power:
        found.setdefault(replace(one, part=""), set()).add(one.part)
    for whole, parts in found.items():
        yield whole if parts == set(TIERS) else replace(whole, part=AND.join(each for each in TIERS if each in parts))
