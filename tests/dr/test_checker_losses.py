"""Mistakes that lose declarations or take no for an answer: the checker finds these, too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from checker_kit import REAL, Seed, changed, deciding, is_found, without

from dr.checker.moment import Engine
from dr.engine.transition import Intent
from dr.journal.event import Approved, Denied, Event
from dr.journal.fold import fold
from dr.journal.run import Run, RunState


def folding(make: Callable[[Run, Event], Event]) -> Engine:
    return replace(REAL, fold=lambda run, event: fold(run, make(run, event)))


def refusal_as_approval(run: Run, event: Event) -> Event:
    return Approved(event.at, event.by, "", run.plan_hash) if isinstance(event, Denied) else event


def waits_for_ever(run: Run, intents: tuple[Intent, ...], _now: float) -> tuple[Intent, ...]:
    return () if run.state is RunState.WAITING else intents


SEEDS = (
    Seed("the last declaration is not waited for", "switchover", {14}, (without("all-there"),)),
    Seed("the way back does not wait for the last declaration", "failback", {14}, (without("all-there"),)),
    Seed("the wait for it may be passed over", "switchover", {14}, (changed("all-there", on_failure="continue"),)),
    Seed("it is waited for before the active side stops", "failback", {14}, (changed("all-there", needs=("follow",)),)),
    Seed(
        "a place from before the stop is waited for",
        "switchover",
        {14},
        (changed("all-there", args={"position": "${steps.catch-up.position}"}),),
    ),
    Seed("the loss is measured before the fence", "failover", {11}, (changed("loss", needs=("machines",)),)),
    Seed("a refusal taken for an approval", "failover", {10}, (), folding(refusal_as_approval)),
    Seed("an approval is waited for without an end", "failover", {4}, (), deciding(waits_for_ever)),
)


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: seed.name)
def test_a_planted_mistake_is_found(seed: Seed, record_property: Callable[[str, object], None]) -> None:
    is_found(seed, record_property)
