"""What keeps an alarm from preparing a run: after a restart, while isolated, in a downtime; on the real watch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from story_kit import Story, story
from watch_kit import REFUSES, Says, estate

from console.withheld import withheld
from dr.trigger import AlarmNote
from monitor.inventory.vantage import Anchor, Vantage
from monitor.status.downtime import Downtime

if TYPE_CHECKING:
    from pathlib import Path

    from monitor.inventory.model import Inventory

pytestmark = pytest.mark.anyio
ANCHORS = {"gateway": Anchor(address="127.0.0.1"), "witness": Anchor(address="127.0.0.2", probe="tcp", port=9)}
FRONTS = ("front/ncts/main", "front/ncts/dr")
DOWN = "system-down system/ncts"


def anchored() -> Inventory:
    return estate().model_copy(update={"vantage": Vantage(anchors=ANCHORS), "groups": {}})


def against(it: Story, key: str = DOWN) -> str:
    """Return why nothing is prepared for the standing alarm ``key``."""
    alarm = next(alarm for alarm in it.watch.alarms() if alarm.key == key)
    return withheld(AlarmNote(alarm.id, alarm.name, alarm.subject, alarm.since, alarm.reason, 0.0), it.watch)


async def lost(folder: Path) -> Story:
    """Let a daemon see ncts fall, and end."""
    async with story(folder, anchored()) as it:
        await it.live(20)
        it.world.set(REFUSES, *FRONTS)
        await it.live(20)
        assert against(it) == ""
    return it


async def test_what_stood_before_a_restart_prepares_once_it_is_found_so_again(tmp_path: Path) -> None:
    it = await lost(tmp_path)
    async with story(tmp_path, anchored(), it.world, it.post) as it:
        assert against(it) == "system/ncts has not been heard of since the start of Karaula"
        await it.until(lambda: not against(it), 12)
        assert it.health("system/ncts") == "down"
        assert all(it.watch.observation(front) for front in FRONTS)


async def test_a_system_that_recovered_while_no_daemon_ran_prepares_nothing(tmp_path: Path) -> None:
    it = await lost(tmp_path)
    it.world.mend()
    async with story(tmp_path, anchored(), it.world, it.post) as it:
        for _ in range(200):
            if DOWN not in it.standing():
                break
            assert against(it)
            await it.live(0.1, 0.1)
        assert it.health("system/ncts") == "ok main"
        assert DOWN not in it.standing()


@pytest.mark.parametrize("late_s", [0.0, 1.4])
async def test_a_monitor_that_starts_cut_off_prepares_nothing(tmp_path: Path, late_s: float) -> None:
    it = await lost(tmp_path)
    it.world.set(REFUSES, *(target.subject for target in it.world.targets))
    it.world.set(Says(REFUSES.answer, "no answer", after_s=late_s), "anchor/gateway", "anchor/witness")
    async with story(tmp_path, anchored(), it.world, it.post) as it:
        for _ in range(300):
            assert against(it)
            await it.live(0.1, 0.1)
        assert it.watch.isolated


async def test_works_on_a_web_server_withhold_no_failover_and_works_on_the_system_do(tmp_path: Path) -> None:
    async with story(tmp_path, anchored()) as it:
        await it.live(20)
        now, web = it.clock.now(), "vm/vc-main/ncts-web-2"
        works = Downtime("d1", web, now, now + 3600, now + 3600, "Ana", "new disks", now, "command")
        await it.watch.downtimes.announce(works, now)
        it.world.set(REFUSES, web)
        it.world.set(Says(facts={"role": "standby"}, values={"epoch": 1}), "front/ncts/main")
        await it.live(20)
        assert against(it) == ""
        works = Downtime("d2", "system/ncts", now, now + 3600, now + 3600, "Ana", "new disks", now, "command")
        await it.watch.downtimes.announce(works, now)
        await it.live(2)
        assert against(it) == "it is in planned downtime, announced by Ana: new disks"
        it.world.set(Says(facts={"role": "active"}, values={"epoch": 1}), *FRONTS)
        await it.live(10)
        assert against(it, "split-brain system/ncts") == ""
