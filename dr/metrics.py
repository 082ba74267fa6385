"""What the recovery half shows in ``/metrics``, worked out from its runs when it is asked; names stand here once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from dr.backups.proof import Proof, proofs
from dr.engine.standing import Standing
from dr.forecast import Past
from dr.journal.finding import TrackedFinding
from dr.journal.joint import Joint
from dr.journal.run import Run, RunState
from dr.lease import Tenancy
from dr.readiness.lights import WORST_LAST, Readiness
from dr.readiness.proven import Verified
from monitor.inventory.systems import System
from monitor.metrics.catalog import Family, Metric


def _gauge(name: str, unit: str, labels: str, text: str) -> Metric:
    return Metric(name, "gauge", unit, tuple(labels.split()), text)


def _counter(name: str, labels: str, text: str) -> Metric:
    return Metric(name, "counter", "", tuple(labels.split()), text)


PLACEMENT = _gauge(
    "karaula_recovery_placement", "", "system site", "1 at the site where the journal says the system belongs, else 0"
)
RUN_ACTIVE = _gauge("karaula_run_active", "", "system playbook state", "1 for each run that is not over, by its state")
RUN_SINCE = _gauge(
    "karaula_run_accepted_timestamp_seconds",
    "seconds",
    "system playbook",
    "When the run that is not over was asked for",
)
RUNS_ENDED = _counter("karaula_runs_ended_total", "system playbook state", "Runs in the journal that ended so")
RUN_LAST_END = _gauge(
    "karaula_run_last_end_timestamp_seconds", "seconds", "system playbook", "When the newest run of the playbook ended"
)
RUN_LAST_SUCCESS = _gauge(
    "karaula_run_last_success_timestamp_seconds",
    "seconds",
    "system playbook",
    "When the newest run of the playbook that succeeded ended",
)
RUN_DURATION = _gauge(
    "karaula_run_last_duration_seconds",
    "seconds",
    "system playbook",
    "How long the newest ended run took from its start",
)
RTA = _gauge(
    "karaula_recovery_time_actual_seconds",
    "seconds",
    "system",
    "From the last time the service was seen working to the end of the newest failover that succeeded",
)
RUN_EXPECTED = _gauge(
    "karaula_run_expected_seconds",
    "seconds",
    "system playbook percentile",
    "Machine time along the critical path that past runs of the same steps let expect; absent below five of them",
)
RUN_EXPECTED_FROM = _gauge(
    "karaula_run_expected_from_runs", "", "system playbook", "Past runs of the same steps, at most the newest 50"
)
JOINT_ACTIVE = _gauge("karaula_joint_run_active", "", "playbook state", "Joint runs that are not over, by their state")
JOINT_SINCE = _gauge(
    "karaula_joint_run_accepted_timestamp_seconds",
    "seconds",
    "playbook state",
    "When the oldest joint run that is not over was asked for",
)
JOINTS_ENDED = _counter("karaula_joint_runs_ended_total", "playbook state", "Joint runs in the journal that ended so")
JOINT_RTA = _gauge(
    "karaula_joint_recovery_time_actual_seconds",
    "seconds",
    "playbook",
    "From the first system's loss to the last one's answer by its name, in the newest joint run where that is known",
)
GUARD_VERDICTS = _counter("karaula_guard_verdicts_total", "guard ruling", "Answers of guards in the journal")
BACKUP_NEWEST = _gauge(
    "karaula_backup_newest_timestamp_seconds", "seconds", "system", "When the newest backup was taken, proven or not"
)
BACKUP_PROVEN = _gauge(
    "karaula_backup_proven_timestamp_seconds",
    "seconds",
    "system",
    "When the newest backup that a restore has proven was taken",
)
BACKUP_OBJECTIVE = _gauge(
    "karaula_backup_objective_seconds", "seconds", "system", "How old the newest proven backup may be"
)
BACKUP_LEVEL = _gauge(
    "karaula_backup_level", "", "system", "The highest level that the newest backup passed, 0 to 4; -1 none yet"
)
BACKUP_REQUIRED = _gauge("karaula_backup_required_level", "", "system", "The level that a backup must pass, 0 to 4")
BACKUP_VERIFY = _gauge(
    "karaula_backup_verify_duration_seconds", "seconds", "system", "How long the newest backup's verification took"
)
BACKUP_PLACES = _gauge(
    "karaula_backup_places", "", "system", "How many places were last seen to hold the newest backup"
)
BACKUP_ONE_PLACE = _gauge(
    "karaula_backup_one_place", "", "system", "Backups that are taken, in one place only, though they are to be in two"
)
BACKUP_FINDINGS = _gauge(
    "karaula_backup_findings", "", "system", "What is not as it should be with the system's backups, counted"
)
PAUSED = _gauge("karaula_pause_active", "", "system", "1 while nothing is started by itself for the system, else 0")
OVERRIDDEN = _gauge(
    "karaula_override_active", "", "system rule", "1 while people have put the rule out of force for the system"
)
LEASE = _gauge("karaula_lease_held", "", "", "1 while this daemon holds the lease of its state and may act, else 0")
JOURNAL_FAILING = _gauge(
    "karaula_journal_failing",
    "",
    "",
    "1 while the journal of runs cannot be written, or a run in it cannot be read or gone on with, else 0",
)
NEXT_DUE = _gauge("karaula_schedule_next_timestamp_seconds", "seconds", "schedule", "When the schedule is due next")

FINDINGS = _gauge("karaula_findings_open", "", "system severity", "Findings that somebody still has to see to")
FINDINGS_OVERDUE = _gauge(
    "karaula_findings_overdue", "", "system", "Findings whose agreed action was not done by its day"
)
ANCHOR_BEHIND = _gauge(
    "karaula_evidence_behind", "", "place", "1 while the place cannot be given the journal's newest signed head, else 0"
)
READINESS = _gauge(
    "karaula_readiness_light",
    "",
    "system check",
    "How ready the system is for a recovery to where it stands by: 0 green, 1 amber, 2 unknown, 3 red",
)
READINESS_WORST = _gauge(
    "karaula_readiness_worst", "", "system", "The worst of the system's checks, as the light of each"
)
PROOF_VERIFIED = _gauge(
    "karaula_proof_verified",
    "",
    "system playbook",
    "1 while the playbook is VERIFIED for the system as it stands, else 0",
)
PROOF_AT = _gauge(
    "karaula_proof_timestamp_seconds",
    "seconds",
    "system playbook",
    "When the playbook was proven as it stands; of several plans the oldest proof counts, absent while one has none",
)
METRICS: tuple[Metric, ...] = (
    READINESS,
    READINESS_WORST,
    PROOF_VERIFIED,
    PROOF_AT,
    PLACEMENT,
    RUN_ACTIVE,
    RUN_SINCE,
    RUNS_ENDED,
    RUN_LAST_END,
    RUN_LAST_SUCCESS,
    RUN_DURATION,
    RTA,
    RUN_EXPECTED,
    RUN_EXPECTED_FROM,
    JOINT_ACTIVE,
    JOINT_SINCE,
    JOINTS_ENDED,
    JOINT_RTA,
    GUARD_VERDICTS,
    BACKUP_NEWEST,
    BACKUP_PROVEN,
    BACKUP_OBJECTIVE,
    BACKUP_LEVEL,
    BACKUP_REQUIRED,
    BACKUP_VERIFY,
    BACKUP_PLACES,
    BACKUP_ONE_PLACE,
    BACKUP_FINDINGS,
    PAUSED,
    OVERRIDDEN,
    FINDINGS,
    FINDINGS_OVERDUE,
    LEASE,
    ANCHOR_BEHIND,
    JOURNAL_FAILING,
    NEXT_DUE,
)


class Source(Protocol):
    """What is shown (dr.engine.orchestrator.Orchestrator). ``tenancy`` says whether this daemon may act."""

    tenancy: Callable[[], Tenancy]
    standing: Standing

    def runs(self) -> list[Run]:
        """Return every run."""
        ...

    def problems(self) -> list[str]:
        """Return what is wrong with the journal or with runs beneath it."""
        ...

    def placement(self) -> dict[str, str]:
        """Return where each system belongs."""
        ...


def collect(
    source: Source,
    systems: Mapping[str, System],
    now: float,
    upcoming: Callable[[], Mapping[str, float]],
    behind: Mapping[str, bool],
    past: Past,
    standing: Sequence[TrackedFinding],
) -> Iterator[Family]:
    """Yield every family. ``upcoming`` maps each schedule to its next due time.

    ``behind`` says of each place of the signed heads whether it could not be given the newest; ``past`` what to
    expect from past runs; ``standing`` are the findings that are not over.
    """
    runs = source.runs()
    yield Family(
        PLACEMENT,
        tuple(
            ((system, site), float(source.placement().get(system) == site))
            for system, entry in systems.items()
            for site in entry.sites
        ),
    )
    yield from _under_way([run for run in runs if not run.state.final])
    ended = [run for run in runs if run.state.final and run.ended_at is not None]
    yield from _ended(ended)
    yield from _expected(ended, past)
    verdicts = Counter((note.guard, note.ruling) for run in runs for note in run.guards)
    yield Family(GUARD_VERDICTS, tuple((key, float(count)) for key, count in sorted(verdicts.items())))
    yield from _of_backups(proofs(runs, systems, now))
    paused = {pause.system for pause in source.standing.pauses()}
    yield Family(PAUSED, tuple(((system,), float(bool(paused & {system, "all"}))) for system in systems))
    overridden = {(each.system, each.rule) for each in source.standing.in_force()}
    yield Family(OVERRIDDEN, tuple((key, 1.0) for key in sorted(overridden)))
    left = Counter((each.system, each.severity) for each in standing)
    yield Family(FINDINGS, tuple((key, float(count)) for key, count in sorted(left.items())))
    overdue = Counter(each.system for each in standing if each.overdue(now))
    yield Family(FINDINGS_OVERDUE, tuple(((system,), float(overdue[system])) for system in systems))
    yield Family(LEASE, (((), float(source.tenancy().held)),))
    yield Family(JOURNAL_FAILING, (((), float(bool(source.problems()))),))
    yield Family(ANCHOR_BEHIND, tuple(((place,), float(late)) for place, late in sorted(behind.items())))
    yield Family(NEXT_DUE, tuple(((job,), due) for job, due in sorted(upcoming().items())))


def of_readiness(found: Sequence[Readiness], proven: Sequence[Verified]) -> Iterator[Family]:
    """Yield how ready every system is, check by check, and which playbooks are VERIFIED for which."""
    lights = [(each.system, check.name, check.light) for each in found for check in each.checks]
    yield Family(READINESS, tuple(((system, name), float(WORST_LAST.index(light))) for system, name, light in lights))
    totals = tuple(((each.system,), float(WORST_LAST.index(each.total))) for each in found)
    yield Family(READINESS_WORST, totals)
    yield Family(PROOF_VERIFIED, tuple(((each.system, each.playbook), float(not each.lack)) for each in proven))
    dated = [(each.system, each.playbook, each.proven_at) for each in proven if each.proven_at is not None]
    yield Family(PROOF_AT, tuple(((system, playbook), at) for system, playbook, at in dated))


def of_joints(joints: Sequence[Joint], totals: Mapping[str, float | None]) -> Iterator[Family]:
    """Yield what stands of joint runs; ``totals`` has the recovery time over all members of those that are over."""
    going = [joint for joint in joints if not joint.final]
    active = Counter((joint.plan.playbook, joint.state) for joint in going)
    yield Family(JOINT_ACTIVE, tuple((key, float(count)) for key, count in sorted(active.items())))
    newest_first = sorted(going, key=lambda joint: -joint.accepted_at)
    since = {(joint.plan.playbook, joint.state): joint.accepted_at for joint in newest_first}
    yield Family(JOINT_SINCE, tuple(sorted(since.items())))
    ended = Counter((joint.plan.playbook, joint.state) for joint in joints if joint.final)
    yield Family(JOINTS_ENDED, tuple((key, float(count)) for key, count in sorted(ended.items())))
    actual: dict[tuple[str, ...], float] = {}
    for joint in sorted(joints, key=lambda joint: joint.ended_at or 0.0):
        if (rta_s := totals.get(joint.id)) is not None:
            actual[(joint.plan.playbook,)] = rta_s
    yield Family(JOINT_RTA, tuple(sorted(actual.items())))


def _of_backups(found: Sequence[Proof]) -> Iterator[Family]:
    newest = [(proof.system, proof.newest) for proof in found if proof.newest is not None]
    yield Family(BACKUP_NEWEST, tuple(((system,), backup.taken_at) for system, backup in newest))
    proven = [(proof.system, proof.proven) for proof in found if proof.proven is not None]
    yield Family(BACKUP_PROVEN, tuple(((system,), backup.taken_at) for system, backup in proven))
    yield Family(BACKUP_OBJECTIVE, tuple(((proof.system,), proof.objective_s) for proof in found))
    yield Family(BACKUP_LEVEL, tuple(((system,), float(backup.level[1:] or -1)) for system, backup in newest))
    yield Family(BACKUP_REQUIRED, tuple(((proof.system,), float(proof.required[1:])) for proof in found))
    took = [(system, backup.took_s) for system, backup in newest if backup.verify_run]
    yield Family(BACKUP_VERIFY, tuple(((system,), seconds) for system, seconds in took))
    yield Family(BACKUP_PLACES, tuple(((proof.system,), float(proof.copies)) for proof in found))
    yield Family(BACKUP_ONE_PLACE, tuple(((proof.system,), float(len(proof.one_place))) for proof in found))
    yield Family(BACKUP_FINDINGS, tuple(((proof.system,), float(len(proof.findings))) for proof in found))


def _under_way(runs: list[Run]) -> Iterator[Family]:
    states = Counter((run.system, run.plan.playbook, run.state.value) for run in runs)
    yield Family(RUN_ACTIVE, tuple((key, float(count)) for key, count in sorted(states.items())))
    since = {(run.system, run.plan.playbook): run.accepted_at for run in runs}
    yield Family(RUN_SINCE, tuple(since.items()))


def _ended(runs: list[Run]) -> Iterator[Family]:
    ended = Counter((run.system, run.plan.playbook, run.state.value) for run in runs)
    yield Family(RUNS_ENDED, tuple((key, float(count)) for key, count in sorted(ended.items())))
    last: dict[tuple[str, ...], float] = {}
    success: dict[tuple[str, ...], float] = {}
    took: dict[tuple[str, ...], float] = {}
    actual: dict[tuple[str, ...], float] = {}
    for run in sorted(runs, key=lambda run: run.ended_at or 0.0):
        key, end = (run.system, run.plan.playbook), run.ended_at or 0.0
        last[key] = end
        if run.started_at is not None:
            took[key] = end - run.started_at
        if run.state in {RunState.SUCCEEDED, RunState.SUCCEEDED_WITH_WARNINGS}:
            success[key] = end
            if run.plan.kind == "failover" and run.service_lost_at:
                actual[(run.system,)] = end - run.service_lost_at
    for metric, values in ((RUN_LAST_END, last), (RUN_LAST_SUCCESS, success), (RUN_DURATION, took), (RTA, actual)):
        yield Family(metric, tuple(values.items()))


def _expected(runs: list[Run], past: Past) -> Iterator[Family]:
    """Yield what is expected of each playbook in the shape that it last had."""
    newest = {(run.system, run.plan.playbook): run.plan for run in sorted(runs, key=lambda run: run.ended_at or 0.0)}
    expected = {key: past.forecast(plan) for key, plan in newest.items()}
    yield Family(
        RUN_EXPECTED,
        tuple(
            ((*key, percentile), seconds)
            for key, one in expected.items()
            for percentile, seconds in (("50", one.p50_s), ("90", one.p90_s))
            if seconds is not None
        ),
    )
    yield Family(RUN_EXPECTED_FROM, tuple((key, float(one.n)) for key, one in expected.items()))
