"""What a run's report says, and making it from the run's journal. Every figure comes from events, none from memory.

``collect`` measures and finds, ``words`` puts events into sentences, ``render`` writes HTML and JSON.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from dr.engine.drift import Compared
from dr.evidence.collect import Finding, Measure, findings, measures, unknowns
from dr.evidence.picture import Part, Picture, parts, picture
from dr.evidence.words import NOTHING_TO_JUDGE, Moment, PersonsAct, sentence
from dr.forecast import Forecast
from dr.journal.ballot import known
from dr.journal.event import (
    Approved,
    CancelAsked,
    Denied,
    Event,
    GuardRuled,
    LossAccepted,
    Paused,
    Resumed,
    RetryAsked,
    Scalar,
    StepFailed,
    StepIgnored,
    StepProbed,
    StepStarted,
    StepSucceeded,
    StepUnknown,
    UndoFailed,
    UndoStarted,
    UndoSucceeded,
)
from dr.journal.override import READINESS, Override
from dr.journal.people import QuestionAnswered, UndoAsked
from dr.journal.run import Run, StepRecord
from monitor.inventory.model import Inventory

SCHEMA = 1
DAEMON = "karaula"
ATTEMPT, UNDO = "attempt", "undo"
UNLOOKED = frozenset({"not-asked", "not-known"})  # of the guard of readiness: nothing to report


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a step, or one undo. ``output_intact``: the kept output has the hash that was journaled."""

    number: int
    started_at: float
    ended_at: float | None
    result: str
    reason: str
    probe: str
    output: str
    output_sha256: str
    output_intact: bool
    kind: str = ATTEMPT

    @property
    def name(self) -> str:
        """Return ``attempt 2``, or ``undo 1``."""
        return f"{self.kind} {self.number}"


@dataclass(frozen=True, slots=True)
class StepReport:
    """One step: what it was to do, what became of it, and the proof. ``effects`` are subject, field, value.

    ``provider`` is the package, with its version, that brought the action; empty: it is Karaula's own.
    """

    id: str
    action: str
    site: str
    description: str
    state: str
    final: bool
    effects: tuple[tuple[str, str, str], ...]
    evidence: str
    outputs: Mapping[str, Scalar]
    attempts: tuple[Attempt, ...]
    provider: str


@dataclass(frozen=True, slots=True)
class VoteNote:
    """What a vantage point said of the side to leave; ``age_s`` None: it had never seen it."""

    point: str
    word: str
    looks_at: str
    age_s: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class Report:
    """The report of one run. Times are Unix seconds, to be shown in ``timezone``."""

    schema: int
    run_id: str
    playbook: str
    kind: str
    summary: str
    system: str
    system_name: str
    system_owner: str
    from_site: str
    to_site: str
    site_names: Mapping[str, str]
    estate: str
    timezone: str
    state: str
    end_reason: str
    requester: str
    reason: str
    origin: str
    origin_ref: str
    by_itself: str
    readiness: str
    approved_by: str
    plan_hash: str
    inventory_hash: str
    token: int
    accepted_at: float
    started_at: float | None
    ended_at: float | None
    made_at: float
    measures: tuple[Measure, ...]
    findings: tuple[Finding, ...]
    not_known: tuple[str, ...]
    people: tuple[PersonsAct, ...]
    guards: tuple[GuardRuled, ...]
    overrides: tuple[Override, ...]
    drift: tuple[Compared, ...]
    votes: tuple[VoteNote, ...]
    votes_needed: int
    steps: tuple[StepReport, ...]
    timeline: tuple[Moment, ...]
    picture: Picture | None
    parts: tuple[Part, ...]


def report(
    run: Run,
    events: Sequence[Event],
    outputs: Mapping[tuple[str, int], str],
    inventory: Inventory,
    expected: Forecast,
    now: float,
    *,
    overrides: Sequence[Override] = (),
    drift: Sequence[Compared] = (),
) -> Report:
    """Return the report of ``run``, whose journal is ``events``; ``outputs`` maps (step, attempt) to what it printed.

    ``expected`` is what the runs before it had let expect; ``overrides`` are those that stood during its life,
    ``drift`` is what it has set and nothing has set anew, against what is observed now. A run that is not over has a
    report too: it says how far it came.
    """
    system = inventory.systems.get(run.system)
    steps = tuple(_step(record, events, outputs) for record in run.steps.values())
    measured = measures(run, events, expected)
    return Report(
        schema=SCHEMA,
        run_id=run.id,
        playbook=run.plan.playbook,
        kind=run.plan.kind,
        summary=run.plan.summary,
        system=run.system,
        system_name=system.name if system else run.system,
        system_owner=system.owner if system else "",
        from_site=run.plan.from_site,
        to_site=run.plan.to_site,
        site_names={key: site.name for key, site in inventory.sites.items()},
        estate=inventory.estate.name,
        timezone=inventory.estate.timezone,
        state=run.state.value,
        end_reason=run.end_reason,
        requester=run.requester,
        reason=run.reason,
        origin=run.origin,
        origin_ref=run.origin_ref,
        by_itself=run.by_itself,
        readiness=_readiness(run),
        approved_by=run.approved_by,
        plan_hash=run.plan_hash,
        inventory_hash=run.plan.inventory_hash,
        token=run.token,
        accepted_at=run.accepted_at,
        started_at=run.started_at,
        ended_at=run.ended_at,
        made_at=now,
        measures=measured,
        findings=findings(run, measured, _damaged(steps)),
        not_known=unknowns(run, measured),
        people=tuple(_acts(events)),
        guards=tuple(note for note in run.guards if not note.step or note.ruling != "allow" or _matters(note)),
        overrides=tuple(overrides),
        drift=tuple(drift),
        votes=tuple(VoteNote(**known(vote)) for vote in (run.poll.votes if run.poll else ())),
        votes_needed=run.poll.needed if run.poll else 0,
        steps=steps,
        timeline=tuple(
            Moment(event.at, str(getattr(event, "step", "")), text) for event in events if (text := sentence(event))
        ),
        picture=picture([(step.id, step.attempts) for step in steps], now),
        parts=parts(measured),
    )


def _readiness(run: Run) -> str:
    """Return how ready the system was when the guards were last asked of the run; empty where nobody looked."""
    said = [note for note in run.guards if note.guard == READINESS and not note.step and note.reason not in UNLOOKED]
    return said[-1].sentence if said else ""


def _damaged(steps: Sequence[StepReport]) -> tuple[str, ...]:
    """Return where a kept output is not what was journaled."""
    return tuple(
        f"{step.id}, {attempt.name}" for step in steps for attempt in step.attempts if not attempt.output_intact
    )


def _matters(note: GuardRuled) -> bool:
    """Tell whether a guard had something to judge at a step (a fence that was proven), not just nothing against it."""
    return note.reason not in NOTHING_TO_JUDGE


def _step(record: StepRecord, events: Sequence[Event], outputs: Mapping[tuple[str, int], str]) -> StepReport:
    mine = [event for event in events if getattr(event, "step", None) == record.plan.id]
    attempts = [
        _attempt(event, [other for other in mine if getattr(other, "attempt", 0) == event.attempt], outputs)
        for event in mine
        if isinstance(event, StepStarted)
    ]
    return StepReport(
        id=record.plan.id,
        action=record.plan.action,
        site=record.plan.site,
        description=record.plan.description,
        state=record.state.value,
        final=record.plan.final,
        effects=record.plan.effects,
        evidence=record.evidence,
        outputs=dict(record.outputs),
        attempts=(*attempts, *_undos(mine, outputs)),
        provider=record.plan.provider,
    )


def _attempt(started: StepStarted, events: Sequence[Event], outputs: Mapping[tuple[str, int], str]) -> Attempt:
    ended_at, result, reason, probe, sha256 = None, "under way", "", "", ""
    for event in events:
        match event:
            case StepSucceeded():
                ended_at, result, sha256 = event.at, "succeeded", event.output_sha256
            case StepFailed():
                result = "timed out" if event.timed_out else "failed"
                ended_at, reason, sha256 = event.at, event.reason, event.output_sha256
            case StepUnknown():
                ended_at, result, reason, sha256 = event.at, "unknown", event.reason, event.output_sha256
            case StepProbed():
                ended_at = event.at
                probe = f"effect holds: {event.holds}; {event.evidence}"
                result = {"yes": "succeeded (seen by a probe)", "no": "did not happen"}.get(event.holds, "unknown")
            case _:
                pass
    output = outputs.get((started.step, started.attempt), "")
    intact = not (sha256 or output) or hashlib.sha256(output.encode()).hexdigest() == sha256
    return Attempt(started.attempt, started.at, ended_at, result, reason, probe, output, sha256, intact)


def _undos(events: Sequence[Event], outputs: Mapping[tuple[str, int], str]) -> Iterator[Attempt]:
    """Yield how the step was taken back, each time that this was tried."""
    tried = [index for index, event in enumerate(events) if isinstance(event, UndoStarted)]
    for number, (index, after) in enumerate(pairwise([*tried, len(events)]), 1):
        began = events[index]
        ended = next((one for one in events[index:after] if isinstance(one, (UndoSucceeded, UndoFailed))), None)
        if ended is None:
            yield Attempt(number, began.at, None, "not known", "", "", "", "", output_intact=True, kind=UNDO)
            continue
        output = outputs.get((ended.step, ended.kept_as), "")
        sha256 = ended.output_sha256
        intact = not (sha256 or output) or hashlib.sha256(output.encode()).hexdigest() == sha256
        reason, result = (ended.reason, "failed") if isinstance(ended, UndoFailed) else ("", "succeeded")
        yield Attempt(number, began.at, ended.at, result, reason, "", output, sha256, intact, UNDO)


def _acts(events: Sequence[Event]) -> list[PersonsAct]:  # noqa: C901 - a table: one case for each word
    acts = []
    for event in events:
        match event:
            case Approved(at, by, comment, _):
                acts.append(PersonsAct(at, by, "approved the plan", comment))
            case LossAccepted(at, by, reason, up_to_s, stated):
                acts.append(PersonsAct(at, by, f"accepted a loss of up to {up_to_s:g} s ({stated})", reason))
            case Denied(at, by, reason):
                acts.append(PersonsAct(at, by, "refused", reason))
            case RetryAsked(at, step, by, reason):
                acts.append(PersonsAct(at, by, f"asked for step '{step}' to be tried again", reason))
            case StepIgnored(at, step, by, reason):
                acts.append(PersonsAct(at, by, f"passed over step '{step}'", reason))
            case Paused(at, by, reason):
                acts.append(PersonsAct(at, by, "paused the run", reason))
            case Resumed(at, by, reason):
                acts.append(PersonsAct(at, by, "let the run go on", reason))
            case QuestionAnswered(at, step, _, by, answer, comment):
                acts.append(PersonsAct(at, by, f"answered '{answer}' to the question of step '{step}'", comment))
            case UndoAsked(at, by, reason):
                acts.append(PersonsAct(at, by, "took back what was done", reason))
            case CancelAsked(at, by, reason):
                acts.append(PersonsAct(at, by, "canceled the run", reason))
            case _:
                pass
    return [act for act in acts if act.by != DAEMON]
