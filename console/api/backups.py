"""Backups: the catalogue, what is proven of each system, and the morning's message."""

from __future__ import annotations

from fastapi import APIRouter, Request

from console.api.desk import Desk, desk_of
from console.api.views import SCHEMA, View
from dr.backups import morning
from dr.backups.catalog import catalog
from dr.backups.proof import Proof, proofs

router = APIRouter(prefix="/api/backups")


class BackupView(View):
    """A backup and what its newest verification said; see ``dr.backups.catalog.Backup``."""

    id: str
    system: str
    taken_at: float
    records: int
    size_bytes: int
    sha256: str
    run_id: str
    verified_at: float | None
    failed: str
    level: str
    fell_at: str
    required: str
    verify_run: str
    took_s: float
    restored_bytes: int
    free_bytes: int
    removed_at: float | None
    copied_at: float | None
    one_place: str


class ProofView(View):
    """What is proven of a system's backups; see ``dr.backups.proof.Proof``. Backups by id."""

    system: str
    name: str
    required: str
    objective_s: float
    newest: str | None
    proven: str | None
    proven_age_s: float | None
    nominal_age_s: float | None
    met: bool
    well: bool
    copies: int
    append_only: bool
    within_s: float
    findings: list[str]
    one_place: list[str]


class BackupsReply(View):
    """The catalogue, newest first, and what is proven of each system, those in trouble first."""

    schema_version: int = SCHEMA
    at: float
    backups: list[BackupView]
    proofs: list[ProofView]


class MorningReply(View):
    """The morning's message as it would be sent now."""

    schema_version: int = SCHEMA
    at: float
    subject: str
    text: str


@router.get("")
async def backups(request: Request) -> BackupsReply:
    """Return the catalogue of backups and what is proven."""
    desk = desk_of(request)
    runs = desk.orchestrator.runs()
    entries = [entry for key in desk.inventory.systems for entry in catalog(runs, key)]
    return BackupsReply(
        at=desk.clock.now(),
        backups=[
            BackupView(**{name: getattr(entry, name) for name in BackupView.model_fields})
            for entry in sorted(entries, key=lambda entry: entry.taken_at, reverse=True)
        ],
        proofs=[_proof_view(proof) for proof in proofs_of(desk)],
    )


@router.get("/morning")
async def morning_message(request: Request) -> MorningReply:
    """Return the morning's message."""
    desk = desk_of(request)
    found = proofs_of(desk)
    return MorningReply(at=desk.clock.now(), subject=morning.subject(found), text=morning.text(found, desk.title))


def proofs_of(desk: Desk) -> list[Proof]:
    """Return what is proven of every system now, those in trouble first."""
    return proofs(desk.orchestrator.runs(), desk.inventory.systems, desk.clock.now())


def _proof_view(proof: Proof) -> ProofView:
    lists = {name: list(getattr(proof, name)) for name in ("findings", "one_place")}
    names = {"newest": proof.newest, "proven": proof.proven}
    plain = {name: getattr(proof, name) for name in ProofView.model_fields if name not in {*names, *lists}}
    ids = {name: None if backup is None else backup.id for name, backup in names.items()}
    return ProofView(**plain, **ids, **lists)
