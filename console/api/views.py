"""The shapes that the HTTP API answers with: stable, versioned by ``schema``, times in Unix seconds (UTC).

They are made here from the product's own types and from nothing else, so that what is public can be seen in one file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from dr.engine.commands import choices_at
from dr.engine.telling import expires_at, question, questions
from dr.journal.ballot import known
from dr.journal.calendar import Slot
from dr.journal.pause import Pause
from dr.journal.run import Run, StepRecord, StepState
from dr.playbook.model import PlannedStep
from dr.rights import Rights, approvers
from monitor.status.state import Flip, Status

SCHEMA = 1


class View(BaseModel):
    """Base of all answers."""

    model_config = ConfigDict(frozen=True)


class SubjectView(View):
    """What is held true of one subject; ``seen_at`` is null when it was never seen.

    ``downtime`` is the id of the planned downtime that covers it now.
    """

    subject: str
    health: str
    detail: str
    reason: str
    since: float
    seen_at: float | None
    flapping: bool
    downtime: str


class AlarmView(View):
    """An alarm; ``cleared_at`` is null while it stands.

    ``cause`` is the key of the alarm that explains it, ``downtime`` the id of the planned downtime that covers it; one
    with either is not sent. ``not_prepared`` says why the run that a response asks for is not prepared; it is empty
    when it is, or when none is asked for.
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


class FlipView(View):
    """One change of a subject's health."""

    subject: str
    old: str
    new: str
    detail: str
    reason: str
    at: float


class StepView(View):
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


class VerdictView(View):
    """A guard's answer."""

    guard: str
    ruling: str
    reason: str
    sentence: str
    step: str
    at: float


class VoteView(View):
    """What a vantage point said of the side to leave (down, up, unknown); ``age_s`` is null where it never saw it."""

    point: str
    word: str
    looks_at: str
    age_s: float | None
    reason: str


class RunView(View):
    """A run without its steps.

    ``by_itself`` says of one that an automatic response asked for how it began, ``may_approve`` in words who may
    approve one that waits for that.
    """

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


class QuestionView(View):
    """A question that waits for a person's answer; ``on_timeout`` is what counts then (empty: it is refused)."""

    step: str
    question: str
    choices: list[str]
    on_timeout: str
    expires_at: float


class RunDetailView(RunView):
    """A run with its steps, guards and questions. ``decisions`` are what can be said of one step: its id, a word."""

    summary: str
    rto_s: float
    rpo_s: float
    wish: str
    service_lost_at: float
    alarm_at: float
    token: int
    steps: list[StepView]
    guards: list[VerdictView]
    questions: list[QuestionView]
    undo_refused: str
    decisions: list[tuple[str, str]]
    votes: list[VoteView]
    votes_needed: int


class PauseView(View):
    """A pause in force."""

    system: str
    owner: str
    reason: str
    since: float
    expires_at: float


class SlotView(View):
    """A due time of a scheduled job and what became of it."""

    job: str
    due: float
    state: str
    run_id: str
    reason: str


def subject_view(status: Status, *, flapping: bool, downtime: str) -> SubjectView:
    """Return the view of a status; ``downtime`` is the id of what covers its subject."""
    return SubjectView(
        subject=status.subject,
        health=status.health.value,
        detail=status.detail,
        reason=status.reason,
        since=status.since,
        seen_at=status.seen_at,
        flapping=flapping,
        downtime=downtime,
    )


def flip_view(flip: Flip) -> FlipView:
    """Return the view of a flip."""
    return FlipView(
        subject=flip.subject,
        old=flip.old.value,
        new=flip.new.value,
        detail=flip.detail,
        reason=flip.reason,
        at=flip.at,
    )


def run_view(run: Run, rights: Rights) -> RunView:
    """Return the run without its steps."""
    return RunView(**_run_fields(run, rights))


def run_detail_view(run: Run, rights: Rights) -> RunDetailView:
    """Return the run with its steps and guards."""
    return RunDetailView(
        **_run_fields(run, rights),
        summary=run.plan.summary,
        rto_s=run.plan.rto_s,
        rpo_s=run.plan.rpo_s,
        wish=run.plan.wished,
        service_lost_at=run.service_lost_at,
        alarm_at=run.alarm_at,
        token=run.token,
        steps=[step_view(run.steps[step.id].plan, run.steps[step.id]) for step in run.plan.steps],
        guards=[VerdictView(**{name: getattr(note, name) for name in VerdictView.model_fields}) for note in run.guards],
        votes=[VoteView(**known(vote)) for vote in (run.poll.votes if run.poll else ())],
        votes_needed=run.poll.needed if run.poll else 0,
        questions=[
            QuestionView(
                step=record.plan.id,
                question=question(run, record),
                choices=[str(choice) for choice in record.plan.args.get("choices", ())],
                on_timeout=str(record.plan.args.get("on_timeout", "")),
                expires_at=expires_at(record),
            )
            for record in questions(run)
        ],
        undo_refused=run.undo_refused,
        decisions=[(key, word) for key, record in run.steps.items() for word in choices_at(run, record)],
    )


def pause_view(pause: Pause) -> PauseView:
    """Return the view of a pause."""
    return PauseView(**{name: getattr(pause, name) for name in PauseView.model_fields})


def slot_view(slot: Slot) -> SlotView:
    """Return the view of a slot."""
    return SlotView(**{name: getattr(slot, name) for name in SlotView.model_fields})


def _run_fields(run: Run, rights: Rights) -> Mapping[str, Any]:
    records = list(run.steps.values())
    return {
        "id": run.id,
        "playbook": run.plan.playbook,
        "kind": run.plan.kind,
        "system": run.system,
        "from_site": run.plan.from_site,
        "to_site": run.plan.to_site,
        "state": run.state.value,
        "final": run.state.final,
        "requester": run.requester,
        "reason": run.reason,
        "origin": run.origin,
        "by_itself": run.by_itself,
        "accepted_at": run.accepted_at,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "end_reason": run.end_reason,
        "approval_expires_at": run.approval_expires_at if run.state.value == "WAITING" else None,
        "may_approve": approvers(rights, run),
        "approved_by": run.approved_by,
        "approved_at": run.approved_at,
        "loss_accepted_by": run.loss_accepted_by,
        "loss_accepted_s": run.loss_accepted_s,
        "pause_reason": run.pause_reason,
        "plan_hash": run.plan_hash,
        "interruptions": run.interruptions,
        "steps_done": sum(record.state.settled and record.state is not StepState.CANCELED for record in records),
        "steps_total": len(records),
        "now_doing": [record.plan.id for record in records if record.state.value == "IN_PROGRESS"],
    }


def step_view(step: PlannedStep, record: StepRecord) -> StepView:
    """Return a step as planned, with what became of it."""
    return StepView(
        id=step.id,
        action=step.action,
        site=step.site,
        description=step.description,
        needs=list(step.needs),
        final=step.final,
        args={key: value for key, value in step.args.items() if key not in {"system", "site"}},
        effects=[list(effect) for effect in step.effects],
        timeout_s=step.timeout_s,
        on_failure=step.on_failure,
        state=record.state.value,
        attempt=record.attempt,
        started_at=record.started_at,
        ended_at=record.ended_at,
        reason=record.reason,
        evidence=record.evidence,
        outputs=dict(record.outputs),
        provider=step.provider,
    )
