"""What a joint run does next, and what people may do to it: pure functions of its state, its members' runs and time.

A member begins when everything that it depends on has SUCCEEDED and no member of a more urgent group is still on its
way. What did not succeed holds its dependents until a person lets them go on or cancels. Runs without an approval
(backups, drills) keep the order only: what became of one says nothing of the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dr.engine.commands import person
from dr.engine.transition import DAEMON
from dr.errors import RunRefused
from dr.journal.joint import (
    CANCELING,
    IN_PROGRESS,
    WAITING,
    Joint,
    JointApproved,
    JointCancelAsked,
    JointDenied,
    JointEnded,
    JointEvent,
    JointWentOn,
)
from dr.journal.names import same_person
from dr.journal.run import Run, RunState
from dr.playbook.joint import Member

GOOD = frozenset({RunState.SUCCEEDED, RunState.SUCCEEDED_WITH_WARNINGS})
STANDS_STILL = frozenset({RunState.PAUSED, RunState.WAITING})


@dataclass(frozen=True, slots=True)
class Write:
    """Write this event."""

    event: JointEvent


@dataclass(frozen=True, slots=True)
class Ask:
    """Make the member's run."""

    member: Member


@dataclass(frozen=True, slots=True)
class Approve:
    """Hand the approval of the whole on to this run."""

    run_id: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel this run, for the whole is being canceled."""

    run_id: str


@dataclass(frozen=True, slots=True)
class Withdraw:
    """End this prepared run, whose place the joint run takes."""

    run_id: str


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Nothing to do before ``at`` (Unix seconds)."""

    at: float


JointIntent = Write | Ask | Approve | Cancel | Withdraw | WakeAt


@dataclass(frozen=True, slots=True)
class Standing:
    """How a member stands: its run if there is one, else why it has not begun. ``held``: only a person moves it.

    ``aged``: the approval of the whole is too old for its run, which needs one of its own.
    """

    member: Member
    run: Run | None
    waits: str
    held: bool
    aged: bool = False


def standings(joint: Joint, runs: Mapping[str, Run]) -> tuple[Standing, ...]:
    """Return how each member stands, in their order."""
    found: dict[str, Standing] = {}
    for member in joint.plan.members:
        run = runs.get(member.run_id)
        if run is not None:
            found[member.system] = Standing(member, run, "", held=False, aged=_aged(joint, run, runs))
            continue
        unmet = [need for need in member.needs if not _met(joint, found[need])]
        urgent = [one for one in found.values() if one.member.group < member.group and _on_its_way(one)]
        if unmet:
            held = all(not _on_its_way(found[need]) for need in unmet)
            found[member.system] = Standing(member, None, _why(joint, found[unmet[0]]), held=held)
        elif urgent:
            why = f"waits for {urgent[0].member.system}, which is more urgent"
            found[member.system] = Standing(member, None, why, held=False)
        else:
            found[member.system] = Standing(member, None, "", held=False)
    return tuple(found.values())


def decide(joint: Joint, runs: Mapping[str, Run], now: float) -> tuple[JointIntent, ...]:
    """Return the next intents; empty when only a person or a run under way can move it."""
    if joint.final:
        return ()
    prepared = [run_id for run_id in joint.replaces if run_id in runs and runs[run_id].state is RunState.WAITING]
    replaced = tuple(Withdraw(run_id) for run_id in prepared)
    if joint.state == WAITING:
        if now >= joint.expires_at:
            return (Write(JointDenied(now, DAEMON, "nobody approved in time; a time-out is a refusal")),)
        return (*replaced, WakeAt(joint.expires_at))
    stand = standings(joint, runs)
    if joint.state == CANCELING:
        return replaced + _wind_down(joint, stand, now)
    ended = [one.run for one in stand if one.run is not None and one.run.state.final]
    if len(ended) == len(stand):
        return (Write(_end(ended, now)),)
    found: list[JointIntent] = list(replaced)
    for one in stand:
        if one.run is None and not one.waits:
            found.append(Ask(one.member))
        elif one.run is not None and joint.approved_by and _waits_for_the_whole(one):
            found.append(Approve(one.run.id))
    return tuple(found)


def waits_for_approval_alone(run: Run) -> bool:
    """Tell whether the approval of the whole is all that a waiting run lacks; another guard's wait is a person's."""
    if run.state is not RunState.WAITING:
        return False
    newest = {note.guard: note for note in run.guards if not note.step}
    return {note.guard for note in newest.values() if note.ruling == "wait"} == {"approval"}


def stands_still(joint: Joint, runs: Mapping[str, Run]) -> str:
    """Say why only a person can move it; empty while it moves by itself or is over."""
    if joint.state == WAITING:
        return "it waits for an approval"
    begins = joint.state == IN_PROGRESS
    stand = [one for one in standings(joint, runs) if begins or one.run is not None]
    if joint.final or any(not one.waits if one.run is None else _moves(one) for one in stand):
        return ""
    for one in stand:
        if one.run is not None and one.run.state in STANDS_STILL and (begins or one.run.cancel_by):
            return f"run {one.run.id} is {_plainly(one.run, aged=one.aged)}"
        if one.held:
            return f"{one.member.system}: {one.waits}"
    return ""


# -- people ---------------------------------------------------------------------------------------------------------


def approve(joint: Joint, by: str, comment: str, plan_hash: str, now: float) -> Sequence[JointEvent]:
    """Approve the whole; ``plan_hash`` (or its first 8 digits or more) is what the person saw, empty: any."""
    _waiting(joint)
    person(by)
    if now >= joint.expires_at:
        raise RunRefused(
            "approval", f"the time to approve {joint.id} is over; look how things stand, then ask for it anew"
        )
    if same_person(by, joint.requester):
        raise RunRefused("approval", f"{by} asked for this joint run; somebody else must approve it")
    if plan_hash and (len(plan_hash) < 8 or not joint.plan_hash.startswith(plan_hash)):  # noqa: PLR2004 - a prefix
        raise RunRefused("approval", f"what was approved is not the plan of {joint.id}; look at it again")
    return (JointApproved(now, by, comment, joint.plan_hash),)


def deny(joint: Joint, by: str, reason: str, now: float) -> Sequence[JointEvent]:
    """Refuse the whole; it ends and nothing was done."""
    _waiting(joint)
    person(by)
    return (JointDenied(now, by, reason or "no reason given"),)


def cancel(joint: Joint, by: str, reason: str, now: float) -> Sequence[JointEvent]:
    """End the whole: nothing further begins, runs under way are canceled as each can be."""
    person(by)
    if joint.state not in {WAITING, IN_PROGRESS}:
        raise RunRefused("state", f"joint run {joint.id} is {joint.state}; there is nothing to cancel")
    return (JointCancelAsked(now, by, reason or "no reason given"),)


def go_on(joint: Joint, runs: Mapping[str, Run], system: str, by: str, reason: str, now: float) -> Sequence[JointEvent]:
    """Let those go on that wait for ``system``, whose run did not succeed (or stands still); needs a reason."""
    person(by)
    if joint.state != IN_PROGRESS:
        raise RunRefused("state", f"joint run {joint.id} is {joint.state}; nothing in it is held")
    waiting = {need for one in standings(joint, runs) if one.run is None for need in one.member.needs}
    if system not in waiting:
        known = f"held up by: {', '.join(sorted(waiting))}" if waiting else "nothing waits for any other"
        raise RunRefused("system", f"nothing in {joint.id} waits for '{system}'; {known}")
    if not reason.strip():
        raise RunRefused("reason", f"going on without {system} needs a reason")
    one = next(one for one in standings(joint, runs) if one.member.system == system)
    if system in joint.went_on or (one.run is not None and one.run.state in GOOD):
        raise RunRefused("state", f"nothing waits for {system} any more")
    if _on_its_way(one):
        raise RunRefused("state", f"{system} is still on its way; what waits for it begins when it has succeeded")
    return (JointWentOn(now, system, by, reason),)


def _waiting(joint: Joint) -> None:
    if joint.state != WAITING:
        raise RunRefused("state", f"joint run {joint.id} is {joint.state}; it does not wait for an approval")


# -- inside ---------------------------------------------------------------------------------------------------------


def _met(joint: Joint, need: Standing) -> bool:
    if need.member.system in joint.went_on:
        return True
    if need.run is None:
        return False
    return need.run.state in GOOD if joint.plan.attended else need.run.state.final


def _aged(joint: Joint, run: Run, runs: Mapping[str, Run]) -> bool:
    """Tell whether ``run`` was asked for when no other had succeeded for longer than an approval is good for.

    What two people have approved was not meant for a night that comes days later, by one person's word to go on (and
    to cancel what held it up).
    """
    mine = {member.run_id for member in joint.plan.members} - {run.id}
    ended = [other.ended_at or 0.0 for key, other in runs.items() if key in mine and other.state in GOOD]
    moved_at = max([joint.approved_at or joint.accepted_at, *(at for at in ended if at <= run.accepted_at)])
    return joint.plan.attended and run.accepted_at - moved_at > joint.expires_at - joint.accepted_at


def _waits_for_the_whole(one: Standing) -> bool:
    return one.run is not None and waits_for_approval_alone(one.run) and not one.aged


def _moves(one: Standing) -> bool:
    if one.run is None or one.run.state.final:
        return False
    return one.run.state not in STANDS_STILL or _waits_for_the_whole(one)


def _on_its_way(one: Standing) -> bool:
    """Tell whether it goes on without a person: its run moves, or it has not begun and is not held."""
    return not one.held if one.run is None else _moves(one)


def _why(joint: Joint, need: Standing) -> str:
    system = need.member.system
    if need.run is None:
        return f"waits for {system}, which {need.waits or 'is about to begin'}"
    if _on_its_way(need):
        return f"waits for {system}: run {need.run.id} is under way"
    return (
        f"held: {system} has not succeeded, run {need.run.id} is {_plainly(need.run, aged=need.aged)}. Mend that run, "
        f"or 'karaula run go-on {joint.id} {system} --reason …', or 'karaula run cancel {joint.id}'"
    )


def _plainly(run: Run, *, aged: bool) -> str:
    if aged and waits_for_approval_alone(run):
        return "WAITING for an approval of its own: that of the whole is too old to begin it"
    why = run.pause_reason if run.state is RunState.PAUSED else run.end_reason
    return run.state.value + (f" ({why})" if why else "")


def _wind_down(joint: Joint, stand: Sequence[Standing], now: float) -> tuple[JointIntent, ...]:
    runs = [one.run for one in stand if one.run is not None and not one.run.state.final]
    if not runs:
        reason = f"canceled by {joint.cancel_by}: {joint.cancel_reason}"
        return (Write(JointEnded(now, "CANCELED", reason)),)
    # One that was cancelled and stands still asks what becomes of what it could not undo: whoever answers has looked.
    return tuple(Cancel(run.id) for run in runs if not run.cancel_by and run.state is not RunState.INTERRUPTED)


def _end(runs: Sequence[Run], now: float) -> JointEnded:
    bad = [f"{run.system} {run.state}" + (f" ({run.end_reason})" if run.end_reason else "") for run in runs]
    if failed := [said for said, run in zip(bad, runs, strict=True) if run.state not in GOOD]:
        return JointEnded(now, RunState.FAILED.value, "; ".join(failed))
    warned = [run.system for run in runs if run.state is RunState.SUCCEEDED_WITH_WARNINGS]
    if warned:
        return JointEnded(now, RunState.SUCCEEDED_WITH_WARNINGS.value, f"with warnings: {', '.join(warned)}")
    return JointEnded(now, RunState.SUCCEEDED.value, "")
