"""A forced run: which steps are left out because they ask something of the lost site, and what lacks them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dr.playbook.model import Mistake, PlannedStep, Playbook
from dr.playbook.reference import REFERENCE


def without_lost_site(
    steps: tuple[PlannedStep, ...], lost: str
) -> tuple[tuple[PlannedStep, ...], tuple[PlannedStep, ...]]:
    """Return the steps that need nothing of the lost site, and those that do. A fence is at the site and not of it."""
    gone = {step.id: step for step in steps if step.site == lost and not step.touches_fence}

    def needs(step: PlannedStep) -> Iterator[str]:
        for need in step.needs:
            if need in gone:
                yield from needs(gone[need])
            else:
                yield need

    kept = (replace(step, needs=tuple(dict.fromkeys(needs(step)))) for step in steps if step.id not in gone)
    return tuple(kept), tuple(gone.values())


def forced_mistakes(
    playbook: Playbook, steps: tuple[PlannedStep, ...], left_out: tuple[PlannedStep, ...]
) -> Iterator[Mistake]:
    """Yield what a forced run lacks: a step that stays works with what one that is left out yields."""
    places = {step.id: ("steps", index) for index, step in enumerate(playbook.steps)}
    places |= {step.id: ("finally", index) for index, step in enumerate(playbook.finally_steps)}
    gone = {step.id for step in left_out}
    for step in steps:
        named = [match[1].split(".") for match in REFERENCE.finditer(str(dict(step.args)))]
        used = sorted(gone & {parts[1] for parts in named if parts[0] == "steps"})
        if used:
            text = f"step '{step.id}' works with what '{used[0]}' yields, which a forced run leaves out"
            yield Mistake(places[step.id], text, "a forced failover needs steps that do without the lost site")
