"""One moment of a run under proof, the parts that are proved, and the move from one moment to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from dr.checker.deeds import BY_ITSELF, Deed
from dr.checker.laws import Broken
from dr.checker.world import World
from dr.engine.transition import STEP_REFERENCE, Intent, decide
from dr.guard import Guard
from dr.journal.event import Event, Scalar
from dr.journal.fold import fold
from dr.journal.override import Override
from dr.journal.run import Run
from dr.loss import ACTION as MEASURES
from dr.playbook.model import Plan, PlannedStep

NOTHING_LOST: Mapping[str, Scalar] = {"lost": 0, "lost_known": "exact", "rpa_s": 0.0}
PROVEN: Mapping[str, Scalar] = {"proof": "PROVEN"}


@dataclass(frozen=True, slots=True)
class Engine:
    """The parts under proof; the real ones, unless a test plants a mistake.

    What is proven is proven without ``overrides``: what people override, they have taken upon themselves.
    """

    run_guards: Sequence[Guard]
    step_guards: Sequence[Guard]
    decide: Callable[[Run, float], tuple[Intent, ...]] = decide
    fold: Callable[[Run, Event], Run] = fold
    overrides: tuple[Override, ...] = ()


@dataclass(frozen=True, slots=True)
class Node:
    """One moment: the run as journaled, the world as it truly is, who cannot be reached, and how many faults are left.

    ``outputs`` are what each step of the plan yields; ``forced`` are steps that a person had run again without knowing
    whether they had happened; ``agreed``: a person other than the requester has truly approved.
    """

    run: Run
    world: World
    now: float
    left: int
    outputs: Mapping[str, dict[str, Scalar]]
    cut: frozenset[str] = frozenset()
    forced: frozenset[str] = frozenset()
    agreed: bool = False


@dataclass(frozen=True, slots=True)
class Move:
    """A way from one moment to the next, in words, the laws it breaks, and the deed by which it can be played again."""

    words: str
    node: Node
    broken: tuple[Broken, ...] = ()
    deed: Deed = BY_ITSELF


def after(node: Node, engine: Engine, events: Iterable[Event], *, cost: int = 0) -> Node:
    """Return the moment after ``events``. Raises IllegalEvent."""
    run = node.run
    for event in events:
        run = engine.fold(run, event)
    return replace(node, run=run, left=node.left - cost)


def then(
    node: Node, engine: Engine, words: str, events: Sequence[Event], *, cost: int = 0, deed: Deed = BY_ITSELF
) -> Move:
    """Return the move by which ``events`` are written."""
    return Move(words, after(node, engine, events, cost=cost), (), deed)


def unreachable(node: Node, step: PlannedStep) -> bool:
    """Tell whether the step cannot reach what it acts upon."""
    return step.site in node.cut and by_network(step)


def by_network(step: PlannedStep) -> bool:
    """Tell whether the step goes over its site's network; a fence has a network of its own."""
    return not step.touches_fence


def outputs_of(plan: Plan) -> dict[str, dict[str, Scalar]]:
    """Return what each step yields: a fence its proof, and whatever later steps of the plan refer to."""
    found: dict[str, dict[str, Scalar]] = {
        step.id: dict(PROVEN) if step.fences else dict(NOTHING_LOST) if step.action == MEASURES else {}
        for step in plan.steps
    }
    for step in plan.steps:
        for text in _texts(step.args):
            for match in STEP_REFERENCE.finditer(text):
                found.get(match[1], {}).setdefault(match[2], "x")
    return found


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)
