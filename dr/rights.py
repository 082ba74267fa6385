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
    return _once(name for right in rights.values() if right.covers(deed, kind, system) for name in right.people)


def _once(names: Iterable[str]) -> tuple[str, ...]:
    found = list(names)
    if EVERYBODY in found:
        return (EVERYBODY,)
    return tuple({name.casefold(): name for name in reversed(found)}.values())[::-1]


def others(rights: Rights, deed: Deed, kind: str, system: str, than: str) -> tuple[str, ...]:
    """Return who beside ``than`` has that right."""
    return tuple(name for name in holders(rights, deed, kind, system) if not same_person(name, than))


def lacking(rights: Rights, who: str, deed: Deed, kind: str, systems: Iterable[str]) -> str:
    """Say what right ``who`` lacks for one of ``systems``, and who has it; empty: none."""
    return next(filter(None, (lacking_all(rights, who, deed, (kind,), system) for system in systems)), "")


def lacking_all(rights: Rights, who: str, deed: Deed, kinds: Iterable[str], system: str) -> str:
    """Say that ``who`` has the right for none of ``kinds``, and who has it for one; empty: ``who`` has."""
    names = tuple(kinds)
    if any(may(rights, who, deed, kind, system) for kind in names):
        return ""
    whose = listed(_once(name for kind in names for name in holders(rights, deed, kind, system)))
    return (
        f"{who} may not {deed} a {' or '.join(names)} of {system}: the inventory gives that right to {whose} "
        f"(karaula rights {system})"
    )


def demand_decision(rights: Rights, who: str, decision: str, asked: Run | Joint) -> None:
    """See that ``who`` may decide that of a run. Raises RunRefused.

    Who asked for it may cancel it while it waits, unless it has taken the place of what an alarm had prepared: that
    would be gone with it.
    """
    own = same_person(who, asked.requester) and not (isinstance(asked, Joint) and asked.replaces)
    if decision == "cancel" and own and asked.state in {RunState.ACCEPTED, RunState.WAITING}:
        return
    if lack := lacking(rights, who, DECISIONS.get(decision, Deed.STEER), asked.plan.kind, _systems(asked)):
        raise RunRefused("rights", lack)


def by_right(rights: Rights, who: str, deed: Deed, kind: str, system: str) -> str:
    """Say by which of the inventory's entries ``who`` has that right, to stand behind the name; empty without any."""
    covering = [key for key, right in rights.items() if right.covers(deed, kind, system)]
    named = [key for key in covering if _among(who, rights[key].people)]
    found = named or [key for key in covering if EVERYBODY in rights[key].people]
    return f" (rights: {listed(tuple(found))})" if found else ""


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
        found = inventory.safety.get(rule.removeprefix(SAFETY))  # None: a reload has taken the rule away
        return (found.kinds if found is not None else ()) or KINDS
    return tuple(kind for kind in KINDS if kind not in WINDOW_KINDS)


def approvers(rights: Rights, asked: Run | Joint) -> str:
    """Return who may approve what was asked for, in words; empty when it waits for no approval."""
    if asked.state != RunState.WAITING or asked.approved_by:
        return ""
    sets = [others(rights, Deed.APPROVE, asked.plan.kind, system, asked.requester) for system in _systems(asked)]
    found = _in_all(sets)
    if EVERYBODY in found:
        return "anybody" if asked.requester == DAEMON else f"anybody but {asked.requester}"
    return listed(found)


def none_for_all(rights: Rights, kind: str, systems: Iterable[str], requester: str) -> str:
    """Say that no one person may approve a run of all ``systems`` that ``requester`` asks for; empty: somebody may."""
    sets = {system: others(rights, Deed.APPROVE, kind, system, requester) for system in systems}
    if _in_all(list(sets.values())):
        return ""
    each = "; ".join(f"{system}: {listed(names)}" for system, names in sets.items())
    return (
        f"one person has to approve a joint {kind}, and the inventory lets nobody approve all of it ({each}); ask for "
        "those apart that have other approvers"
    )


def _in_all(sets: list[tuple[str, ...]]) -> tuple[str, ...]:
    """Return who is among all of the sets, as the first that names people has them; everybody where none does."""
    named = [names for names in sets if EVERYBODY not in names]
    if not named:
        return (EVERYBODY,)
    return tuple(name for name in named[0] if all(_among(name, names) for names in named[1:]))


def _among(who: str, names: Iterable[str]) -> bool:
    return any(same_person(who, name) for name in names)


def _systems(asked: Run | Joint) -> list[str]:
    return [member.system for member in asked.plan.members] if isinstance(asked, Joint) else [asked.system]


def listed(names: tuple[str, ...]) -> str:
    """Return the names in a sentence; ``nobody`` when there is none."""
    shown = names if len(names) <= LISTED else (*names[: LISTED - 1], f"{len(names) - LISTED + 1} more")
    return ", ".join(shown) or NOBODY
