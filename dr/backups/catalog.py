"""The catalogue of backups: what the journal says was written, and which of it was proven by a restore.

It is a view over runs, kept nowhere else, so it cannot disagree with the journal.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dr.journal.run import Run, RunState, StepRecord, StepState


@dataclass(frozen=True, slots=True)
class Backup:
    """One backup with the manifest recorded when it was taken (Unix seconds, bytes, SHA-256 in hex).

    ``verified_at`` is when a restore last proved it, None while unproven; ``failed`` says why its newest
    verification did not pass (empty: it passed or was never tried).
    """

    id: str
    system: str
    taken_at: float
    records: int
    position: int
    newest_id: str
    size_bytes: int
    sha256: str
    run_id: str
    verified_at: float | None = None
    failed: str = ""


def catalog(runs: Iterable[Run], system: str) -> list[Backup]:
    """Return the system's backups, oldest first, with what later verifications said of them."""
    ordered = sorted(runs, key=lambda run: run.accepted_at)
    found: dict[str, Backup] = {}
    for run in ordered:
        if run.system == system and run.plan.kind == "backup":
            for record in run.steps.values():
                if record.plan.action == "backup" and record.state is StepState.SUCCEEDED:
                    backup = _backup(run, record)
                    if backup is not None:
                        found[backup.id] = backup
    for run in ordered:
        if run.system == system and run.plan.kind == "verify" and run.state.final:
            _judge(run, found)
    return sorted(found.values(), key=lambda backup: backup.taken_at)


def newest(runs: Iterable[Run], system: str) -> Backup | None:
    """Return the system's newest backup, proven or not; None when there is none."""
    backups = catalog(runs, system)
    return backups[-1] if backups else None


def proven_at(runs: Iterable[Run], system: str) -> float | None:
    """Return when the newest backup that a restore proved was taken: the proven recovery point. None: there is none."""
    proven = [backup.taken_at for backup in catalog(runs, system) if backup.verified_at is not None]
    return max(proven, default=None)


def _backup(run: Run, record: StepRecord) -> Backup | None:
    """Return the backup that the step wrote; None without its whole manifest, which a restore is held against."""
    out = record.outputs
    numbers = [out.get(name) for name in ("taken_at", "records", "position", "bytes")]
    texts = [out.get(name) for name in ("backup", "newest_id", "sha256")]
    whole = all(isinstance(one, (int, float)) for one in numbers) and all(isinstance(one, str) for one in texts)
    if not whole:
        return None
    return Backup(
        id=str(out["backup"]),
        system=run.system,
        taken_at=float(out["taken_at"]),
        records=int(out["records"]),
        position=int(out["position"]),
        newest_id=str(out["newest_id"]),
        size_bytes=int(out["bytes"]),
        sha256=str(out["sha256"]),
        run_id=run.id,
    )


def _judge(run: Run, found: dict[str, Backup]) -> None:
    """Write the outcome of a verification run into the backup that it was about; a canceled one found out nothing."""
    if run.state is RunState.CANCELED:
        return
    subject = next(
        (
            str(record.outputs["backup"])
            for record in run.steps.values()
            if record.plan.action == "backup_select" and record.state is StepState.SUCCEEDED
        ),
        None,
    )
    if subject is None or subject not in found or run.ended_at is None:
        return
    backup = found[subject]
    proved = run.state is RunState.SUCCEEDED
    found[subject] = Backup(
        **{
            **{name: getattr(backup, name) for name in Backup.__slots__},
            "verified_at": run.ended_at if proved else None,
            "failed": "" if proved else run.end_reason,
        }
    )
