"""The catalogue of backups: what the journal says was written, and to which level each was proven.

It is a view over runs, kept nowhere else, so it cannot disagree with the journal. A verification goes up the levels;
the level that the inventory required stands in the run itself, so a later change of the inventory proves nothing anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from types import MappingProxyType

from dr.journal.run import Run, RunState, StepRecord, StepState

LEVELS = ("L0", "L1", "L2", "L3", "L4")
LEVEL_OF: Mapping[str, str] = MappingProxyType(
    {
        "backup_select": "L0",
        "backup_check": "L1",
        "restore": "L2",
        "restore_start": "L3",
        "restore_check": "L4",
    }
)
MANIFEST = ("backup", "sha256", "bytes", "records", "position", "newest_id")
OUTPUT = re.compile(r"\$\{steps\.([^.}]+)\.([^.}]+)\}")
MEANING: Mapping[str, str] = MappingProxyType(
    {
        "L0": "exists and is fresh",
        "L1": "its checksums hold",
        "L2": "restores",
        "L3": "boots",
        "L4": "answers as it did when it was taken",
    }
)
ONE_PLACE = "taken, in one place only"  # what is said of it wherever it is shown


@dataclass(frozen=True, slots=True)
class Backup:
    """One backup with the manifest recorded when it was taken (Unix seconds, bytes, SHA-256 in hex).

    ``verified_at`` is when a restore last proved it, None while unproven; ``failed`` says why its newest verification
    did not pass (empty: it passed or was never tried), ``level`` how far it came (empty: not even L0), ``fell_at`` at
    which level it stopped, ``required`` what it had to pass. ``took_s`` is that verification's length, and
    ``restored_bytes`` and ``free_bytes`` are what the restored copy took and what its disk had left, 0 where unknown.
    ``removed_at`` is when retention removed it, ``copied_at`` when a second place was given it; ``one_place`` says why
    that was to be done when it was taken and has not been (empty: it was done, was not asked for, or is under way).
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
    level: str = ""
    fell_at: str = ""
    required: str = ""
    verify_run: str = ""
    took_s: float = 0.0
    restored_bytes: int = 0
    free_bytes: int = 0
    removed_at: float | None = None
    copied_at: float | None = None
    one_place: str = ""


def catalog(runs: Iterable[Run], system: str) -> list[Backup]:
    """Return the system's backups, oldest first, with what later verifications said of them; removed ones as well."""
    ordered = sorted((run for run in runs if run.system == system), key=lambda run: run.accepted_at)
    found: dict[str, Backup] = {}
    for run in ordered:
        for record in run.steps.values():
            if record.plan.action == "backup" and record.state is StepState.SUCCEEDED:
                backup = _backup(run, record)
                if backup is not None:
                    found[backup.id] = replace(backup, one_place=_not_copied(run, backup.id))
    for run in ordered:
        for record in run.steps.values():
            if record.state is StepState.SUCCEEDED:
                _kept(record, found)
        if run.plan.kind == "verify" and run.state.final:
            _judge(run, found)
    return sorted(found.values(), key=lambda backup: backup.taken_at)


def newest(runs: Iterable[Run], system: str) -> Backup | None:
    """Return the system's newest backup that is still kept, proven or not; None when there is none."""
    return newest_kept(catalog(runs, system))


def newest_kept(backups: Iterable[Backup]) -> Backup | None:
    """Return the newest of ``backups`` that was not removed."""
    return max((one for one in backups if one.removed_at is None), key=lambda one: one.taken_at, default=None)


def newest_proven(backups: Iterable[Backup], required: str = "") -> Backup | None:
    """Return the newest backup that passed the level required of it and is still kept: the proven recovery point.

    One that was proven when less was required than ``required`` now is none.
    """
    proven = [one for one in backups if one.verified_at is not None and one.removed_at is None]
    proven = [one for one in proven if not one.required or one.level >= required]
    return max(proven, key=lambda one: one.taken_at, default=None)


def proven_at(runs: Iterable[Run], system: str, required: str = "") -> float | None:
    """Return when the newest backup that a restore proved was taken: the proven recovery point. None: there is none."""
    proven = newest_proven(catalog(runs, system), required)
    return None if proven is None else proven.taken_at


def _backup(run: Run, record: StepRecord) -> Backup | None:
    """Return the backup that the step wrote; None without its whole manifest, which a restore is held against.

    No backup is younger than the step that wrote it, whatever the clock said where it was taken: else it would pass
    for the newest, and for fresh, until that time has come.
    """
    out = record.outputs
    numbers = [out.get(name) for name in ("taken_at", "records", "position", "bytes")]
    texts = [out.get(name) for name in ("backup", "newest_id", "sha256")]
    whole = all(isinstance(one, (int, float)) for one in numbers) and all(isinstance(one, str) for one in texts)
    if not whole:
        return None
    return Backup(
        id=str(out["backup"]),
        system=run.system,
        taken_at=min(float(out["taken_at"]), inf if record.ended_at is None else record.ended_at),
        records=int(out["records"]),
        position=int(out["position"]),
        newest_id=str(out["newest_id"]),
        size_bytes=int(out["bytes"]),
        sha256=str(out["sha256"]),
        run_id=run.id,
    )


def _kept(record: StepRecord, found: dict[str, Backup]) -> None:
    """Write down what a step of retention removed and what one of copying copied."""
    if record.plan.action == "backup_expire":
        for name in str(record.outputs.get("removed", "")).split():
            if name in found:
                found[name] = replace(found[name], removed_at=record.ended_at)
    if record.plan.action == "backup_copy":
        for name in str(record.outputs.get("copied", "")).split():
            if name in found:
                found[name] = replace(found[name], copied_at=record.ended_at, one_place="")


def _not_copied(run: Run, backup: str) -> str:
    """Say why the run that took the backup did not copy it although it was to; empty where it may still do so."""
    copy = next((one for one in run.steps.values() if one.plan.action == "backup_copy"), None)
    if copy is None or copy.state is StepState.SUCCEEDED or not run.state.final:
        return ""
    said = copy.why or copy.evidence or run.end_reason
    return said.removeprefix(f"{backup} is {ONE_PLACE}: ") or "its run ended before the copy began"


def owed(backups: Iterable[Backup]) -> list[Backup]:
    """Return those of ``backups`` that are to be in two places and are in one, the newest first."""
    missing = [one for one in backups if one.one_place and one.removed_at is None]
    return sorted(missing, key=lambda one: one.taken_at, reverse=True)


def _judge(run: Run, found: dict[str, Backup]) -> None:
    """Write the outcome of a verification run into the backup that it was about; a canceled one found out nothing."""
    if run.state is RunState.CANCELED or run.ended_at is None:
        return
    select = next((one for one in run.steps.values() if one.plan.action == "backup_select"), None)
    if select is None or select.state is not StepState.SUCCEEDED:
        return
    backup = found.get(str(select.outputs["backup"]))
    if backup is None:
        return
    level, fell_at, why = climbed(run)
    proved, required = proves(run, select), str(select.outputs.get("required_level", ""))
    restored = next((one for one in run.steps.values() if one.plan.action == "restore"), None)
    room = restored.outputs if restored is not None else {}
    found[backup.id] = replace(
        backup,
        verified_at=run.ended_at if proved else None,
        failed=why or ("" if proved else run.end_reason or f"{required} was not reached"),
        level=level,
        fell_at=fell_at,
        required=required,
        verify_run=run.id,
        took_s=run.ended_at - (run.started_at or run.ended_at),
        restored_bytes=_whole(room.get("restored_bytes")),
        free_bytes=_whole(room.get("free_bytes")),
    )


def proves(run: Run, select: StepRecord) -> bool:
    """Tell whether the verification passed the level that it was required to; ``select`` is its step that chose."""
    required = str(select.outputs.get("required_level", ""))
    return climbed(run)[0] >= required if required in LEVELS else run.state is RunState.SUCCEEDED


def climbed(run: Run) -> tuple[str, str, str]:
    """Return the highest level that was passed with all below it, the level at which it fell, and why.

    A level that was skipped, ignored or is not in the playbook was not passed, nor one of which a step was about
    another backup than was chosen, or compared with another record; but what answers has booted.
    """
    steps: dict[str, list[StepRecord]] = {}
    for record in run.steps.values():
        if record.plan.action in LEVEL_OF:
            steps.setdefault(LEVEL_OF[record.plan.action], []).append(record)
    if "L3" not in steps and "L4" in steps:  # of an earlier version
        steps["L3"] = steps["L4"]
    passed = ""
    for level in LEVELS:
        for record in steps.get(level, ()):
            if record.state is not StepState.SUCCEEDED:
                return passed, level, record.reason or record.evidence or f"the step is {record.state.value}"
            if strayed := _strayed(run, record, steps):
                return passed, level, strayed
        if level not in steps:
            return passed, "", ""
        passed = level
    return passed, "", ""


def _strayed(run: Run, record: StepRecord, steps: Mapping[str, Sequence[StepRecord]]) -> str:
    """Say what else the step was about than the backup that was chosen; empty: nothing else."""
    wanted: dict[str, object] = {}
    for chosen in steps.get("L0", ()):
        wanted |= {name: chosen.outputs[name] for name in MANIFEST if name in chosen.outputs}
    for restored in steps.get("L2", ()):
        wanted["scratch"] = _given(run, restored.plan.args.get("scratch"))
    for name, value in record.plan.args.items():
        if name in wanted and (given := _given(run, value)) != wanted[name]:
            return f"step '{record.plan.id}' went by {name} {given}, and it is {wanted[name]}"
    return ""


def _given(run: Run, value: object) -> object:
    """Return an argument with the output filled in that it refers to."""
    found = OUTPUT.fullmatch(value) if isinstance(value, str) else None
    step = run.steps.get(found[1]) if found else None
    return value if found is None or step is None else step.outputs.get(found[2])


def _whole(value: object) -> int:
    return int(value) if isinstance(value, (int, float)) else 0
