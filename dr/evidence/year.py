"""A year of exercises and recoveries at a glance, and what an auditor's clauses can take from it. Pure.

Clauses: ISO 22301:2019 8.5 (exercise programme) and 8.6 (evaluation); ISO/IEC 27001:2022 A.5.29, A.5.30, A.8.13 and
A.8.14. Each says also what this record cannot show: a record proves what was done, not that it was enough.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

from dr.evidence.collect import Measure, measures
from dr.evidence.joint import total
from dr.forecast import WELL, Forecast
from dr.journal.event import Event
from dr.journal.finding import FindingState, TrackedFinding
from dr.journal.joint import Joint
from dr.journal.run import Run
from monitor.inventory.model import Inventory

SCHEMA = 1
DAY_S = 86_400.0
MOVES = ("failover", "switchover", "reprotect", "failback")


@dataclass(frozen=True, slots=True)
class Count:
    """How many runs ended in the year, and how many of them well."""

    ended: int
    well: int


@dataclass(frozen=True, slots=True)
class Reached:
    """What was measured against an objective, in seconds: the median and the worst of ``n``; None: never measured."""

    objective_s: float
    n: int
    median_s: float | None
    worst_s: float | None
    missed: int


@dataclass(frozen=True, slots=True)
class SystemYear:
    """One system's year. ``months`` are drills a month; ``longest_gap_days`` between drills that ended well."""

    key: str
    name: str
    owner: str
    counts: Mapping[str, Count]
    months: tuple[Count, ...]
    last_drill_at: float | None
    longest_gap_days: float
    recovery_time: Reached
    lost_time: Reached
    copy_time: Reached
    lost_records: int
    lost_unknown: int


@dataclass(frozen=True, slots=True)
class Exercise:
    """One run that counts as an exercise or as a recovery."""

    run: str
    system: str
    kind: str
    ended_at: float
    state: str
    findings: int


@dataclass(frozen=True, slots=True)
class JointExercise:
    """Several systems moved, or tried out, by one request; ``rta_s`` over all of them, None: not known or none."""

    run: str
    kind: str
    systems: tuple[str, ...]
    ended_at: float
    state: str
    rta_s: float | None


@dataclass(frozen=True, slots=True)
class Clause:
    """What a clause asks for, what of the record answers it, and what the record cannot show."""

    clause: str
    asks: str
    shows: str
    cannot: str


@dataclass(frozen=True, slots=True)
class Year:
    """The overview. ``until`` is the moment up to which the year is told (Unix seconds)."""

    schema: int
    estate: str
    timezone: str
    year: int
    until: float
    over: bool
    systems: tuple[SystemYear, ...]
    exercises: tuple[Exercise, ...]
    joint: tuple[JointExercise, ...]
    findings: tuple[TrackedFinding, ...]
    findings_by_state: Mapping[str, int]
    overdue: int
    clauses: tuple[Clause, ...]


def overview(
    year: int,
    runs: Sequence[tuple[Run, Sequence[Event]]],
    joints: Sequence[tuple[Joint, Mapping[str, Run]]],
    tracked: Sequence[TrackedFinding],
    inventory: Inventory,
    zone: tzinfo,
    now: float,
) -> Year:
    """Return the overview of ``year`` in ``zone``, from every run that began, with its journal, and every finding.

    ``joints`` are the joint runs with their members' runs by id.
    """
    begin = datetime(year, 1, 1, tzinfo=zone).timestamp()
    end = datetime(year + 1, 1, 1, tzinfo=zone).timestamp()
    mine = [
        (run, events)
        for run, events in runs
        if run.started_at is not None and run.ended_at is not None and begin <= run.ended_at < end
    ]
    mine.sort(key=lambda one: (one[0].ended_at or 0.0, one[0].id))
    found = tuple(one for one in tracked if begin <= one.entered_at < end or not one.state.over)
    joint = tuple(_joint(joints, begin, end))
    systems = tuple(_system(key, mine, inventory, zone, (begin, min(end, now))) for key in inventory.systems)
    return Year(
        schema=SCHEMA,
        estate=inventory.estate.name,
        timezone=inventory.estate.timezone,
        year=year,
        until=min(end, now),
        over=now >= end,
        systems=systems,
        exercises=tuple(
            Exercise(
                run.id,
                run.system,
                run.plan.kind,
                run.ended_at or 0.0,
                run.state.value,
                sum(run.id in one.runs for one in tracked),
            )
            for run, _ in mine
            if run.plan.kind == "drill" or run.plan.kind in MOVES
        ),
        joint=joint,
        findings=found,
        findings_by_state={state.value: sum(one.state is state for one in found) for state in FindingState},
        overdue=sum(one.overdue(now) for one in found),
        clauses=_clauses(systems, joint, found),
    )


def _joint(joints: Sequence[tuple[Joint, Mapping[str, Run]]], begin: float, end: float) -> Iterator[JointExercise]:
    """Yield the joint runs that ended between ``begin`` and ``end`` and of which a member began, by their end."""
    for joint, runs in sorted(joints, key=lambda one: (one[0].ended_at or 0.0, one[0].id)):
        began = any(run.started_at is not None for run in runs.values())
        moves = joint.plan.kind == "drill" or joint.plan.kind in MOVES
        if began and moves and joint.ended_at is not None and begin <= joint.ended_at < end:
            systems = tuple(member.system for member in joint.plan.members)
            rta_s = total(joint, runs)[0]
            yield JointExercise(joint.id, joint.plan.kind, systems, joint.ended_at, joint.state, rta_s)


def _system(
    key: str,
    mine: Sequence[tuple[Run, Sequence[Event]]],
    inventory: Inventory,
    zone: tzinfo,
    span: tuple[float, float],
) -> SystemYear:
    system = inventory.systems[key]
    ours = [(run, measures(run, events, Forecast(0))) for run, events in mine if run.system == key]
    by_kind = {
        kind: [run for run, _ in ours if run.plan.kind == kind] for kind in ("drill", "verify", "backup", *MOVES)
    }
    drills = by_kind["drill"]
    good = [run.ended_at or 0.0 for run in drills if run.state in WELL]
    marks = [span[0], *good, span[1]]
    months = [[run for run in drills if _month(run, zone) == month] for month in range(1, 13)]
    losses = [one.value for _, found in ours for one in found if one.name == "rpa_count"]
    return SystemYear(
        key=key,
        name=system.name,
        owner=system.owner,
        counts={kind: _count(runs) for kind, runs in by_kind.items()},
        months=tuple(_count(runs) for runs in months),
        last_drill_at=max(good, default=None),
        longest_gap_days=max(after - before for before, after in itertools.pairwise(marks)) / DAY_S,
        recovery_time=_reached("rta", system.rto_s, ours),
        lost_time=_reached("rpa_time", system.rpo_s, ours),
        copy_time=_reached("exercise", system.rto_s, ours),
        lost_records=int(sum(value for value in losses if value is not None)),
        lost_unknown=sum(value is None for value in losses),
    )


def _reached(name: str, objective_s: float, ours: Sequence[tuple[Run, Sequence[Measure]]]) -> Reached:
    found = [one for _, measured in ours for one in measured if one.name == name]
    known = [one.value for one in found if one.value is not None]
    return Reached(
        objective_s,
        len(known),
        statistics.median(known) if known else None,
        max(known, default=None),
        sum(one.met is False for one in found),
    )


def _count(runs: Sequence[Run]) -> Count:
    return Count(len(runs), sum(run.state in WELL for run in runs))


def _month(run: Run, zone: tzinfo) -> int:
    return datetime.fromtimestamp(run.ended_at or 0.0, zone).month


def _clauses(
    systems: Sequence[SystemYear], joint: Sequence[JointExercise], found: Sequence[TrackedFinding]
) -> tuple[Clause, ...]:
    def counted(kind: str) -> str:
        ended = sum(one.counts[kind].ended for one in systems)
        return f"{ended} ({sum(one.counts[kind].well for one in systems)} well)"

    never = [one.name for one in systems if one.last_drill_at is None]
    without = f"; no drill that ended well: {', '.join(never)}" if never else ""
    closed = sum(one.state.over for one in found)
    good = sum(one.state in WELL for one in joint)
    most = max((len(one.systems) for one in joint), default=0)
    together = f"several systems by one request: {len(joint)} ({good} well; at most {most} systems)"
    moves = ", ".join(f"{kind} {counted(kind)}" for kind in MOVES)
    return (
        Clause(
            "ISO 22301:2019, 8.5",
            "an exercise programme: exercises at planned intervals, with reports, outcomes and actions",
            f"drills {counted('drill')}{without}; a report for each run; findings {len(found)}, of them over {closed}",
            "exercises that people hold without this tool (call trees, table-top); whether the scenarios are enough",
        ),
        Clause(
            "ISO 22301:2019, 8.6",
            "evaluation of capabilities by exercises, tests and after incidents",
            f"measured times beside each objective, for {moves}; what was not known is said in each report",
            "that the objectives themselves are what the business needs",
        ),
        Clause(
            "ISO/IEC 27001:2022, A.5.29",
            "information security during disruption",
            "who asked, who approved, every guard's verdict and every override stand in the hash-chained journal",
            "what people did beside the tool, and access rights at the systems themselves",
        ),
        Clause(
            "ISO/IEC 27001:2022, A.5.30",
            "ICT readiness planned, implemented, maintained and tested against continuity objectives",
            f"objectives of {len(systems)} systems in the inventory; drills {counted('drill')}; {moves}; {together}",
            "capacity of the recovery site under full load of all systems at once, unless that was drilled",
        ),
        Clause(
            "ISO/IEC 27001:2022, A.8.13",
            "backups kept and regularly tested",
            f"backups {counted('backup')}; restored and asked: {counted('verify')}",
            "backups that other tools take",
        ),
        Clause(
            "ISO/IEC 27001:2022, A.8.14",
            "redundancy of information processing facilities",
            f"two sites for each of {len(systems)} systems, replication watched; {moves}",
            "redundancy of power, cooling and buildings, which is watched but not exercised",
        ),
    )
