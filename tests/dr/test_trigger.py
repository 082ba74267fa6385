"""From alarm to prepared run and back: grace, refusals that pass, withdrawal that never hits an approved run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from orchestrator_kit import HOUR_S, Act, Gate, HeldClock, House, acts, house

from dr.journal.pause import Pause
from dr.journal.run import Run, RunState
from dr.trigger import AlarmNote, Trigger
from monitor.errors import StateError
from monitor.inventory.behaviour import Response

pytestmark = pytest.mark.anyio


@dataclass
class Watchtower:
    house: House
    trigger: Trigger

    def raised(self, ref: str = "1", system: str = "ncts", name: str = "system-down") -> None:
        now = self.house.clock.now()
        self.trigger.raised(AlarmNote(ref, name, f"system/{system}", now, "no front answers", now - 10))

    async def tick(self, after_s: float = 0.0) -> list[Run]:
        self.house.clock.advance(after_s)
        await self.trigger.tick()
        return [run for run in self.house.orchestrator.runs() if run.origin == "alarm"]

    async def waiting(self) -> Run:
        (run,) = [run for run in await self.tick(31) if run.state is RunState.WAITING]
        return run


def response(**more: Any) -> Response:
    return Response(**{"alarm": "system-down", "system": "ncts", "playbook": "failover", "grace_s": 30, **more})


async def test_what_withheld_a_run_is_not_said_any_more_while_it_only_has_to_stand(tmp_path: Path) -> None:
    async with tower(tmp_path) as at:
        reasons = ["the monitor itself is cut off"]
        at.trigger = Trigger({"ncts-down": response()}, at.house.orchestrator, at.house.clock.now, lambda _: reasons[0])
        at.raised()
        assert await at.tick(5) == []
        assert at.trigger.refusals
        reasons[0] = ""
        assert await at.tick(5) == []
        assert at.trigger.refusals == {}


async def test_what_is_withheld_is_prepared_once_that_is_over_and_only_if_it_still_stands(tmp_path: Path) -> None:
    async with tower(tmp_path) as at:
        reasons = ["the monitor itself is cut off"]
        at.trigger = Trigger({"ncts-down": response()}, at.house.orchestrator, at.house.clock.now, lambda _: reasons[0])
        at.raised()
        assert await at.tick(600) == []
        assert at.trigger.refusals == {"1": "the monitor itself is cut off"}
        reasons[0] = ""
        (run,) = await at.tick(1)
        assert run.state is RunState.WAITING
        assert at.trigger.refusals == {}
        reasons[0] = "planned downtime"
        assert await at.tick(60) == [run], "what waits for a person already goes on waiting"
        at.trigger.cleared("1")
        at.raised("2")
        at.trigger.cleared("2")
        reasons[0] = ""
        assert [each.id for each in await at.tick(60)] == [run.id]


@asynccontextmanager
async def tower(
    folder: Path, actions: dict[str, Act] | None = None, clock: HeldClock | None = None, **more: Any
) -> AsyncIterator[Watchtower]:
    async with house(folder, actions, clock=clock) as at:
        yield Watchtower(at, Trigger({"ncts-down": response(**more)}, at.orchestrator, at.clock.now))


async def test_an_alarm_that_has_stood_prepares_one_run_and_no_second(tmp_path: Path) -> None:
    async with tower(tmp_path) as at:
        at.raised()
        assert await at.tick() == []
        assert await at.tick(29) == []
        (run,) = await at.tick(1)
        assert (run.state, run.requester, run.reason) == (
            RunState.WAITING,
            "karaula",
            "system-down: no front answers",
        )
        assert (run.alarm_at - run.service_lost_at, run.origin_ref) == (10.0, "ncts-down:1")
        assert await at.tick(60) == [run]


async def test_an_alarm_that_clears_in_its_grace_prepares_nothing(tmp_path: Path) -> None:
    async with tower(tmp_path) as at:
        at.raised()
        await at.tick(20)
        at.trigger.cleared("1")
        assert await at.tick(60) == []


@pytest.mark.parametrize(
    ("more", "alarm"),
    [({"mode": "notify"}, {}), ({}, {"system": "ite"}), ({}, {"name": "system-degraded"})],
)
async def test_what_no_response_is_for_is_left_alone(
    tmp_path: Path, more: dict[str, str], alarm: dict[str, str]
) -> None:
    async with tower(tmp_path, **more) as at:
        at.raised(**alarm)
        assert await at.tick(60) == []


async def test_a_clock_set_back_does_not_hold_up_a_preparation(tmp_path: Path) -> None:
    async with tower(tmp_path) as at:
        at.raised()
        at.house.clock.jump(-HOUR_S)
        assert len(await at.tick()) == 1


async def test_the_same_alarm_after_a_restart_prepares_nothing_new(tmp_path: Path) -> None:
    clock = HeldClock()
    async with tower(tmp_path, clock=clock) as at:
        at.raised()
        run = await at.waiting()
    async with tower(tmp_path, clock=clock) as at:
        at.raised()
        assert [one.id for one in await at.tick(31)] == [run.id]


async def test_a_run_is_withdrawn_when_its_alarm_clears_and_prepared_anew_when_it_rises_again(tmp_path: Path) -> None:
    async with tower(tmp_path) as at:
        at.raised()
        first = await at.waiting()
        at.trigger.cleared("1")
        await at.tick()
        first = await at.house.until(first)
        assert first.state is RunState.CANCELED
        assert "the alarm cleared before anybody approved" in first.end_reason
        assert at.house.actions["fence"].calls == []
        at.house.clock.advance(5)
        at.raised("2")
        second = await at.waiting()
        assert second.id != first.id
        assert second.origin_ref == "ncts-down:2"


async def test_an_approved_run_is_never_withdrawn(tmp_path: Path) -> None:
    async with tower(tmp_path) as at:
        at.raised()
        run = await at.waiting()
        await at.house.approve(run)
        at.trigger.cleared("1")
        await at.tick()
        assert (await at.house.until(run)).state is RunState.SUCCEEDED


async def test_an_approval_just_before_the_withdrawal_wins(tmp_path: Path) -> None:
    """Both are on their way to the runner; the withdrawal must not end a hand-over under way."""
    gate = Gate()
    async with tower(tmp_path, acts(fence=Act("fence", ("fence", "on"), gate, outputs=("proof",)))) as at:
        at.raised()
        run = await at.waiting()
        approving = asyncio.ensure_future(at.house.approve(run))
        await asyncio.sleep(0)
        at.trigger.cleared("1")
        withdrawing: Awaitable[Any] = asyncio.ensure_future(at.trigger.tick())
        await asyncio.gather(approving, withdrawing)
        gate.open.set()
        run = await at.house.until(run)
        assert (run.state, run.cancel_by) == (RunState.SUCCEEDED, "")


async def test_a_refusal_is_journaled_once_and_shown_and_passes_with_its_cause(tmp_path: Path) -> None:
    """A backup in the night must not cost the failover that its end makes possible."""
    gate = Gate()
    async with tower(tmp_path, acts(write=Act("write", ("backup", "written"), gate))) as at:
        backup = await at.house.submit("backup")
        at.raised()
        (refused,) = await at.tick(31)
        assert refused.state is RunState.CANCELED
        assert "exclusive" in at.trigger.refusals["1"]
        for _ in range(5):
            assert await at.tick(1) == [refused]
        gate.open.set()
        await at.house.until(backup)
        (newest, _) = await at.tick(1)
        assert newest.state is RunState.WAITING
        assert at.trigger.refusals == {}
        assert len(await at.tick(60)) == 2


async def test_a_refusal_that_stands_over_a_restart_still_passes(tmp_path: Path) -> None:
    clock = HeldClock()
    async with tower(tmp_path, clock=clock) as at:
        now = clock.now()
        await at.house.orchestrator.standing.pause(Pause("ncts", "vera", "new racks", now, now + HOUR_S))
        at.raised()
        (refused,) = await at.tick(31)
        assert "paused" in refused.end_reason
    async with tower(tmp_path, clock=clock) as at:
        at.raised()
        assert await at.tick(31) == [at.house.orchestrator.run(refused.id)]
        assert "new racks" in at.trigger.refusals["1"]
        assert (await at.tick(HOUR_S))[0].state is RunState.WAITING


async def test_what_a_person_denied_or_let_run_out_is_not_asked_again(tmp_path: Path) -> None:
    async with tower(tmp_path) as at:
        at.raised()
        run = await at.waiting()
        at.house.clock.advance(2 * HOUR_S)
        run = await at.house.until(run)
        assert "nobody approved in time" in run.end_reason
        assert await at.tick(60) == [run]


async def test_flapping_holds_for_an_hour_and_then_asks_a_person(tmp_path: Path) -> None:
    async with tower(tmp_path) as at:
        await at.house.moved("failover")
        at.house.clock.advance(60)
        await at.house.moved("failback")
        at.house.clock.advance(60)
        at.raised()
        (refused,) = await at.tick(31)
        assert "for an hour after one, alarms start none" in refused.end_reason
        (newest, _) = await at.tick(HOUR_S)
        assert newest.state is RunState.WAITING
        assert any(note.reason == "second-within-a-day" for note in newest.guards)


async def test_a_full_disk_is_tried_again_at_the_next_tick(tmp_path: Path) -> None:
    async with tower(tmp_path) as at:
        at.raised()
        at.house.journal.full = True
        with pytest.raises(StateError):
            await at.tick(31)
        at.house.journal.full = False
        assert len(await at.tick(1)) == 1


async def test_nothing_is_remembered_of_alarms_that_are_over(tmp_path: Path) -> None:
    async with tower(tmp_path) as at:
        for number in range(20):
            at.raised(str(number))
            await at.tick(31)
            at.trigger.cleared(str(number))
            await at.tick()
            for run in at.house.orchestrator.runs():
                await at.house.until(run)
        assert not at.trigger._standing
        assert not at.trigger._answered
        assert not at.trigger.refusals
