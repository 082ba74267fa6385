"""Measuring a run against its objectives, and finding what should be followed up. Pure functions of run and events.

What is not known stays None and is said in words; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from dr.backups.catalog import proves
from dr.forecast import ENOUGH, Forecast
from dr.journal.event import CancelAsked, Event, Paused, Resumed, RunEnded
from dr.journal.run import Run, StepRecord, StepState

Severity = Literal["info", "warning", "critical"]
SEVERITIES: tuple[Severity, ...] = ("critical", "warning", "info")
UNKNOWN = -1
LOST_OR_UNTOLD = "what the failover lost, and what was written there and nobody was told is accepted"


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure. ``value`` None: not known; ``objective`` None: there is none; ``met`` None: cannot be said.

    ``unit`` is ``s`` or ``declarations``; ``bound`` is ``at least`` where the true value may be higher, else empty.
    """

    name: str
    title: str
    value: float | None
    unit: str
    objective: float | None = None
    met: bool | None = None
    bound: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to follow up."""

    severity: Severity
    what: str


def measures(run: Run, events: Sequence[Event], expected: Forecast) -> tuple[Measure, ...]:
    """Return every figure that applies to the kind of run; ``expected`` is what runs before it had let expect."""
    found: list[Measure] = []
    if run.alarm_at and run.service_lost_at:
        note = "from the last time the service was seen working to the alarm"
        found.append(Measure("detection", "Detection", run.alarm_at - run.service_lost_at, "s", note=note))
    if run.automatic and not run.approved_by and run.started_at is not None:
        note = "nobody was asked: from the alarm to the start, for the grace and the votes"
        waited_s = run.started_at - (run.alarm_at or run.accepted_at)
        found.append(Measure("decision", "Decision", waited_s, "s", note=note))
    if run.plan.attended and run.approved_at is not None:
        since, what = (run.alarm_at, "the alarm") if run.alarm_at else (run.accepted_at, "the request")
        found.append(
            Measure("decision", "Decision", run.approved_at - since, "s", note=f"people: from {what} to the approval")
        )
    if run.started_at is not None and run.ended_at is not None:
        paused_s = _paused_s(events)
        machine_s = run.ended_at - run.started_at - paused_s
        found.append(Measure("machine", "Machine", machine_s, "s", note="from the start to the end, without pauses"))
        found.append(_expected(expected))
        if paused_s:
            found.append(Measure("paused", "Paused", paused_s, "s", note="people: while the run was paused"))
    if any(step.promotes for step in run.plan.steps):
        found.append(_rta(run))
        found.extend(_rpa(run))
    elif run.plan.kind == "reprotect":
        found.extend(_discarded(run))
    if run.plan.kind == "drill":
        found.append(_exercise(run))
    if run.plan.kind == "verify":
        found.append(_proven(run))
    return tuple(found)


def findings(run: Run, measured: Sequence[Measure], damaged_outputs: Sequence[str]) -> tuple[Finding, ...]:
    """Return what should be followed up, the worst first; what a guard has said before several steps once."""
    found = [*_of_run(run), *_of_objectives(run, measured)]
    if run.plan.wished:
        found.append(Finding("warning" if run.plan.forced else "info", run.plan.wished))
    for record in run.steps.values():
        found.extend(_of_step(run, record))
    found.extend(
        Finding("critical", f"the kept output of {where} is not what was journaled") for where in damaged_outputs
    )
    return tuple(sorted(dict.fromkeys(found), key=lambda finding: SEVERITIES.index(finding.severity)))


def unknowns(run: Run, measured: Sequence[Measure]) -> tuple[str, ...]:
    """Return in words what this report cannot say."""
    said = [
        f"{measure.title}: not known; {measure.note}" if measure.note else f"{measure.title}: not known"
        for measure in measured
        if measure.value is None
    ]
    if not run.state.final:
        said.append("the run is not over; everything here may still change")
    if run.plan.kind == "failover":
        if not run.service_lost_at:
            said.append(
                "when the service was lost: no alarm came with the request, so recovery time counts from the fence"
            )
        if any(measure.name == "rpa_time" and measure.value for measure in measured):
            said.append(
                "the lost time counts from the arrival of the standby's newest record; the delay of its replication "
                "comes on top"
            )
    if any(_text(record, "unread") not in {"", "0"} for record in run.steps.values()):
        said.append("parts of production did not answer when they were looked at; of them nothing is proven")
    said.append("this report shows what was journaled; that nothing was left out it cannot show")
    return tuple(said)


# -- measuring --------------------------------------------------------------------------------------------------------


def _paused_s(events: Sequence[Event]) -> float:
    total, since = 0.0, None
    for event in events:
        if isinstance(event, Paused):
            since = event.at
        elif isinstance(event, (Resumed, CancelAsked, RunEnded)) and since is not None:
            total, since = total + event.at - since, None
    return total


def _expected(past: Forecast) -> Measure:
    if past.p50_s is None or past.p90_s is None:
        note = f"insufficient data: {past.n} past runs of the same steps, {ENOUGH} are needed"
        return Measure("expected", "Machine, expected", None, "s", note=note)
    note = f"the median of {past.n} past runs of the same steps; nine in ten took at most {past.p90_s:.1f} s"
    return Measure("expected", "Machine, expected", past.p50_s, "s", note=note)


def _rta(run: Run) -> Measure:
    began, note = interruption(run)
    ended = answered_at(run)
    title, objective = "Recovery time (RTA)", run.plan.rto_s
    if run.started_at is None:
        return Measure("rta", title, None, "s", objective, note="the run never began")
    if began is None:
        return Measure("rta", title, None, "s", objective, note="the run never interrupted the service")
    if ended is None:
        note = "the service was not seen to answer at its new place in this run"
        return Measure("rta", title, None, "s", objective, met=False if run.state.final else None, note=note)
    return Measure("rta", title, ended - began, "s", objective, met=ended - began <= objective, note=note)


def answered_at(run: Run) -> float | None:
    """Return when the service was last seen to answer by its name in this run; None when it was not."""
    return max(
        (
            record.ended_at
            for record in run.steps.values()
            if record.plan.action == "http_check"
            and record.plan.args.get("where") == "service"
            and record.state is StepState.SUCCEEDED
            and record.ended_at is not None
        ),
        default=None,
    )


def interruption(run: Run) -> tuple[float | None, str]:
    """Return when the service stopped being there for clients, and how that is known."""
    if run.service_lost_at:
        return run.service_lost_at, "from the last time the service was seen working until it answered by its name"
    cuts = [
        (record.first_started_at, record.plan.id)
        for record in run.steps.values()
        if record.first_started_at is not None
        and record.plan.site == run.plan.from_site
        and any((field, value) in {("fence", "on"), ("role", "standby")} for _, field, value in record.plan.effects)
    ]
    if not cuts:
        return None, ""
    at, step = min(cuts)
    return at, f"from the start of step '{step}' until the service answered by its name"


def _rpa(run: Run) -> list[Measure]:
    title, time_title, objective = "Lost declarations (RPA)", "Lost time (RPA)", run.plan.rpo_s
    point = _succeeded(run, "recovery_point")
    if point is not None:
        return _rpa_measured(run, point)
    drain, promote = _succeeded(run, "demote"), _succeeded(run, "promote")
    if drain is not None and promote is not None:
        lost = max(0, _number(drain, "position") - _number(promote, "position"))
        note = "everything that the old primary had written was there before the other was promoted"
        if lost:
            note = "the new primary lacks what the old one had written last"
        found = [Measure("rpa_count", title, lost, "declarations", note=note)]
        if not lost:
            found.append(Measure("rpa_time", time_title, 0.0, "s", objective, met=True))
        return [*found, *_discarded(run)]
    if promote is None:
        return []
    note = "no step measured the recovery point"
    return [
        Measure("rpa_count", title, None, "declarations", note=note),
        Measure("rpa_time", time_title, None, "s", objective, note=note),
    ]


def _rpa_measured(run: Run, point: StepRecord) -> list[Measure]:
    title, time_title, objective = "Lost declarations (RPA)", "Lost time (RPA)", run.plan.rpo_s
    lost, known = _number(point, "lost"), str(point.outputs.get("lost_known", "unknown"))
    if known == "by-markers":
        seconds = float(point.outputs.get("rpa_s", 0.0))
        note = "between the newest marker that the primary acknowledged and the newest that the standby had"
        met = False if seconds > objective else None
        return [
            Measure("rpa_count", title, None, "declarations", note="only time is known, by markers in the database"),
            Measure("rpa_time", time_title, seconds, "s", objective, met=met, bound="at least", note=note),
        ]
    if lost == UNKNOWN or known == "unknown":
        note = "no independent record of what clients were told could be read"
        return [
            Measure("rpa_count", title, None, "declarations", note=note),
            Measure("rpa_time", time_title, None, "s", objective, note=note),
        ]
    bound = "" if known == "exact" else "at least"
    note = "acknowledged to clients, but not at the standby when it took over"
    seconds = float(point.outputs.get("rpa_s", 0.0))
    met = seconds <= objective if known == "exact" else (False if seconds > objective else None)
    time_note = "from the newest record that the standby had received to the newest one acknowledged"
    counted = Measure("rpa_count", title, lost, "declarations", bound=bound, note=note)
    if lost and not seconds and not point.outputs.get("newest_at"):
        unsaid = "nobody says when the newest one that is lost was accepted"
        return [counted, Measure("rpa_time", time_title, None, "s", objective, note=unsaid)]
    if lost and not seconds:  # what survived was on its way for longer than the two lie apart
        bound = "at least"
        time_note = "the newest one lost was accepted before the newest one here had arrived: its way hides the rest"
    return [
        counted,
        Measure("rpa_time", time_title, seconds, "s", objective, met=met, bound=bound, note=time_note),
    ]


def _discarded(run: Run) -> list[Measure]:
    follow = next(
        (
            record
            for record in run.steps.values()
            if record.plan.action == "follow"
            and record.plan.site == run.plan.to_site
            and record.state is StepState.SUCCEEDED
        ),
        None,
    )
    if follow is None:
        return []
    note = f"thrown away to follow, for only the old side had it: {LOST_OR_UNTOLD}"
    count = _number(follow, "discarded")
    told = None if count == UNKNOWN else count
    return [Measure("discarded", "Discarded at the old side", told, "declarations", note=note)]


def _exercise(run: Run) -> Measure:
    bubble, answers = _succeeded(run, "bubble_create"), _succeeded(run, "http_check")
    title = "Start of the copy"
    if bubble is None or answers is None or bubble.first_started_at is None or answers.ended_at is None:
        return Measure("exercise", title, None, "s", run.plan.rto_s, note="the copy was not seen to answer")
    seconds = answers.ended_at - bubble.first_started_at
    note = "from the first clone until the copy answered; a failover does not have to clone"
    return Measure("exercise", title, seconds, "s", run.plan.rto_s, met=seconds <= run.plan.rto_s, note=note)


def _proven(run: Run) -> Measure:
    select = _succeeded(run, "backup_select")
    title = "Proven recovery point"
    if select is None or run.ended_at is None or not proves(run, select):
        return Measure("proven_age", title, None, "s", note="this run proved no backup")
    age_s = run.ended_at - float(select.outputs["taken_at"])
    return Measure("proven_age", title, age_s, "s", note="age of the backup when it was proven by a restore")


# -- finding ----------------------------------------------------------------------------------------------------------


def _of_run(run: Run) -> list[Finding]:
    found = []
    if run.state.value == "FAILED":
        found.append(Finding("critical", f"the run failed: {run.end_reason}"))
    elif run.state.value == "CANCELED":
        found.append(Finding("warning", f"the run was canceled: {run.end_reason}"))
    if run.interruptions:
        times = "once" if run.interruptions == 1 else f"{run.interruptions} times"
        found.append(Finding("warning", f"Karaula itself went down {times} during the run; find out why"))
    found.extend(
        Finding("warning", f"guard '{note.guard}' refused: {note.sentence}")
        for note in run.guards
        if note.ruling == "refuse"
    )
    found.extend(
        Finding(
            "critical" if note.guard == "fencing" else "warning",
            f"guard '{note.guard}' was overridden: {note.sentence}",
        )
        for note in run.guards
        if note.reason == "overridden"
    )
    return found


def _of_objectives(run: Run, measured: Sequence[Measure]) -> list[Finding]:
    found = []
    for measure in measured:
        if measure.met is False:
            value = "not reached" if measure.value is None else f"{measure.value:.1f} {measure.unit}"
            found.append(
                Finding("critical", f"{measure.title} missed its objective of {measure.objective:g} s: {value}")
            )
        if measure.name == "rpa_count" and measure.value:
            many = f"{measure.bound} {_counted(measure.value, 'acknowledged declaration')}".strip()
            found.append(Finding("critical", f"lost: {many} of {run.system}; ask the clients to send them again"))
        if measure.name == "rpa_count" and measure.value is None:
            found.append(Finding("warning", "how many declarations were lost is not known"))
        if measure.name == "discarded" and measure.value:
            found.append(
                Finding("warning", f"{_counted(measure.value, 'record')} of the old side thrown away: {LOST_OR_UNTOLD}")
            )
    return found


def _of_step(run: Run, record: StepRecord) -> list[Finding]:
    name, found = record.plan.id, []
    if record.state is StepState.FAILED_IGNORED:
        found.append(Finding("warning", f"step '{name}' failed and was passed over: {record.reason}"))
    elif record.state.failed or record.state is StepState.UNDO_FAILED or record.stuck:
        found.append(Finding("critical", f"step '{name}' ended {record.state.value}: {record.reason}"))
    elif record.state in {StepState.SKIPPED, StepState.CANCELED} and run.started_at is not None:
        found.append(Finding("info", f"step '{name}' was left out: {record.reason}"))
    if record.attempt > 1:
        found.append(Finding("info", f"step '{name}' needed {record.attempt} attempts"))
    if record.plan.action == "dns_record" and _text(record, "missed"):
        servers = _text(record, "missed")
        found.append(
            Finding("warning", f"name servers that were not updated: {servers}; see that they have the new address")
        )
    if record.plan.action == "backup_expire" and (gone := _text(record, "removed")):
        found.append(Finding("info", f"the retention removed {len(gone.split())}: {gone}"))
    if _text(record, "unread") not in {"", "0"}:
        found.append(
            Finding("warning", f"step '{name}': {_text(record, 'unread')} facts of production could not be read")
        )
    return found


def _succeeded(run: Run, action: str) -> StepRecord | None:
    return next(
        (
            record
            for record in run.steps.values()
            if record.plan.action == action and record.state is StepState.SUCCEEDED
        ),
        None,
    )


def _counted(number: float, what: str) -> str:
    return f"{number:g} {what}" + ("" if number == 1 else "s")


def _number(record: StepRecord, name: str) -> int:
    """Return a number that the step has yielded; what is none is not known, and costs no other run its findings."""
    found = record.outputs.get(name, UNKNOWN)
    return int(found) if isinstance(found, (int, float)) else UNKNOWN


def _text(record: StepRecord, name: str) -> str:
    return str(record.outputs.get(name, ""))
