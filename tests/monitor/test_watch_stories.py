"""The watch as a whole, on a clock that the test moves: isolation, site loss, flapping, downtime, groups, restarts."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pytest
from story_kit import Story, story
from watch_kit import REFUSES, Says, estate

from monitor.inventory.planning import Group, PlannedDowntime
from monitor.inventory.vantage import Anchor, Vantage
from monitor.status.downtime import Downtime
from monitor.status.state import Health

if TYPE_CHECKING:
    from pathlib import Path

    from monitor.inventory.model import Inventory

pytestmark = pytest.mark.anyio
ANCHORS = {"gateway": Anchor(address="127.0.0.1"), "witness": Anchor(address="127.0.0.2", probe="tcp", port=9)}
SITE_DOWN = "site-down site/main"
ISOLATED = "isolated karaula/uplink"


@cache
def anchored(site: str | None = None) -> Inventory:
    """The shipped estate, watched from ``site`` by a daemon that knows two anchors."""
    return estate().model_copy(update={"vantage": Vantage(site=site, anchors=ANCHORS), "groups": {}})


def bare() -> Inventory:
    return estate().model_copy(update={"vantage": Vantage(), "groups": {}})


def everything(it: Story) -> list[str]:
    return [target.subject for target in it.world.targets]


def far_from(it: Story, site: str) -> list[str]:
    near = {*it.world.at_site(site), *(f"vm/vc-{site}/{each}" for each in ())}
    return [s for s in everything(it) if s not in near and not s.startswith((f"vm/vc-{site}/", f"power/pdu-{site}"))]


# -- isolation ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inventory", [anchored(), bare()], ids=["anchors", "no anchors"])
async def test_a_cut_of_the_own_uplink_is_one_alarm_and_its_return_clears_it(
    tmp_path: Path, inventory: Inventory
) -> None:
    async with story(tmp_path, inventory) as it:
        await it.live(20)
        assert it.standing() == {}
        it.world.set(REFUSES, *everything(it))
        took = await it.until(lambda: it.watch.isolated, 10)
        assert took <= 4.5
        await it.live(120)
        assert it.standing() == {ISOLATED: ""}
        assert it.samples("karaula_isolated") == {(): 1}
        assert {status.health for status in it.watch.statuses().values()} == {Health.UNKNOWN}
        assert it.health("front/ncts/main") == "unknown isolated"
        assert not [alarm for alarm in it.heard if alarm.name != "isolated"]
        asked = it.world.probes["http"].times("front/ncts/main")
        assert asked[-1] >= it.clock.monotonic() - 2, "what cannot be seen is asked all the same"
        it.world.mend()
        assert await it.until(lambda: not it.watch.isolated, 10) <= 4
        await it.live(60)
        assert it.standing() == {}
        assert {status.health for status in it.watch.statuses().values()} == {Health.OK}
        assert it.post.told == [(ISOLATED, "raised"), (ISOLATED, "cleared")]
        assert not it.watch.flapping()


@pytest.mark.parametrize("offset", [0.0, 0.4, 0.9, 1.3, 1.7])
@pytest.mark.parametrize("late_s", [0.0, 1.4])
async def test_whenever_the_cut_comes_and_however_slowly_failures_show_nothing_is_called_down(
    tmp_path: Path, offset: float, late_s: float
) -> None:
    async with story(tmp_path, anchored()) as it:
        for number, probe in enumerate(sorted(it.world.probes)):
            it.world.probes[probe].clock = it.clock
            it.watch._poller._jitter = lambda number=number: number / 10
        await it.live(20)
        await it.clock.advance(offset)
        silent = Says(REFUSES.answer, "no answer", after_s=late_s)
        it.world.set(silent, *(each for each in everything(it) if not each.startswith("anchor/")))
        it.world.set(Says(REFUSES.answer, "no answer", after_s=1.4), "anchor/gateway", "anchor/witness")
        await it.live(40)
        assert it.standing() == {ISOLATED: ""}
        assert Health.DOWN not in {flip.new for flip in it.watch.flips(limit=1000)}


async def test_the_loss_of_a_site_is_not_isolation_for_who_still_reaches_others(tmp_path: Path) -> None:
    async with story(tmp_path, anchored("dr")) as it:
        await it.live(20)
        it.world.cut("main")
        await it.live(30)
        assert not it.watch.isolated
        assert it.alone() == {SITE_DOWN}
        assert it.health("site/main") == "down"


async def test_everything_but_the_anchors_may_fall_and_that_is_believed(tmp_path: Path) -> None:
    async with story(tmp_path, anchored()) as it:
        await it.live(20)
        it.world.set(REFUSES, *(each for each in everything(it) if not each.startswith("anchor/")))
        await it.live(30)
        assert not it.watch.isolated
        assert it.health("site/main") == it.health("site/dr") == "down"


async def test_dead_anchors_alone_are_an_alarm_of_theirs_and_no_isolation(tmp_path: Path) -> None:
    async with story(tmp_path, anchored()) as it:
        await it.live(20)
        it.world.set(REFUSES, "anchor/gateway", "anchor/witness")
        await it.live(30)
        assert not it.watch.isolated
        assert it.alone() == {"anchor-down anchor/gateway", "anchor-down anchor/witness"}
        it.world.cut("main")
        await it.live(30)
        assert not it.watch.isolated
        assert SITE_DOWN in it.alone(), "what still answers elsewhere is evidence enough"


async def test_what_is_near_is_judged_as_always_while_what_is_far_cannot_be_seen(tmp_path: Path) -> None:
    async with story(tmp_path, anchored("dr")) as it:
        await it.live(20)
        it.world.set(REFUSES, *far_from(it, "dr"))
        await it.live(20)
        assert it.alone() == {ISOLATED}
        assert it.health("site/dr") == "ok"
        assert it.health("site/main").startswith("unknown")
        it.world.set(REFUSES, "dns/dns-dr")
        await it.live(20)
        assert it.alone() == {ISOLATED, "dns-down dns/dns-dr"}
        it.world.set(REFUSES, *everything(it))  # the own network card as well
        await it.live(60)
        assert it.health("host/vault-dr") == "unknown isolated"
        assert it.alone() == {ISOLATED, "dns-down dns/dns-dr"}


async def test_a_fire_that_a_sensor_reports_is_told_while_isolated(tmp_path: Path) -> None:
    async with story(tmp_path, anchored()) as it:
        await it.live(20)
        sensor = "sensor/main-rack-1-temperature"
        it.world.set(REFUSES, *(each for each in everything(it) if each != sensor))
        it.world.set(Says(values={"value": 60.0}), sensor)
        await it.live(20)
        assert it.watch.isolated
        assert it.health(sensor).startswith("down")


async def test_alarms_that_stood_before_stand_on_through_isolation_and_are_cleared_by_what_is_seen_after(
    tmp_path: Path,
) -> None:
    async with story(tmp_path, anchored()) as it:
        await it.live(20)
        it.world.set(REFUSES, "dns/dns-main")
        await it.live(30)
        assert it.alone() == {"dns-down dns/dns-main"}
        it.world.set(REFUSES, *everything(it))
        await it.live(60)
        assert it.alone() == {"dns-down dns/dns-main", ISOLATED}
        it.world.mend()
        await it.live(30)
        assert it.standing() == {}
        assert sorted(it.post.told) == sorted(
            (key, event) for key in ("dns-down dns/dns-main", ISOLATED) for event in ("raised", "cleared")
        )


async def test_a_restart_while_isolated_tells_nothing_again(tmp_path: Path) -> None:
    async with story(tmp_path, anchored()) as it:
        await it.live(20)
        it.world.set(REFUSES, *everything(it))
        await it.live(30)
        assert it.alone() == {ISOLATED}
    for _ in range(2):
        async with story(tmp_path, anchored(), it.world, it.post) as it:
            await it.live(40)
            assert it.alone() == {ISOLATED}
    assert it.post.told == [(ISOLATED, "raised")]
    it.world.mend()
    async with story(tmp_path, anchored(), it.world, it.post) as it:
        await it.live(40)
        assert it.standing() == {}
    assert it.post.told == [(ISOLATED, "raised"), (ISOLATED, "cleared")]


# -- one site, one message ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0])
async def test_a_lost_site_is_one_message_and_so_is_its_return(tmp_path: Path, spread: float) -> None:
    async with story(tmp_path, anchored("dr")) as it:
        numbers = iter(range(100))
        it.watch._poller._jitter = lambda: spread * (next(numbers) % 4) / 3
        await it.live(20)
        it.world.cut("main")
        await it.live(60)
        dependents = set(it.world.at_site("main"))
        standing = it.standing()
        told = {key.partition(" ")[2]: cause for key, cause in standing.items()}
        assert it.alone() == {SITE_DOWN}
        assert dependents <= told.keys()
        assert {told[subject] for subject in dependents} == {SITE_DOWN}
        assert {told[f"system/{key}"] for key in estate().systems} == {SITE_DOWN}
        for subject in dependents:
            assert it.watch.observation(subject).at >= it.clock.now() - 4, f"{subject} is measured on"
        assert it.post.told == [(SITE_DOWN, "raised")]
        it.world.mend()
        await it.live(60)
        assert it.standing() == {}
        assert it.post.told == [(SITE_DOWN, "raised"), (SITE_DOWN, "cleared")]


async def test_what_stays_down_when_its_site_is_back_is_told_then(tmp_path: Path) -> None:
    async with story(tmp_path, anchored("dr")) as it:
        await it.live(20)
        it.world.cut("main")
        await it.live(30)
        it.world.mend()
        it.world.set(REFUSES, "front/ncts/main")
        await it.live(10)
        assert ("system-down system/ncts", "raised") not in it.post.told
        await it.live(20)
        assert set(it.post.told) == {
            (SITE_DOWN, "raised"),
            (SITE_DOWN, "cleared"),
            ("front-down front/ncts/main", "raised"),
            ("system-down system/ncts", "raised"),
        }


async def test_restarts_in_the_middle_of_an_outage_make_no_storm(tmp_path: Path) -> None:
    async with story(tmp_path, anchored("dr")) as it:
        await it.live(20)
        it.world.cut("main")
        await it.live(4)
    for seconds in (1, 3, 7, 30):
        async with story(tmp_path, anchored("dr"), it.world, it.post) as it:
            await it.live(seconds)
    assert it.post.told == [(SITE_DOWN, "raised")]
    it.world.mend()
    for seconds in (1, 2, 4, 40):
        async with story(tmp_path, anchored("dr"), it.world, it.post) as it:
            await it.live(seconds)
    assert it.post.told == [(SITE_DOWN, "raised"), (SITE_DOWN, "cleared")]


# -- flapping ----------------------------------------------------------------------------------------------------------


async def swing(it: Story, subject: str, times: int) -> None:
    for number in range(times):
        it.world.set(REFUSES if number % 2 == 0 else None, subject)
        await it.live(6)


async def test_what_flaps_is_told_once_and_its_single_changes_are_held_back_until_it_settles(tmp_path: Path) -> None:
    async with story(tmp_path, anchored()) as it:
        await it.live(20)
        await swing(it, "dns/dns-dr", 12)
        assert it.watch.flapping() == {"dns/dns-dr"}
        assert it.alone() == {"flapping dns/dns-dr"}
        assert it.samples("karaula_subject_flapping") == {("dns/dns-dr",): 1}
        await swing(it, "dns/dns-dr", 11)
        assert it.standing()["dns-down dns/dns-dr"] == "flapping dns/dns-dr"
        await it.live(30)
        assert it.post.told == [("flapping dns/dns-dr", "raised")]
        await it.live(2 * estate().flapping.half_life_s)
        assert it.alone() == {"dns-down dns/dns-dr"}, "it settled, and it is down"
        await it.live(20)
        assert it.post.told[1:] == [("flapping dns/dns-dr", "cleared"), ("dns-down dns/dns-dr", "raised")]


async def test_an_alarm_that_was_told_before_it_flapped_is_cleared_once_when_it_settles(tmp_path: Path) -> None:
    async with story(tmp_path, anchored()) as it:
        await it.live(20)
        it.world.set(REFUSES, "dns/dns-dr")
        await it.live(30)
        assert it.post.told == [("dns-down dns/dns-dr", "raised")]
        it.world.set(None, "dns/dns-dr")
        await swing(it, "dns/dns-dr", 12)
        told = [each for each in it.post.told if each[0].startswith("flapping")]
        assert told == [("flapping dns/dns-dr", "raised")]
    async with story(tmp_path, anchored(), it.world, it.post) as it:
        it.world.mend()
        await it.live(10)
        assert it.watch.flapping() == {"dns/dns-dr"}, "a restart forgets nothing"
        before = len(it.post.told)
        await it.live(3 * estate().flapping.half_life_s)
        assert it.standing() == {}
    counts = {key: [event for k, event in it.post.told if k == key] for key, _ in it.post.told}
    assert all(events.count("raised") == events.count("cleared") for events in counts.values()), it.post.told
    assert len(it.post.told) > before


# -- planned downtime --------------------------------------------------------------------------------------------------


def planned(it: Story, subject: str, for_s: float, name: str = "d1") -> Downtime:
    now = it.clock.now()
    return Downtime(name, subject, now, now + for_s, now + for_s, "Ana", "new switches", now, "command")


async def test_what_is_planned_is_shown_and_not_told_and_what_is_wrong_at_the_end_is_told_then(tmp_path: Path) -> None:
    async with story(tmp_path, anchored("dr")) as it:
        await it.live(20)
        await it.watch.downtimes.announce(planned(it, "site/main", 120), it.clock.now())
        it.world.cut("main")
        await it.live(60)
        assert it.post.told == []
        assert it.alone() == set()
        assert it.health("site/main") == "down", "nothing is hidden"
        standing = {alarm.key: alarm for alarm in it.watch.alarms()}
        assert {standing[key].downtime for key in (SITE_DOWN, "system-down system/ncts", "dns-down dns/dns-main")} == {
            "d1"
        }
    async with story(tmp_path, anchored("dr"), it.world, it.post) as it:  # a restart forgets no downtime
        await it.live(30)
        assert it.post.told == []
        it.world.mend()
        it.world.set(REFUSES, "dns/dns-main")
        await it.live(30)
        assert it.post.told == []
        took = await it.until(lambda: it.post.told, 30)
        assert took <= 16
        assert it.post.told == [("dns-down dns/dns-main", "raised")]


async def test_a_downtime_that_is_ended_early_ends_its_silence(tmp_path: Path) -> None:
    async with story(tmp_path, anchored("dr")) as it:
        await it.live(20)
        await it.watch.downtimes.announce(planned(it, "dns/dns-dr", 3600), it.clock.now())
        it.world.set(REFUSES, "dns/dns-dr")
        await it.live(60)
        assert it.post.told == []
        assert it.watch.covered().keys() == {"dns/dns-dr", "site/dr"}
        assert it.samples("karaula_subject_downtime") == {("dns/dns-dr",): 1, ("site/dr",): 1}
        await it.watch.downtimes.end("d1", "Boris", it.clock.now())
        await it.live(20)
        assert it.post.told == [("dns-down dns/dns-dr", "raised")]
        (kept,) = it.watch.downtimes.between(0, it.clock.now() + 1e6)
        assert (kept.ended_by, kept.end) == ("Boris", it.clock.now() - 20)


async def test_a_window_of_the_calendar_covers_and_ends_by_itself(tmp_path: Path) -> None:
    line = PlannedDowntime(subject="dns/dns-dr", cron="*/2 * * * *", duration_s=90, owner="duty", reason="reload")
    inventory = anchored().model_copy(update={"downtimes": {"reload": line}})
    async with story(tmp_path, inventory) as it:
        await it.live(20)
        await it.until(lambda: not it.watch.covered(), 91)
        await it.until(it.watch.covered, 121)
        it.world.set(REFUSES, "dns/dns-dr")
        await it.until(it.standing, 30)
        await it.live(16)  # without the works it is told after 15
        assert it.post.told == []
        it.world.set(None, "dns/dns-dr")
        await it.until(lambda: not it.standing(), 30)
        assert it.watch.covered(), "the works are still on: what is not well at their end would be told then"
        await it.until(lambda: not it.watch.covered(), 91)
        await it.live(5)
        assert it.post.told == []


# -- groups ------------------------------------------------------------------------------------------------------------


def grouped(*, need: int = 1, needed_by: tuple[str, ...] = ()) -> Inventory:
    group = Group(name="Name servers", members=("dns/dns-main", "dns/dns-dr"), need=need, needed_by=needed_by)
    return anchored().model_copy(update={"groups": {"dns": group}})


async def test_one_of_a_group_down_is_redundancy_lost_and_all_down_explain_who_needs_them(tmp_path: Path) -> None:
    async with story(tmp_path, grouped(needed_by=("front/ncts/main", "link/blace/primary"))) as it:
        await it.live(20)
        assert it.health("group/dns") == "ok"
        it.world.set(REFUSES, "dns/dns-main", "front/ncts/main")
        await it.live(20)
        assert it.health("group/dns") == "degraded redundancy-lost"
        assert it.standing()["dns-down dns/dns-main"] == "redundancy-lost group/dns"
        assert it.standing()["front-down front/ncts/main"] == "", "the other server is up: that explains nothing"
        it.world.set(REFUSES, "dns/dns-dr", "link/blace/primary")
        await it.live(20)
        assert it.health("group/dns") == "down"
        standing = it.standing()
        for key in ("front-down front/ncts/main", "link-down link/blace/primary", "dns-down dns/dns-dr"):
            assert standing[key] == "group-down group/dns", key
        assert standing["crossing-on-backup crossing/blace"] == "group-down group/dns"
        assert standing["group-down group/dns"] == ""


async def test_a_group_of_one_is_a_plain_dependency_and_makes_no_message_of_its_own(tmp_path: Path) -> None:
    group = Group(name="Line of main", members=("site/main",), needed_by=("link/blace/primary", "link/blace/backup"))
    async with story(tmp_path, anchored("dr").model_copy(update={"groups": {"main-line": group}})) as it:
        await it.live(20)
        it.world.cut("main")
        it.world.set(REFUSES, "link/blace/primary", "link/blace/backup")
        await it.live(40)
        standing = it.standing()
        assert standing["group-down group/main-line"] == SITE_DOWN
        assert standing["link-down link/blace/primary"] == "group-down group/main-line"
        assert standing["crossing-cut-off crossing/blace"] == "group-down group/main-line"
        assert it.post.told == [(SITE_DOWN, "raised")]


async def test_a_group_that_needs_both_is_down_with_one(tmp_path: Path) -> None:
    async with story(tmp_path, grouped(need=2)) as it:
        await it.live(20)
        it.world.set(REFUSES, "dns/dns-main")
        await it.live(20)
        assert it.health("group/dns") == "down"
        assert it.alone() == {"group-down group/dns"}


async def test_a_lost_site_explains_the_group_that_lost_a_member_with_it(tmp_path: Path) -> None:
    async with story(tmp_path, grouped()) as it:
        await it.live(20)
        it.world.cut("main")
        await it.live(40)
        assert it.standing()["redundancy-lost group/dns"] == SITE_DOWN
        assert it.post.told == [(SITE_DOWN, "raised")]
