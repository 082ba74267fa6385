"""Which playbooks are VERIFIED for which system: every plan that a run of them could have, proven and young enough."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from dr.playbook.model import Plan
from dr.proof import Proof, fingerprint, missing
from monitor.inventory.recovery import Proofs


@dataclass(frozen=True, slots=True)
class Printed:
    """A plan with its fingerprint, which takes longer to work out than everything else here."""

    plan: Plan
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Verified:
    """One playbook for one system: ``lack`` says what is missing, empty where it is VERIFIED.

    ``proven_at`` is when the oldest of its plans was proven (Unix seconds), None while one of them is not.
    """

    playbook: str
    kind: str
    system: str
    lack: str
    proven_at: float | None


def printed(plans: Iterable[Plan]) -> tuple[Printed, ...]:
    """Return the plans with their fingerprints."""
    return tuple(Printed(plan, fingerprint(plan)) for plan in plans)


def verified(
    plans: Iterable[Printed], find: Callable[[str], Proof | None], wanted: Proofs, now: float
) -> tuple[Verified, ...]:
    """Return every playbook and system of ``plans``; ``find`` returns the proof of a fingerprint.

    A playbook may lead to several plans (a drill in both directions, a forced failover): all must be proven.
    """
    groups: dict[tuple[str, str], list[Printed]] = {}
    for each in plans:
        groups.setdefault((each.plan.playbook, each.plan.system), []).append(each)
    found = []
    for (playbook, system), group in groups.items():
        proofs = [find(each.fingerprint) for each in group]
        lacks = [missing(proof, each.plan, wanted, now) for proof, each in zip(proofs, group, strict=True)]
        ages = [proof.at for proof in proofs if proof is not None]
        proven_at = min(ages) if len(ages) == len(group) else None
        found.append(Verified(playbook, group[0].plan.kind, system, next(filter(None, lacks), ""), proven_at))
    return tuple(found)
