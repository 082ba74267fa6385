"""What a watch cut off from the estate still tells, what it does not count, and when it is not cut off at all."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pytest
from story_kit import Story, story
from watch_kit import REFUSES, Says, estate

from monitor.inventory.vantage import Anchor, Vantage

if TYPE_CHECKING:
    from pathlib import Path

    from monitor.inventory.model import Inventory

pytestmark = pytest.mark.anyio
ANCHORS = {"gateway": Anchor(address="127.0.0.1"), "witness": Anchor(address="127.0.0.2", probe="tcp", port=9)}
SITE_DOWN = "site-down site/main"
ISOLATED = "isolated karaula/uplink"


@cache
def anchored(site: str) -> Inventory:
    """The shipped estate, watched from ``site`` by a daemon that knows two anchors."""
    return estate().model_copy(update={"vantage": Vantage(site=site, anchors=ANCHORS), "groups": {}})


def far_from(it: Story, site: str) -> list[str]:
    near, inside = set(it.world.at_site(site)), (f"vm/vc-{site}/", f"power/pdu-{site}")
    return [one.subject for one in it.world.targets if one.subject not in near and not one.subject.startswith(inside)]


@pytest.mark.parametrize("restart", [False, True])
async def test_an_uplink_that_comes_and_goes_makes_nothing_flap(tmp_path: Path, restart: bool) -> None:
    async with story(tmp_path, anchored("dr")) as it:
        numbers = iter(range(10000))
        it.watch._poller._jitter = lambda: (next(numbers) % 4) / 3
        await it.live(20)
        for _ in range(8):
            it.world.set(REFUSES, *far_from(it, "dr"))
            await it.live(15)
            assert it.watch.isolated
            it.world.mend()
            await it.live(15)
        assert not it.watch.flapping()
    if restart:
        async with story(tmp_path, anchored("dr"), it.world, it.post) as it:
            await it.live(20)
            assert not it.watch.flapping()


async def test_a_danger_at_the_own_site_is_told_while_isolated(tmp_path: Path) -> None:
    async with story(tmp_path, anchored("dr")) as it:
        await it.live(20)
        it.world.set(REFUSES, *far_from(it, "dr"))
        await it.live(20)
        assert it.alone() == {ISOLATED}
        sensors = [f"sensor/{key}" for key in estate().votes["dr-overheat"].sensors]
        it.world.set(Says(values={"value": 60.0}), *sensors)
        await it.live(30)
        assert it.watch.isolated
        assert it.health("vote/dr-overheat") == "down"
        assert "danger-confirmed vote/dr-overheat" in it.alone()
        assert "vote/main-overheat" in it.watch.unjudged()
        inside = {f"{kind}/vc-{site}/one": () for kind in ("esx", "datastore") for site in ("main", "dr")}
        blind = it.watch._board._sight.unjudged({}, inside)
        assert blind == {"esx/vc-main/one", "datastore/vc-main/one"}, "what the own site's vCenter tells is seen"


async def test_one_lost_answer_of_an_anchor_after_a_real_loss_is_no_isolation(tmp_path: Path) -> None:
    async with story(tmp_path, anchored("dr")) as it:
        await it.live(20)
        it.world.set(REFUSES, *(each for each in far_from(it, "dr") if not each.startswith("anchor/")))
        await it.live(30)
        assert not it.watch.isolated
        assert SITE_DOWN in it.alone()
        it.world.set(REFUSES, "anchor/gateway", "anchor/witness")
        await it.live(2.25, 0.25)  # one ask of each
        it.world.set(None, "anchor/gateway", "anchor/witness")
        await it.live(30)
        assert (ISOLATED, "raised") not in it.post.told
        assert not [alarm for alarm in it.heard if alarm.name == "isolated"]
        it.world.set(REFUSES, "anchor/gateway", "anchor/witness")
        await it.until(lambda: it.watch.isolated, 10)
        assert "all else beyond the own uplink is down" in it.watch.isolated
