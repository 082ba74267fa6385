"""The guard of the recovery point: no more is lost than the objective allows unless a named person has accepted it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from engine_kit import FENCE, ROLE, plan, step
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_kit import FAILOVER, TEXTS, Act, Gate, House, acts, by_ana, house

from dr.action import Context, Done
from dr.engine import commands
from dr.errors import RunRefused
from dr.guard import Facts, Verdict
from dr.guards.rpo import rpo
from dr.journal.event import (
    ApprovalAsked,
    Approved,
    LossAccepted,
    RunAccepted,
    RunStarted,
    Scalar,
    StepStarted,
    StepSucceeded,
)
from dr.journal.fold import begin, fold
from dr.journal.run import Run, RunState
from dr.loss import NOT_SEEN, Loss, counted, seen, span
from monitor.probe import Answer, Observation
from monitor.status.board import Evidence, Sighting

PLAN = plan(
    step("fence", effects=(FENCE,), site="main"),
    step("loss", "fence", action="recovery_point"),
    step("promote", "loss", effects=(ROLE,)),
)
RPO_S = PLAN.rpo_s
NOTHING = Facts((), (), {})


def run_of(origin: str = "person", kind: str = "failover") -> Run:
    accepted = RunAccepted(0.0, replace(PLAN, kind=kind).to_json(), "ana", "", origin, "", 0.0, 0.0)  # type: ignore[arg-type]  # a kind
    return begin("one", accepted)


def measured(outputs: dict[str, Scalar], accepted_s: float = -1.0) -> Run:
    run = run_of()
    run = fold(run, ApprovalAsked(0.0, 9e9, run.plan_hash))
    if accepted_s >= 0:
        run = fold(run, LossAccepted(0.5, "vera", "it must be", accepted_s, "x"))
    run = fold(fold(run, Approved(1.0, "boris", "", run.plan_hash)), RunStarted(2.0, 7))
    for name, made in (("fence", {"proof": "PROVEN"}), ("loss", outputs)):
        run = fold(run, StepStarted(3.0, name, 1, "k", 7))
        run = fold(run, StepSucceeded(4.0, name, 1, made, "", ""))  # type: ignore[arg-type]  # scalars
    return run


def ruled(verdict: Verdict) -> tuple[str, str]:
    assert verdict.sentence
    return verdict.ruling.value, verdict.reason


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (Loss(0.0, 0, "x"), ("allow", "within-objective")),
        (Loss(RPO_S, 3, "x"), ("allow", "within-objective")),
        (Loss(RPO_S + 0.1, 3, "x"), ("wait", "loss-not-accepted")),
        (Loss(None, 3, "x"), ("allow", "loss-not-known")),
        (NOT_SEEN, ("allow", "loss-not-known")),
    ],
)
def test_before_the_run_by_what_was_seen(loss: Loss, expected: tuple[str, str]) -> None:
    assert ruled(rpo(run_of(), replace(NOTHING, loss=loss), None, 0.0)) == expected
    by_alarm = "wait" if expected[1] != "within-objective" else "allow"
    assert rpo(run_of(origin="alarm"), replace(NOTHING, loss=loss), None, 0.0).ruling.value == by_alarm
    assert rpo(run_of(kind="switchover"), replace(NOTHING, loss=loss), None, 0.0).reason == "loses-nothing"


def test_it_is_stated_in_minutes_and_in_declarations() -> None:
    said = rpo(run_of(), replace(NOTHING, loss=Loss(720.0, 34, "main held 90, dr holds 56")), None, 0.0).sentence
    assert said.startswith("12 min (34 declarations) would be lost: main held 90, dr holds 56; more than the 5 min")
    assert "karaula run accept-loss one --reason" in said
    assert (counted(1), span(119.0), span(3 * 3600.0)) == ("1 declaration", "119 s", "3.0 h (180 min)")


@given(
    lost=st.integers(-1, 50),
    known=st.sampled_from(["exact", "at-least", "by-markers", "unknown"]),
    seconds=st.floats(-1, 5000),
    accepted_s=st.floats(0, 5000) | st.just(-1.0),
)
def test_a_promotion_loses_no_more_than_the_objective_or_what_was_accepted(
    lost: int, known: str, seconds: float, accepted_s: float
) -> None:
    run = measured({"lost": lost, "lost_known": known, "rpa_s": seconds}, accepted_s)
    verdict = rpo(run, NOTHING, "promote", 0.0)
    told = known != "unknown" and (lost <= 0 or seconds > 0)
    too_much = told and seconds > max(RPO_S, accepted_s)
    assert (verdict.ruling.value == "wait") == too_much
    assert rpo(run, NOTHING, "fence", 0.0).reason == "no-promotion"


def test_what_was_counted_after_the_fence_stands_where_no_time_is_known() -> None:
    """What was accepted after the old side was last seen is lost, too, and must not be told as nothing."""
    run = measured({"lost": 1, "lost_known": "exact", "rpa_s": 0.0})
    before = Loss(0.0, 0, "when main was last seen it held 552, the standby holds 552")
    verdict = rpo(run, replace(NOTHING, loss=before), "promote", 0.0)
    assert ruled(verdict) == ("allow", "within-objective")
    assert verdict.sentence.startswith(
        "0 s (1 declaration) would be lost: step 'loss' measured it (exact); the time is"
    )
    late = rpo(run, replace(NOTHING, loss=Loss(RPO_S + 1, 9, "x")), "promote", 0.0)
    assert ruled(late) == ("wait", "loss-not-accepted")
    for nothing in (NOTHING, replace(NOTHING, loss=NOT_SEEN)):
        verdict = rpo(run, nothing, "promote", 0.0)
        assert ruled(verdict) == ("allow", "loss-not-known")
        assert verdict.sentence.startswith("how much time would be lost (1 declaration) is not known: step")
    blind = measured({"lost": -1, "lost_known": "unknown", "rpa_s": -1.0})
    assert "could not read" in rpo(blind, NOTHING, "promote", 0.0).sentence
    assert "552" in rpo(blind, replace(NOTHING, loss=before), "promote", 0.0).sentence


def test_what_the_monitor_saw() -> None:
    primary = Sighting("main", 100.0, 90.0, 99.0, 1.0)
    standby = Observation("database/ncts/dr", "ssh", 101.0, Answer.OK, values={"position": 56.0, "received_at": 39.0})
    assert seen(Evidence(primary=primary), standby, "main") == Loss(
        60.0, 34, "when main was last seen it held 90, the standby holds 56"
    )
    level = replace(standby, values={"position": 90.0, "received_at": 39.0})
    assert seen(Evidence(primary=primary), level, "main").seconds == 0.0
    assert seen(Evidence(primary=primary), None, "main") == NOT_SEEN
    assert seen(Evidence(primary=primary), standby, "dr") == NOT_SEEN
    assert seen(Evidence(), standby, "main") == NOT_SEEN


# -- a whole run -------------------------------------------------------------------------------------------------------

MEASURING = FAILOVER.replace("needs: [fence-old, machines]", "needs: [loss, machines]").replace(
    "steps:\n", "steps:\n  - { id: loss, action: recovery_point, needs: [fence-old], timeout_s: 5 }\n"
)
TEXT = {**TEXTS, "failover": MEASURING}


async def accept(at: House, run: Run, up_to_s: float = 0.0, by: str = "vera") -> Run:
    return await at.orchestrator.command(
        run.id,
        lambda run, now: commands.accept_loss(
            run, by, "it must be", at.orchestrator.world.loss(run.plan), up_to_s, now
        ),
    )


def losing(seconds: float) -> dict[str, Act]:
    async def measure(context: Context) -> Done:
        return Done({"lost": 7, "lost_known": "exact", "rpa_s": seconds})

    return acts(recovery_point=Act("recovery_point", None, measure, outputs=("lost", "lost_known", "rpa_s")))


@pytest.mark.anyio
async def test_more_lost_than_was_seen_stops_before_the_promotion_until_a_person_accepts_it(tmp_path: Path) -> None:
    async with house(tmp_path, losing(7200.0), TEXT) as at:
        run = await at.until(await at.approve(await at.submit()), RunState.PAUSED)
        assert (
            "step 'promote' may not begin: guard 'rpo': 2.0 h (120 min) (7 declarations) would be lost"
            in run.pause_reason
        )
        assert not at.actions["promote"].calls
        with pytest.raises(RunRefused, match="needs a reason"):
            await at.orchestrator.command(
                run.id, lambda run, now: commands.accept_loss(run, "vera", " ", None, 0.0, now)
            )
        await accept(at, run, up_to_s=6000.0)
        run = await at.until(run, RunState.PAUSED)
        assert not at.actions["promote"].calls, "less was accepted than is lost"
        clock = at.clock
    async with house(tmp_path, losing(7200.0), TEXT, clock=clock) as at:  # what was accepted outlives the daemon
        run = await at.until(run, RunState.PAUSED)
        assert (run.loss_accepted_s, run.loss_accepted_by) == (6000.0, "vera")
        await accept(at, run)
        run = await at.until(run)
        assert (run.state, run.loss_accepted_s) == (RunState.SUCCEEDED, 7200.0)


@pytest.mark.anyio
async def test_a_loss_that_is_accepted_does_not_let_go_on_what_a_person_has_stopped(tmp_path: Path) -> None:
    gate = Gate()
    async with house(tmp_path, losing(7200.0) | {"power": Act("power", ("power", "on"), gate)}, TEXT) as at:
        run = await at.approve(await at.submit())
        await gate.entered.wait()
        await at.orchestrator.command(run.id, partial(by_ana, commands.pause))
        gate.open.set()
        await accept(at, run, up_to_s=9000.0)
        stopped = at.orchestrator.run(run.id)
        assert (stopped.state, stopped.paused_by, stopped.loss_accepted_s) == (RunState.PAUSED, "ana", 9000.0)
        await at.orchestrator.command(run.id, partial(by_ana, commands.resume))
        assert (await at.until(run)).state is RunState.SUCCEEDED


@pytest.mark.anyio
@pytest.mark.parametrize("first", ["approve", "accept"])
async def test_before_the_run_it_waits_for_both_in_either_order(tmp_path: Path, first: str) -> None:
    async with house(tmp_path, losing(7200.0), TEXT) as at:
        world = replace(at.orchestrator.world, expected_loss=lambda *_: Loss(8000.0, 9, "seen so"))
        at.orchestrator.reload(world, at.orchestrator.rules)
        run = await at.submit()
        asked_until = run.approval_expires_at
        at.clock.advance(10.0)
        if first == "approve":
            await at.approve(run)
            run = await at.until(run, RunState.WAITING, also=lambda run: bool(run.approved_by))
            assert run.approval_expires_at == asked_until, "what is missing gets no more time"
            with pytest.raises(
                RunRefused, match=r"boris has approved .* already; it waits for a person to accept the loss"
            ):
                await at.approve(run)
            await accept(at, run)
        else:
            await accept(at, run)
            assert at.orchestrator.run(run.id).state is RunState.WAITING
            await at.approve(run)
        run = await at.until(run)
        assert run.state is RunState.SUCCEEDED
        assert {note.reason for note in run.guards if note.guard == "rpo"} >= {"loss-not-accepted", "loss-accepted"}


@pytest.mark.anyio
async def test_a_loss_that_nobody_accepts_in_time_is_refused(tmp_path: Path) -> None:
    async with house(tmp_path, losing(7200.0), TEXT) as at:
        world = replace(at.orchestrator.world, expected_loss=lambda *_: Loss(8000.0, 9, "seen so"))
        at.orchestrator.reload(world, at.orchestrator.rules)
        run = await at.until(
            await at.approve(await at.submit()), RunState.WAITING, also=lambda run: bool(run.approved_by)
        )
        for _ in range(2):  # the runner may just be about to look at the clock
            at.clock.advance(3601.0)
            await asyncio.sleep(0.01)
        run = await at.until(run)
        assert (run.state, run.started_at) == (RunState.CANCELED, None)
        assert "nobody accepted the loss in time" in run.end_reason
