"""The invariants of recovery, each as a pure question to one moment of a run; an empty answer is a clean one.

1. At most one site of a system accepts declarations. 2. Nothing is promoted before the other side is fenced, in truth.
3. Success means exactly one site active and the service's name leading to it. 5. A drill, backup or verification
leaves production as it found it, and nothing of its own behind unless its cleaning up failed. Beyond these: no effect
comes about twice unless a person forced it (6), the name is led to a primary only (7), no second run is let in beside
an unfinished one (8), the engine never writes what its own journal refuses (9), what changes production has another
person's approval or a quorum (10), nothing is promoted over a loss beyond the objective that nobody has accepted (11),
no run begins on a day on which it must not (12, ``admission``), nothing is undone beneath a step that could not be
undone, or may have happened, before a person has passed over that (13). Number 4, that every moment which is not final
has a way out, is a question to the whole graph: ``explore`` asks it, and 9 as it goes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dr.checker.world import World, first_world
from dr.journal.run import Run, RunState, StepState
from dr.loss import measured
from dr.playbook.model import ATTENDED, MAY_LOSE, PlannedStep

LAWS: Mapping[int, str] = {
    1: "at most one site accepts declarations",
    2: "nothing is promoted before the other side is fenced",
    3: "success means one active site, with the service's name leading to it, and without trouble there is success",
    4: "every moment that is not final has a way out",
    5: "a drill, backup or verification leaves production as it found it and nothing behind",
    6: "no effect comes about twice",
    7: "clients are led to a primary only",
    8: "one run a system",
    9: "the engine writes what its journal allows",
    10: "what changes production begins with another person's approval, or by itself with a quorum",
    11: "a loss beyond the objective is accepted by a person before anything is promoted over it",
    12: "a run begins only when it may",
    13: "nothing is undone beneath what may still stand, unless a person says so",
    14: "nothing is promoted in a planned hand-over before everything has arrived",
}
LEFTOVERS = frozenset({("bubble", "present"), ("scratch", "restored")})
MOVES = frozenset({"failover", "switchover", "failback"})
GOOD_ENDS = frozenset({RunState.SUCCEEDED, RunState.SUCCEEDED_WITH_WARNINGS})


@dataclass(frozen=True, slots=True)
class Broken:
    """A law that does not hold: its number and what is wrong, in words."""

    law: int
    words: str


def moment(run: Run, world: World) -> Iterator[Broken]:
    """Ask what must hold at every moment."""
    plan = run.plan
    accepting = [site for site in (plan.from_site, plan.to_site) if world.accepts(plan.system, site)]
    if len(accepting) > 1:
        yield Broken(1, f"{' and '.join(accepting)} both accept declarations of {plan.system}")
    if plan.kind not in ATTENDED and world.production() != first_world(plan).production():
        yield Broken(5, f"a {plan.kind} has changed production: {_difference(run, world)}")
    if run.started_at is not None and plan.kind in ATTENDED and not allowed(run):
        yield Broken(10, f"the {plan.kind} begins, and neither an approval nor a quorum allows it")
    if run.state in GOOD_ENDS:
        yield from _success(run, world, accepting)
    if run.state.final:
        yield from _leftovers(run, world)


def allowed(run: Run) -> bool:
    """Tell whether another person approved the run, or it may begin by itself and enough see its side down."""
    approved = bool(run.approved_by) and run.approved_by != run.requester
    return approved or (run.automatic and run.poll is not None and run.poll.reached)


def effect(run: Run, step: PlannedStep, world: World, *, forced: bool) -> Iterator[Broken]:
    """Ask what must hold when the effect of ``step`` comes about in ``world`` (as it was before)."""
    plan = run.plan
    if step.id in world.applied and not forced:
        yield Broken(6, f"step '{step.id}' takes effect a second time")
    for subject, what, value in step.effects:
        site = subject.rpartition("/")[2]
        if what == "role" and value == "primary" and plan.kind in ATTENDED:
            other = plan.to_site if site == plan.from_site else plan.from_site
            if world.value(plan.system, other, "fence") != "on":
                yield Broken(2, f"step '{step.id}' promotes {site} while {other} is not fenced")
            if plan.kind not in MAY_LOSE and world.arrived is not None and site not in world.arrived:
                yield Broken(14, f"step '{step.id}' promotes {site}, and not everything from {other} has arrived there")
            if plan.kind in MAY_LOSE and (early := sorted(world.early)):
                yield Broken(
                    11, f"step '{step.id}' promotes {site} by what '{early[0]}' measured before {other} stopped"
                )
            loss = measured(run)
            lost_s = 0.0 if loss is None or loss.seconds is None else loss.seconds
            if lost_s > max(plan.rpo_s, run.loss_accepted_s):
                yield Broken(
                    11, f"step '{step.id}' promotes {site}, and nobody has accepted that {lost_s:g} s are lost"
                )
        if what == "traffic" and world.value(plan.system, value, "role") != "primary":
            yield Broken(7, f"step '{step.id}' leads clients to {value}, which is not the primary")


def beneath(run: Run, step: str) -> Iterator[Broken]:
    """Ask what must hold when ``step`` begins to be undone: nothing that needs it, directly or not, may still stand."""
    upon = {step}
    while more := {each.id for each in run.plan.steps if each.id not in upon and upon.intersection(each.needs)}:
        upon |= more
    for other in upon - {step}:
        record = run.steps[other]
        not_undone = record.state is StepState.UNDO_FAILED and not record.ignored_by
        if not_undone or record.state in {StepState.UNKNOWN, StepState.IN_PROGRESS}:
            yield Broken(13, f"step '{step}' is undone beneath '{other}', which is {record.state}")


def _success(run: Run, world: World, accepting: list[str]) -> Iterator[Broken]:
    plan = run.plan
    goal = plan.to_site if plan.kind in MOVES else plan.from_site if plan.kind == "reprotect" else ""
    if goal:
        if accepting != [goal]:
            yield Broken(
                3, f"the run ends as {run.state}, and {' and '.join(accepting) or 'no site'} accepts declarations"
            )
        leads_to = world.values.get((f"system/{plan.system}", "traffic"), "")
        if leads_to != goal:
            yield Broken(3, f"the run ends as {run.state}, and the service's name leads to {leads_to}")


def _leftovers(run: Run, world: World) -> Iterator[Broken]:
    """Yield what the run leaves behind, unless the step that removes it was tried and the run says that it failed."""
    for (subject, what), value in world.values.items():
        if (what, value) not in LEFTOVERS:
            continue
        tried = any(
            record.attempt and (subject, what, "absent") in record.plan.effects for record in run.steps.values()
        )
        if not tried or run.state in GOOD_ENDS:
            yield Broken(5, f"the run ends as {run.state} and leaves its {what} behind at {subject}")


def _difference(run: Run, world: World) -> str:
    was = dict(first_world(run.plan).production())
    return ", ".join(
        f"{what} of {subject} is {value}, was {was.get((subject, what), 'nothing')}"
        for (subject, what), value in world.production()
        if was.get((subject, what)) != value
    )
