"""Who may have what done: the inventory's rights, asked in one place. An inventory without any lets everybody.

A right is a name's, for deeds, kinds of run and systems. Where names are not proven (docs/decisions/0006) it keeps
people from what is not theirs to decide, not a liar; ``proven`` rights are asked about in ``console.api.actor``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from dr.errors import RunRefused
from dr.journal.joint import Joint
from dr.journal.names import same_person
from dr.journal.override import BLACKOUT, READINESS, SAFETY
from dr.journal.run import Run, RunState
from monitor.inventory.model import Inventory
from monitor.inventory.recovery import EVERYBODY, KINDS, WINDOW_KINDS, Right
from monitor.inventory.rules import DAEMON

Rights = Mapping[str, Right]
NOBODY = "nobody"
LISTED = 8


class Deed(StrEnum):
    """What a right is for."""

    REQUEST = "request"
    APPROVE = "approve"
    STEER = "steer"
    OVERRIDE = "override"


DECISIONS: Mapping[str, Deed] = {"approve": Deed.APPROVE, "deny": Deed.APPROVE, "accept-loss": Deed.APPROVE}
"""What a decision about a run needs a right to; every other one steers it."""


def may(rights: Rights, who: str, deed: Deed, kind: str, system: str) -> bool:
    """Tell whether ``who`` has a right to ``deed`` for runs of ``kind`` and ``system``."""
    names = holders(rights, deed, kind, system)
    return EVERYBODY in names or _among(who, names)


def holders(rights: Rights, deed: Deed, kind: str, system: str) -> tuple[str, ...]:
    """Return who has that right, each once, as the inventory lists them; ``everybody`` alone where all have."""
    if not rights:
        return (EVERYBODY,)
    found = [name for right in rights.values() if right.covers(deed, kind, system) for name in right.people]
    if EVERYBODY in found:
        return (EVERYBODY,)
    return tuple({name.casefold(): name for name in reversed(found)}.values())[::-1]


def others(rights: Rights, deed: Deed, kind: str, system: str, than: str) -> tuple[str, ...]:
    """Return who beside ``than`` has that right."""
    return tuple(name for name in holders(rights, deed, kind, system) if not same_person(name, than))


def lacking(rights: Rights, who: str, deed: Deed, kind: str, systems: Iterable[str]) -> str:
    """Say what right ``who`` lacks, and who has it; empty: none."""
    for system in systems:
        if not may(rights, who, deed, kind, system):
            whose = listed(holders(rights, deed, kind, system))
            return (
                f"{who} may not {deed} a {kind} of {system}: the inventory gives that right to {whose} "
                f"(karaula rights {system})"
            )
    return ""


def demand(rights: Rights, who: str, deed: Deed, kinds: Iterable[str], systems: Iterable[str]) -> None:
    """See that ``who`` has the right for every one of ``kinds`` and ``systems``. Raises RunRefused."""
    names = tuple(systems)
    for kind in kinds:
        if lack := lacking(rights, who, deed, kind, names):
            raise RunRefused("rights", lack)


def demand_decision(rights: Rights, who: str, decision: str, asked: Run | Joint) -> None:
    """See that ``who`` may decide that of a run; who asked for it may cancel it while it waits. Raises RunRefused."""
    begun = asked.state not in {RunState.ACCEPTED, RunState.WAITING}
    if decision == "cancel" and not begun and same_person(who, asked.requester):
        return
    demand(rights, who, DECISIONS.get(decision, Deed.STEER), (asked.plan.kind,), _systems(asked))


def must_be_proven(rights: Rights, name: str) -> bool:
    """Tell whether ``name`` is taken from nobody but the account of that name."""
    return any(right.proven and _among(name, right.people) for right in rights.values())


def overrides(rights: Rights, who: str, run: Run) -> bool:
    """Tell whether an override by ``who`` counts for ``run``."""
    return may(rights, who, Deed.OVERRIDE, run.plan.kind, run.system)


def kinds_of(rule: str, system: str, inventory: Inventory) -> tuple[str, ...]:
    """Return the kinds of run that the rule stands in the way of, for that system."""
    if rule == READINESS:
        return ("drill",)
    if rule == BLACKOUT:
        held = {kind for each in inventory.windows.values() for kind in each.kinds if each.covers(kind, system)}
        return tuple(kind for kind in WINDOW_KINDS if kind in held) or WINDOW_KINDS
    if rule.startswith(SAFETY):
        return inventory.safety[rule.removeprefix(SAFETY)].kinds or KINDS
    return tuple(kind for kind in KINDS if kind not in WINDOW_KINDS)


def approvers(rights: Rights, asked: Run | Joint) -> str:
    """Return who may approve what was asked for, in words; empty when it waits for no approval."""
    if asked.state != RunState.WAITING or asked.approved_by:
        return ""
    sets = [others(rights, Deed.APPROVE, asked.plan.kind, system, asked.requester) for system in _systems(asked)]
    named = [names for names in sets if EVERYBODY not in names]
    if not named:
        return "anybody" if asked.requester == DAEMON else f"anybody but {asked.requester}"
    return listed(tuple(name for name in named[0] if all(_among(name, names) for names in named[1:])))


def _among(who: str, names: Iterable[str]) -> bool:
    return any(same_person(who, name) for name in names)


def _systems(asked: Run | Joint) -> list[str]:
    return [member.system for member in asked.plan.members] if isinstance(asked, Joint) else [asked.system]


def listed(names: tuple[str, ...]) -> str:
    """Return the names in a sentence; ``nobody`` when there is none."""
    shown = names if len(names) <= LISTED else (*names[: LISTED - 1], f"{len(names) - LISTED + 1} more")
    return ", ".join(shown) or NOBODY
