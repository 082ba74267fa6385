"""A tick that is under way when the daemon ends goes quietly: what it was at is taken up by the next start."""

from __future__ import annotations

import asyncio
import logging

import pytest

from console.ticks import Ticks
from monitor.clock import RealClock
from monitor.pulse import Pulse


@pytest.mark.anyio
async def test_an_end_in_the_midst_of_a_tick_is_no_defect(caplog: pytest.LogCaptureFixture) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def tick() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    ticks = Ticks(Pulse(RealClock()))
    before = asyncio.all_tasks()
    ticks.add("tick/slow", "slow part", tick, 0.01)
    ticks.start()
    await asyncio.wait_for(begun.wait(), 60)
    ticks.stop()
    under_way = asyncio.all_tasks() - before
    for task in under_way:
        task.cancel()
    await asyncio.gather(*under_way, return_exceptions=True)
    assert ended.is_set()
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
    assert ticks.problems() == []
