"""The shipped plans, and ways to spoil them: what the checker must find."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from dr.actions import ACTIONS
from dr.checker.explore import Result, explore
from dr.checker.moment import Engine
from dr.checker.plant import Spoil, changed, with_steps, without
from dr.engine.transition import Intent, decide
from dr.guard import Facts, Guard, Ruling, Verdict
from dr.guards import GUARDS, RUN_GUARDS, STEP_GUARDS
from dr.journal.run import Run
from dr.playbook.model import Plan
from dr.playbook.read import plans_of, read_playbooks
from monitor.inventory.read import read

TOP = Path(__file__).parents[2]
__all__ = ["Spoil", "changed", "with_steps", "without"]
REAL = Engine(RUN_GUARDS, STEP_GUARDS)
AT_ONCE = {4, 9, 12}  # may be broken by the very beginning of a run


@cache
def every(playbook: str) -> tuple[Plan, ...]:
    """Return the shipped playbook's plans for every system, in every direction."""
    files, estate = read_playbooks(TOP / "playbooks"), read(TOP / "inventory.yaml")
    return tuple(plans_of(files[playbook], estate, ACTIONS))


def shipped(playbook: str) -> Plan:
    """Return the one of NCTS, in its usual direction."""
    return next(plan for plan in every(playbook) if plan.system == "ncts")


def found(plan: Plan, faults: int = 1, engine: Engine = REAL) -> Result:
    return explore(plan, faults, engine)


# -- spoiling a plan --------------------------------------------------------------------------------------------------


def at_other_site(step_id: str) -> Spoil:
    """Let the step do its work at the wrong side."""

    def spoil(plan: Plan) -> Plan:
        step = plan.step(step_id)
        other = plan.to_site if step.site == plan.from_site else plan.from_site
        effects = tuple(
            (f"{subject.rpartition('/')[0]}/{other}", what, other if what == "traffic" else value)
            for subject, what, value in step.effects
        )
        return changed(step_id, site=other, effects=effects)(plan)

    return spoil


def added(
    like: str, of: Callable[[], Plan], new_id: str, needs: tuple[str, ...], before: str, **changes: object
) -> Spoil:
    """Put a step of another shipped plan in; ``before`` waits for it."""

    def spoil(plan: Plan) -> Plan:
        step = replace(of().step(like), id=new_id, needs=needs, **changes)  # type: ignore[arg-type]  # fields of a step
        steps = [
            replace(each, needs=(*each.needs, new_id)) if each.id == before else each for each in (*plan.steps, step)
        ]
        return with_steps(plan, steps)

    return spoil


def spoiled(plan: Plan, *ways: Spoil) -> Plan:
    for way in ways:
        plan = way(plan)
    return plan


# -- spoiling the engine ----------------------------------------------------------------------------------------------


def no_guard(name: str) -> Engine:
    """Return the engine with one guard that says yes to everything."""

    def yes(run: Run, facts: Facts, step: str | None, now: float) -> Verdict:
        return Verdict(name, Ruling.ALLOW, "off", "switched off")

    def off(guards: tuple[Guard, ...]) -> tuple[Guard, ...]:
        return tuple(yes if guard is GUARDS[name] else guard for guard in guards)

    return Engine(off(RUN_GUARDS), off(STEP_GUARDS))


def deciding(change: Callable[[Run, tuple[Intent, ...], float], tuple[Intent, ...]]) -> Engine:
    """Return the engine that makes something else of what it decides."""
    return replace(REAL, decide=lambda run, now: change(run, decide(run, now), now))


# -- a mistake and what it breaks -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seed:
    """A mistake: in which playbook, how it is planted, and which of the laws it is to break."""

    name: str
    playbook: str
    laws: set[int]
    ways: tuple[Spoil, ...] = ()
    engine: Engine = field(default=REAL)
    faults: int = 1


def is_found(seed: Seed, record_property: Callable[[str, object], None]) -> None:
    """See that the checker finds it, by one of its laws, with a story to follow; and count it."""
    result = found(spoiled(shipped(seed.playbook), *seed.ways), seed.faults, seed.engine)
    story = result.counterexample
    well = story is not None and story.law in seed.laws
    record_property("counted", ("planted mistakes found by the checker", int(well), 1))
    assert story is not None, "not found"
    assert story.law in seed.laws, f"law {story.law}: {story.wrong}\n" + "\n".join(story.course)
    assert story.course or story.law in AT_ONCE, "a story that a person can follow has something in it"
