"""The daemon's answers as they come over the wire, typed: JSON objects with these keys (``console.api.views``).

The daemon's own models would cost half a second of imports, and what `--output json` prints must be what was
answered. A test compares both sides, so they cannot drift apart. Times are Unix seconds.
"""

from __future__ import annotations

from typing import Any, TypedDict

from console.terminal.readiness_shapes import Readiness


class Subject(TypedDict):
    """What is held true of one subject."""

    subject: str
    health: str
    detail: str
    reason: str
    since: float
    seen_at: float | None
    flapping: bool
    downtime: str


class Alarm(TypedDict):
    """An alarm; ``cleared_at`` is None while it stands. One with a ``cause`` or ``downtime`` is not sent.

    ``not_prepared`` says why no run is prepared for it, although a response asks for one.
    """

    id: str
    name: str
    subject: str
    severity: str
    since: float
    reason: str
    cleared_at: float | None
    cause: str
    downtime: str
    not_prepared: str


class Downtime(TypedDict):
    """A planned downtime."""

    id: str
    subject: str
    start: float
    end: float
    planned_end: float
    owner: str
    reason: str
    announced_at: float
    origin: str
    job: str
    ended_by: str


class Flip(TypedDict):
    """One change of a subject's health."""

    subject: str
    old: str
    new: str
    detail: str
    reason: str
    at: float


class Step(TypedDict):
    """A step of a run or plan."""

    id: str
    action: str
    site: str
    description: str
    needs: list[str]
    final: bool
    args: dict[str, Any]
    effects: list[list[str]]
    timeout_s: float
    on_failure: str
    state: str
    attempt: int
    started_at: float | None
    ended_at: float | None
    reason: str
    evidence: str
    outputs: dict[str, Any]
    provider: str


class Verdict(TypedDict):
    """A guard's answer; ``step`` is empty for the whole run."""

    guard: str
    ruling: str
    reason: str
    sentence: str
    step: str
    at: float


class Vote(TypedDict):
    """What a vantage point said of the side to leave; ``age_s`` is None where it had never seen it."""

    point: str
    word: str
    looks_at: str
    age_s: float | None
    reason: str


class RunLine(TypedDict):
    """A run without its steps."""

    id: str
    playbook: str
    kind: str
    system: str
    from_site: str
    to_site: str
    state: str
    final: bool
    requester: str
    reason: str
    origin: str
    by_itself: str
    accepted_at: float
    started_at: float | None
    ended_at: float | None
    end_reason: str
    approval_expires_at: float | None
    may_approve: str
    approved_by: str
    approved_at: float | None
    loss_accepted_by: str
    loss_accepted_s: float
    pause_reason: str
    plan_hash: str
    interruptions: int
    steps_done: int
    steps_total: int
    now_doing: list[str]


class Question(TypedDict):
    """A question that waits for a person's answer."""

    step: str
    question: str
    choices: list[str]
    on_timeout: str
    expires_at: float


class Run(RunLine):
    """A run with its steps, guards and questions."""

    summary: str
    rto_s: float
    rpo_s: float
    wish: str
    service_lost_at: float
    alarm_at: float
    token: int
    steps: list[Step]
    guards: list[Verdict]
    questions: list[Question]
    undo_refused: str
    decisions: list[list[str]]
    votes: list[Vote]
    votes_needed: int


class Forecast(TypedDict):
    """How long the machine needed in past runs, in seconds; None where they are fewer than ``needed``."""

    n: int
    needed: int
    p50_s: float | None
    p90_s: float | None
    critical: list[str]
    sentence: str


class Plan(TypedDict):
    """What a run would do and what the guards would say now."""

    playbook: str
    kind: str
    summary: str
    system: str
    from_site: str
    to_site: str
    rto_s: float
    rpo_s: float
    wish: str
    plan_hash: str
    steps: list[Step]
    guards: list[Verdict]
    expected: Forecast
    readiness: Readiness | None


class Pause(TypedDict):
    """A pause in force."""

    system: str
    owner: str
    reason: str
    since: float
    expires_at: float


class Override(TypedDict):
    """An override; one that stands and is not ``in_force`` waits for its second person."""

    id: str
    system: str
    rule: str
    by: str
    reason: str
    asked_at: float
    expires_at: float
    confirmed_by: str
    confirmed_at: float | None
    needs_second: bool
    in_force: bool
    ended_by: str
    ended_at: float | None


class Slot(TypedDict):
    """A due time of a scheduled job and what became of it."""

    job: str
    due: float
    state: str
    run_id: str
    reason: str


class Entry(TypedDict):
    """One journal entry."""

    seq: int
    word: str
    at: float
    body: dict[str, Any]


class Output(TypedDict):
    """What one attempt of a step printed."""

    step: str
    attempt: int
    text: str
    sha256: str


class Backup(TypedDict):
    """A backup and what its newest verification said; ``removed_at`` is None while it is kept.

    ``one_place`` says why it is not at the second place although it is to be.
    """

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


class Proof(TypedDict):
    """What is proven of a system's backups; ages are None where there is no backup."""

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


class StatusAnswer(TypedDict):
    """``/api/status``."""

    schema_version: int
    at: float
    estate: str
    isolated: str
    problems: list[str]
    downtimes: list[Downtime]
    subjects: list[Subject]
    alarms: list[Alarm]


class DowntimesAnswer(TypedDict):
    """``/api/downtimes``."""

    schema_version: int
    at: float
    in_force: list[Downtime]
    upcoming: list[Downtime]
    past: list[Downtime]


class SubjectAnswer(TypedDict):
    """``/api/status/SUBJECT``."""

    schema_version: int
    at: float
    status: Subject
    values: dict[str, float]
    facts: dict[str, str]
    observed_at: float | None
    flips: list[Flip]


class BackupsAnswer(TypedDict):
    """``/api/backups``."""

    schema_version: int
    at: float
    backups: list[Backup]
    proofs: list[Proof]


class MorningAnswer(TypedDict):
    """``/api/backups/morning``."""

    schema_version: int
    at: float
    subject: str
    text: str


class CalendarAnswer(TypedDict):
    """``/api/calendar``."""

    schema_version: int
    at: float
    upcoming: dict[str, float]
    slots: list[Slot]


class Reloaded(TypedDict):
    """``/api/reload``: subjects, and by name what is no subject."""

    schema_version: int
    loaded_at: float
    added: list[str]
    removed: list[str]
    changed: list[str]
    others: list[str]
    notes: list[str]
