"""What the night proved, system by system, and what it did not: pure, from the runs, the policies and the time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dr.backups.catalog import MEANING, ONE_PLACE, Backup, catalog, newest_kept, newest_proven, owed
from dr.journal.run import Run, StepRecord, StepState
from monitor.inventory.backups import BackupPolicy
from monitor.inventory.systems import System

NEARLY_FULL = 0.2  # of the restored copy's size: the next, larger one may not fit
HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Proof:
    """A system's backups at one glance (Unix seconds; ages in seconds, None where there is none).

    ``proven_age_s`` is the proven RPO, ``nominal_age_s`` the age of the newest backup whatever became of it.
    ``newest`` is the newest backup, ``proven`` the newest that passed ``required``. ``copies`` counts the places that
    were seen to hold the newest backup, ``append_only`` whether one of them was seen to refuse its removal.
    ``findings`` is everything that is not as it should be, worst first, a sentence each. ``one_place`` names the
    backups that are to be in two places and are in one; one of ``findings`` is about them.
    """

    system: str
    name: str
    required: str
    objective_s: float
    newest: Backup | None
    proven: Backup | None
    proven_age_s: float | None
    nominal_age_s: float | None
    copies: int
    append_only: bool
    within_s: float
    findings: tuple[str, ...]
    one_place: tuple[str, ...]

    @property
    def well(self) -> bool:
        """Tell whether the newest backup is the proven one and nothing is amiss."""
        return not self.findings

    @property
    def met(self) -> bool:
        """Tell whether the proven recovery point is as young as the policy wants."""
        return self.proven_age_s is not None and self.proven_age_s <= self.objective_s


def proofs(runs: Iterable[Run], systems: Mapping[str, System], now: float) -> list[Proof]:
    """Return the proof of every system, those in trouble first, otherwise by priority."""
    every = tuple(runs)
    found = [(proof_of(every, key, system, now), system.priority) for key, system in systems.items()]
    return [proof for proof, _ in sorted(found, key=lambda one: (one[0].well, one[0].met, one[1], one[0].system))]


def proof_of(runs: Iterable[Run], key: str, system: System, now: float) -> Proof:
    """Return what is proven of one system's backups."""
    every = tuple(runs)
    backups = catalog(every, key)
    policy = system.backup
    newest, proven = newest_kept(backups), newest_proven(backups, policy.required_level)
    check = _newest_step(every, key, "copy_check")
    expire = _newest_step(every, key, "backup_expire")
    copies, append_only = _places(check, newest)
    alone = copies == 1 and policy.second_place is not None
    older = [] if policy.second_place is None else [one for one in owed(backups) if one is not newest]
    proven_age_s = None if proven is None else now - proven.taken_at
    findings = [
        *_of_proof(newest, proven, proven_age_s, policy),
        *_of_budgets(newest, policy),
        *_of_places(check, newest, older, policy),
        *(_sentence("retention", expire) if expire is not None else ()),
    ]
    return Proof(
        system=key,
        name=system.name,
        required=policy.required_level,
        objective_s=policy.max_age_s,
        newest=newest,
        proven=proven,
        proven_age_s=proven_age_s,
        nominal_age_s=None if newest is None else now - newest.taken_at,
        copies=copies,
        append_only=append_only,
        within_s=policy.verify_within_s,
        findings=tuple(findings),
        one_place=tuple(one.id for one in (*([newest] if newest is not None and alone else []), *older)),
    )


def _of_proof(
    newest: Backup | None, proven: Backup | None, proven_age_s: float | None, policy: BackupPolicy
) -> Iterable[str]:
    if newest is None:
        yield "no backup was ever taken"
        return
    if newest.fell_at:
        yield f"the newest backup {newest.id} fell at {newest.fell_at} ({MEANING[newest.fell_at]}): {newest.failed}"
    elif newest.failed:
        yield f"the newest backup {newest.id} is not proven: {newest.failed}"
    elif newest.verified_at is None:
        yield f"the newest backup {newest.id} was not verified yet"
    elif newest.required and newest.level < policy.required_level:
        yield f"the newest backup {newest.id} is proven to {newest.level}; {policy.required_level} is required by now"
    if proven is None:
        yield f"no backup is proven to {policy.required_level}: a loss now could not be made good for certain"
    elif proven_age_s is not None and proven_age_s > policy.max_age_s:
        allowed = f"the policy allows {policy.max_age_s / HOUR_S:.0f} h"
        yield f"the newest proven backup is {proven_age_s / HOUR_S:.1f} h old; {allowed}"


def _of_budgets(newest: Backup | None, policy: BackupPolicy) -> Iterable[str]:
    if newest is None or not newest.verify_run:
        return
    if newest.took_s > policy.verify_within_s:
        yield f"its verification took {newest.took_s:.0f} s; the time budget is {policy.verify_within_s:.0f} s"
    if newest.restored_bytes and newest.free_bytes < newest.restored_bytes * NEARLY_FULL:
        left = f"{newest.free_bytes / 1e6:.0f} MB beside a copy of {newest.restored_bytes / 1e6:.0f} MB"
        yield f"the scratch disk is nearly full: it had {left}"


def _of_places(
    check: StepRecord | None, newest: Backup | None, older: Sequence[Backup], policy: BackupPolicy
) -> Iterable[str]:
    """Say once what is in one place only; a second place that could not be looked at is then why."""
    if policy.store is not None and policy.second_place is None:
        yield "its backups are in one place only: the inventory has no second_place"
    if policy.second_place is None or newest is None:
        return
    alone = _places(check, newest)[0] == 1
    names = ", ".join(one.id for one in older)
    rest = f"so {'is' if len(older) == 1 else 'are'} {len(older)} older: {names}" if older else ""
    if alone and newest.copied_at is None:
        because = newest.one_place or (check.why if check is not None and _since(check, newest) else "")
        said = f"the newest backup {newest.id} is {ONE_PLACE}: {because or 'it was not copied yet'}"
        yield f"{said}; {rest}" if rest else said
        return
    if check is not None:
        yield from _sentence("second place", check)
    if older:
        what = "an older backup is" if len(older) == 1 else f"{len(older)} older backups are"
        yield f"{what} {ONE_PLACE}: {names}; the next backup or verification copies what is owed"


def _sentence(what: str, record: StepRecord) -> tuple[str, ...]:
    if record.state in {StepState.SUCCEEDED, StepState.QUEUED, StepState.IN_PROGRESS, StepState.SKIPPED}:
        return ()
    return (f"{what}: {record.reason or record.evidence or record.state.value}",)


def _places(check: StepRecord | None, newest: Backup | None) -> tuple[int, bool]:
    """Return in how many places the newest backup is, and whether one of them was seen to be append-only."""
    if newest is None:
        return 0, False
    well = check is not None and check.state is StepState.SUCCEEDED
    append_only = well and check is not None and bool(check.outputs.get("append_only"))
    if check is not None and _since(check, newest):
        return (int(check.outputs.get("copies", 1)), append_only) if well else (1, False)
    return (1, False) if newest.copied_at is None else (2, append_only)


def _since(check: StepRecord, newest: Backup) -> bool:
    """Tell whether the second place was looked at after the backup was taken, and after any copy of it was written."""
    return (check.ended_at or 0.0) >= max(newest.taken_at, newest.copied_at or 0.0)


def _newest_step(runs: Iterable[Run], system: str, action: str) -> StepRecord | None:
    """Return the step of that action in the newest run that tried it."""
    tried = [
        (run.accepted_at, record)
        for run in runs
        if run.system == system and run.state.final
        for record in run.steps.values()
        if record.plan.action == action and record.attempt
    ]
    return max(tried, key=lambda one: one[0])[1] if tried else None
