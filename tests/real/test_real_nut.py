"""NUT's own upsd and driver: the flags of a power cut, and a driver that hangs while upsd repeats its last words."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nut_kit import LONG_S, UPS, Nut

from monitor.clock import RealClock
from monitor.credential import Credentials
from monitor.inventory.estate import Trust
from monitor.probe import Answer, Observation, Target
from monitor.probes.nut import NutParams, NutProbe
from monitor.status.sensor import LOW_BATTERY, ON_BATTERY, ups
from monitor.status.state import Health

pytestmark = [pytest.mark.real, pytest.mark.anyio]
ADDRESS = "127.94.7.67"
MAX_AGE_S = 5


class Room:
    def __init__(self, nut: Nut, probe: NutProbe) -> None:
        self.nut = nut
        self.probe = probe

    async def asked(self) -> list[Observation]:
        """Ask for charge and state."""
        targets = [
            Target(f"sensor/{name}", "nut", NutParams(ADDRESS, self.nut.port, UPS, name), 10, 5.0)
            for name in ("battery.charge", "ups.status")
        ]
        return [seen async for seen in self.probe.observe(targets)]

    async def until(self, flags: str) -> Observation:
        async with asyncio.timeout(LONG_S):
            while True:
                _, state = await self.asked()
                if state.facts.get("ups_status") == flags:
                    return state
                await asyncio.sleep(0.2)


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    nut = Nut(tmp_path, ADDRESS, max_age_s=MAX_AGE_S)
    await nut.start()
    yield Room(nut, NutProbe(Credentials(tmp_path), Trust(tls_ca="ca", known_hosts="known"), RealClock()))
    nut.stop()


async def test_a_power_cut(room: Room) -> None:
    state = await room.until("OL CHRG")  # upsd has the charge first
    charge, _ = await room.asked()
    assert charge.values == {"value": 87.0}
    assert ups(state.facts["ups_status"]).health is Health.OK
    room.nut.say(charge=60, load=23, status="OB DISCHRG")
    assert ups((await room.until("OB DISCHRG")).facts["ups_status"]).detail == ON_BATTERY
    room.nut.say(charge=9, load=23, status="OB DISCHRG LB")
    low = ups((await room.until("OB DISCHRG LB")).facts["ups_status"])
    assert (low.health, low.detail) == (Health.DOWN, LOW_BATTERY)


async def test_a_driver_that_hangs_becomes_stale_and_not_well(room: Room) -> None:
    assert room.nut.driver is not None
    room.nut.driver.send_signal(signal.SIGSTOP)
    async with asyncio.timeout(LONG_S):
        while True:
            found = await room.asked()
            if all(seen.answer is Answer.FAILED for seen in found):
                break
            if found[1].answer is Answer.OK:
                assert found[1].facts["ups_status"] == "OL CHRG"  # its last words, repeated
            await asyncio.sleep(0.2)
    assert "upsd has lost touch with the UPS (DATA-STALE)" in found[0].reason
    room.nut.driver.send_signal(signal.SIGCONT)
    await room.until("OL CHRG")


async def test_a_driver_that_is_gone(room: Room) -> None:
    assert room.nut.driver is not None
    room.nut.driver.kill()
    room.nut.driver.wait()
    async with asyncio.timeout(LONG_S):
        while True:
            found = await room.asked()
            if found[0].answer is not Answer.OK:
                break
            await asyncio.sleep(0.2)
    assert "lost touch" in found[0].reason or "does not run" in found[0].reason
