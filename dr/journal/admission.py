"""Folding what happens to a run before its steps may begin: votes, guards' answers, an approval. Part of ``fold``."""

from __future__ import annotations

from collections.abc import Iterable

from dr.errors import IllegalEvent
from dr.journal.ballot import poll_of
from dr.journal.event import ApprovalAsked, Approved, Denied, GuardRuled, LossAccepted, RunStarted, VotesHeard
from dr.journal.fold_parts import after, changed, require
from dr.journal.run import Run, RunState

BY_ITSELF = "failover"


def guards_ruled(run: Run, events: Iterable[GuardRuled]) -> Run:
    """Keep the answers of guards; each of them counts as one event."""
    guards = (*run.guards, *events)
    return changed(run, guards=guards, seq=run.seq + len(guards) - len(run.guards))


def approval_asked(run: Run, event: ApprovalAsked) -> Run:
    """Let the run wait for a person."""
    require(run, event, {RunState.ACCEPTED})
    if event.plan_hash != run.plan_hash:
        raise IllegalEvent(f"run {run.id}: approval asked for another plan")
    return after(run, state=RunState.WAITING, approval_expires_at=event.expires_at)


def approved(run: Run, event: Approved) -> Run:
    """Take a person's approval; the guards are asked once more."""
    require(run, event, {RunState.WAITING})
    if run.approved_by or event.plan_hash != run.plan_hash:
        raise IllegalEvent(f"run {run.id}: an approval that is used up or for another plan")
    return after(run, state=RunState.ACCEPTED, approved_by=event.by, approved_at=event.at)


def denied(run: Run, event: Denied) -> Run:
    """End a run that nobody wants."""
    require(run, event, {RunState.WAITING})
    return after(run, state=RunState.CANCELING, cancel_by=event.by, cancel_reason=event.reason)


def run_started(run: Run, event: RunStarted) -> Run:
    """Let steps begin: with a person's approval, or by itself where enough vantage points agree."""
    require(run, event, {RunState.ACCEPTED})
    if run.plan.attended and not run.approved_by and not _by_itself(run):
        raise IllegalEvent(f"run {run.id} starts without an approval")
    return after(run, state=RunState.IN_PROGRESS, started_at=event.at, token=event.token)


def votes_heard(run: Run, event: VotesHeard) -> Run:
    """Keep what the vantage points say; what they said before counts no more."""
    require(run, event, {RunState.ACCEPTED})
    if event.site != run.plan.from_site:
        raise IllegalEvent(f"run {run.id} leaves {run.plan.from_site}; votes on {event.site} are not its own")
    return after(run, poll=poll_of(event))


def loss_accepted(run: Run, event: LossAccepted) -> Run:
    """Note it; a run that had everything else goes before its guards again."""
    require(run, event, {RunState.WAITING, RunState.PAUSED})
    state = RunState.ACCEPTED if run.state is RunState.WAITING and run.approved_by else run.state
    return after(run, state=state, loss_accepted_s=event.up_to_s, loss_accepted_by=event.by)


def _by_itself(run: Run) -> bool:
    return run.automatic and run.plan.kind == BY_ITSELF and run.poll is not None and run.poll.reached
