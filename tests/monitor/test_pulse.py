"""The pulse of the daemon's parts, alone and inside the watch."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from watch_kit import HANGS, TimelineClock, World, estate, live, settled

from monitor.pulse import LAG_KEPT_S, Pulse
from monitor.watch import EVALUATION_WITHIN_S, Watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.anyio
INVENTORY = estate()


async def test_a_part_is_missed_when_it_is_late_and_not_before() -> None:
    clock = TimelineClock()
    pulse = Pulse(clock)
    pulse.expect("calendar", "nobody has looked at the calendar", 20)
    await clock.advance(20)
    assert pulse.problems() == []
    await clock.advance(1)
    assert pulse.problems() == ["nobody has looked at the calendar for 21 s"]
    assert pulse.silent_s() == {"calendar": 21.0}
    pulse.beat("calendar")
    assert pulse.problems() == []
    pulse.forget("calendar")
    await clock.advance(100)
    assert pulse.silent_s() == {}


async def test_one_can_wait_for_the_next_beat() -> None:
    pulse = Pulse(TimelineClock())
    pulse.expect("evaluation", "nothing is worked out", 20)
    pulse.beat("evaluation")
    waiting = [asyncio.create_task(pulse.next_beat("evaluation")) for _ in range(2)]
    await settled()
    assert not any(each.done() for each in waiting)
    pulse.beat("evaluation")
    await asyncio.gather(*waiting)


async def test_the_worst_wait_of_the_last_minute_is_kept_and_then_let_go() -> None:
    clock = TimelineClock()
    pulse = Pulse(clock)
    assert pulse.worst_lag_s() is None
    for lag in (0.1, 3.0, -0.1):
        pulse.late(lag)
    assert pulse.worst_lag_s() == 3.0
    await clock.advance(LAG_KEPT_S + 1)
    assert pulse.worst_lag_s() is None
    pulse.late(0.2)
    assert pulse.worst_lag_s() == 0.2
    assert len(pulse._lags) == 1


@pytest.fixture
async def watch(tmp_path: Path) -> AsyncIterator[tuple[Watch, TimelineClock, World]]:
    clock = TimelineClock()
    world = World(INVENTORY, clock)
    made = Watch(INVENTORY, world.targets, world.probes, tmp_path, clock)
    await made.start()
    yield made, clock, world
    stopping = asyncio.create_task(made.stop())
    while not stopping.done():
        await clock.advance(0)
        await asyncio.sleep(0.005)
    await stopping
    assert made.pulse.silent_s() == {}


async def test_sources_that_hang_are_no_fault_of_the_watch(watch: tuple[Watch, TimelineClock, World]) -> None:
    made, clock, world = watch
    world.set(HANGS, *(target.subject for target in world.targets))
    await live(made, clock, 120)
    assert {status.health.value for status in made.statuses().values()} <= {"unknown", "down"}
    assert made.faults() == []
    assert set(made.pulse.silent_s().values()) == {0.0}


async def test_a_poll_loop_that_died_is_a_fault(watch: tuple[Watch, TimelineClock, World]) -> None:
    made, clock, _ = watch
    await live(made, clock, 5)
    key = next(key for key in made._poller._loops if key[0] == "snmp")
    made._poller._loops[key].cancel()
    await live(made, clock, key[1] + 17)
    (fault,) = made.faults()
    assert fault.startswith(f"no snmp target has been asked, although some are due every {key[1]:g} s, for ")


async def test_an_evaluation_that_died_or_is_stuck_is_a_fault(
    watch: tuple[Watch, TimelineClock, World], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, clock, _ = watch
    await live(made, clock, 5)
    assert made.faults() == []
    stuck = asyncio.get_running_loop().create_future()

    async def never() -> None:
        await stuck

    monkeypatch.setattr(made, "tick", never)
    await live(made, clock, EVALUATION_WITHIN_S + 2)
    (fault,) = made.faults()
    assert fault.startswith("states and alarms have not been worked out for ")
    stuck.set_result(None)
    await settled()
    monkeypatch.undo()
    await live(made, clock, 2)
    assert made.faults() == []


async def test_a_writer_of_the_history_that_died_is_a_fault(watch: tuple[Watch, TimelineClock, World]) -> None:
    made, clock, _ = watch
    assert made._record is not None
    assert made._record._task is not None
    made._record._task.cancel()
    await live(made, clock, 3)
    (fault,) = made.faults()
    assert "its writer has ended" in fault
