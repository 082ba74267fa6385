"""The morning's message: what last night proved and what it did not, one line a system, in words. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from dr.backups.catalog import ONE_PLACE
from dr.backups.proof import Proof

HOUR_S = 3600.0


def subject(proofs: Sequence[Proof]) -> str:
    """Return the message's one line: ``Backups: 3 of 4 proven, EXIM is not``."""
    bad = [proof.name for proof in proofs if not proof.well]
    proven = sum(proof.met for proof in proofs)
    head = f"Backups: {proven} of {len(proofs)} proven as young as they must be"
    return head if not bad else f"{head}; look at {', '.join(bad)}"


def text(proofs: Sequence[Proof], estate: str) -> str:
    """Return the whole message, those in trouble first."""
    lines = [f"{subject(proofs)}.", f"Estate: {estate}", ""]
    for proof in proofs:
        lines += _of(proof)
    lines += ["What to do: karaula backups; docs/runbooks/KaraulaBackupNotProven.md"]
    return "\n".join(lines) + "\n"


def _of(proof: Proof) -> list[str]:
    newest = proof.newest
    proven = "none" if proof.proven_age_s is None else f"{proof.proven_age_s / HOUR_S:.1f} h"
    nominal = "there is none" if proof.nominal_age_s is None else f"{proof.nominal_age_s / HOUR_S:.1f} h old"
    level = f"{newest.level or 'none'} of {proof.required}" if newest is not None and newest.verify_run else "not tried"
    lines = [
        f"{proof.name} ({proof.system}): {'proven' if proof.well else 'NOT AS IT SHOULD BE'}",
        f"  proven RPO {proven} of at most {proof.objective_s / HOUR_S:.0f} h, newest backup: {nominal}",
        f"  its level {level}; {_places(proof)}",
    ]
    if newest is not None and newest.verify_run:
        room = f", restored {_mb(newest.restored_bytes)}, free beside it {_mb(newest.free_bytes)}"
        took = f"  verification took {newest.took_s:.0f} s of at most {proof.within_s:.0f} s"
        lines.append(took + (room if newest.restored_bytes else ""))
    return [*lines, *(f"  ! {finding}" for finding in proof.findings), ""]


def _places(proof: Proof) -> str:
    if proof.one_place and proof.copies == 1:
        return ONE_PLACE
    if proof.copies < 2:  # noqa: PLR2004 - the second of 3-2-1
        return "in one place" if proof.copies else "in no place"
    return f"in {proof.copies} places, one of them " + (
        "append-only" if proof.append_only else "not proven append-only"
    )


def _mb(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
