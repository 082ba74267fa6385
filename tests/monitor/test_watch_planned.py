"""The watch while works are planned and while clocks are set: what neither may hide."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from story_kit import Story, story
from watch_kit import REFUSES, START, Says, estate

from monitor.inventory.planning import PlannedDowntime
from monitor.inventory.systems import VmRule
from monitor.inventory.vantage import Anchor, Vantage
from monitor.probe import Answer, Observation
from monitor.status.downtime import Downtime
from monitor.status.state import Health

if TYPE_CHECKING:
    from pathlib import Path

    from monitor.inventory.model import Inventory

pytestmark = pytest.mark.anyio
ANCHORS = {"gateway": Anchor(address="127.0.0.1"), "witness": Anchor(address="127.0.0.2", probe="tcp", port=9)}
ISOLATED = "isolated karaula/uplink"
OFF = Says(REFUSES.answer, "powered off")
STANDBY, ACTIVE = (Says(facts={"role": role}, values={"epoch": 1}) for role in ("standby", "active"))


def anchored() -> Inventory:
    return estate().model_copy(update={"vantage": Vantage(anchors=ANCHORS), "groups": {}})


def everything(it: Story) -> list[str]:
    return [target.subject for target in it.world.targets]


def planned(it: Story, subject: str, for_s: float) -> Downtime:
    now = it.clock.now()
    return Downtime("d1", subject, now, now + for_s, now + for_s, "Ana", "new switches", now, "command")


@pytest.mark.parametrize(
    ("subject", "says", "alarm"),
    [
        ("front/ncts/dr", ACTIVE, "split-brain system/ncts"),
        ("front/ncts/main", STANDBY, "system-down system/ncts"),
    ],
)
async def test_works_on_one_of_two_web_servers_hide_no_lost_system(
    tmp_path: Path, subject: str, says: Says, alarm: str
) -> None:
    web = "vm/vc-main/ncts-web-2"
    async with story(tmp_path, anchored()) as it:
        await it.live(20)
        await it.watch.downtimes.announce(planned(it, web, 3600), it.clock.now())
        it.world.set(OFF, web)
        await it.live(20)
        assert it.watch.covered().keys() >= {web, "system/ncts"}, "that it has one server less was planned"
        assert it.post.told == []
        it.world.set(says, subject)
        await it.live(20)
        assert it.standing()[alarm] == ""
        assert "system/ncts" not in it.watch.covered()
        assert (alarm, "raised") in it.post.told


@pytest.mark.parametrize(
    ("subject", "hidden"),
    [
        ("front/ncts/dr", False),  # works on the standby's front do not make its database lag
        ("vm/vc-dr/ncts-web-1", False),
        ("database/ncts/main", False),  # works on the active side neither: the standby is the one that is behind
        ("database/ncts/dr", True),
        ("host/ncts-db-dr", True),
        ("site/dr", True),
    ],
)
async def test_works_hide_a_standby_that_lags_only_where_they_explain_it(
    tmp_path: Path, subject: str, *, hidden: bool
) -> None:
    late = estate().systems["ncts"].rpo_s + 100
    behind = Says(facts={"role": "standby"}, values={"position": 9, "epoch": 1, "received_at": START - late})
    async with story(tmp_path, anchored()) as it:
        await it.live(20)
        await it.watch.downtimes.announce(planned(it, subject, 3600), it.clock.now())
        if subject.startswith(("front/", "vm/")):
            it.world.set(OFF, subject)
        it.world.set(behind, "database/ncts/dr")
        await it.live(40)
        assert it.health("system/ncts") == "degraded main"
        assert ("system/ncts" in it.watch.covered()) is hidden
        assert (("system-degraded system/ncts", "raised") in it.post.told) is not hidden


async def test_works_on_the_standby_hide_no_vm_of_the_active_side_that_a_rule_found(tmp_path: Path) -> None:
    web = VmRule(tier="web", folder="ncts/web")
    ncts = estate().systems["ncts"]
    main = ncts.sites["main"].model_copy(update={"vms": ncts.sites["main"].vms.model_copy(update={"rules": (web,)})})
    system = ncts.model_copy(update={"sites": {**ncts.sites, "main": main}})
    inventory = anchored().model_copy(update={"systems": {**estate().systems, "ncts": system}})
    async with story(tmp_path, inventory) as it:

        def guest(answer: Answer) -> None:
            facts = {"belongs_to": "ncts/main/web"}
            it.watch._observed(Observation("vm/vc-main/web-9", "vsphere", it.clock.now(), answer, "off", facts=facts))

        await it.live(20)
        await it.watch.downtimes.announce(planned(it, "front/ncts/dr", 3600), it.clock.now())
        it.world.set(OFF, "front/ncts/dr")
        for answer in (Answer.OK, Answer.OK, Answer.OK, Answer.FAILED, Answer.FAILED, Answer.FAILED):
            guest(answer)
            await it.live(3)
        assert "vm/vc-main/web-9 is down" in it.watch.status("system/ncts").reason
        assert "system/ncts" not in it.watch.covered()
        await it.watch.downtimes.announce(replace(planned(it, "vcenter/vc-main", 3600), id="d2"), it.clock.now())
        guest(Answer.FAILED)
        await it.live(2)
        assert it.watch.covered().keys() >= {"system/ncts", "vm/vc-main/web-9"}


async def test_a_split_brain_is_told_in_a_downtime_of_the_system_itself(tmp_path: Path) -> None:
    async with story(tmp_path, anchored()) as it:
        await it.live(20)
        await it.watch.downtimes.announce(planned(it, "system/ncts", 3600), it.clock.now())
        it.world.set(ACTIVE, "front/ncts/dr")
        await it.live(20)
        assert it.post.told == [("split-brain system/ncts", "raised")]


class Unreadable:
    """A reading connection to a damaged file."""

    def execute(self, *_: object) -> None:
        raise sqlite3.DatabaseError("database disk image is malformed")


async def test_a_record_of_downtimes_that_cannot_be_read_stops_no_alarm(tmp_path: Path) -> None:
    line = PlannedDowntime(subject="dns/dns-main", cron="* * * * *", duration_s=30, owner="duty", reason="reload")
    async with story(tmp_path, anchored().model_copy(update={"downtimes": {"reload": line}})) as it:
        await it.live(20)
        reader, it.watch.downtimes._reader = it.watch.downtimes._reader, Unreadable()
        it.world.set(REFUSES, "dns/dns-dr")
        await it.until(it.watch.covered, 61)
        await it.live(20)
        assert it.post.told == [("dns-down dns/dns-dr", "raised")]
        assert "dns/dns-main" in it.watch.covered(), "what the inventory says needs no file"
        assert any("malformed" in problem for problem in it.watch.faults())
        assert not it.watch.pulse.problems()
        it.watch.downtimes._reader = reader
        await it.until(lambda: it.watch.faults() == [], 60)


async def test_a_tick_that_fails_loses_no_flip_and_is_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with story(tmp_path, anchored()) as it:
        await it.live(20)

        def fails(*_: object) -> None:
            raise RuntimeError("a mistake")

        with monkeypatch.context() as broken:
            broken.setattr(it.watch._book, "update", fails)
            it.world.set(REFUSES, "dns/dns-dr")
            await it.live(20)
            assert any("a mistake" in problem for problem in it.watch.faults())
            assert len(it.watch.pulse.problems()) == 1
        await it.live(2)
        assert it.watch.faults() == []
        assert "dns-down dns/dns-dr" in it.alone()
        assert next(flip.new for flip in it.watch.flips("dns/dns-dr")) is Health.DOWN


# -- a clock that is set back -----------------------------------------------------------------------------------------


async def test_a_system_that_is_lost_as_the_clock_is_set_back_is_down_all_the_same(tmp_path: Path) -> None:
    async with story(tmp_path, anchored()) as it:
        await it.live(20)
        it.world.set(STANDBY, "front/ncts/main")
        await it.until(lambda: "system/ncts" in it.watch._board._doubts, 10)
        it.clock._wall -= 9
        await it.live(5)
        assert it.alone() == {"system-down system/ncts"}


async def test_a_front_that_fails_as_the_clock_is_set_back_is_down_all_the_same(tmp_path: Path) -> None:
    async with story(tmp_path, anchored()) as it:
        await it.live(20)
        it.world.set(Says(REFUSES.answer, "no answer", after_s=1.2), "front/ncts/dr")
        await it.until(lambda: "front/ncts/dr" in it.watch._board._sight._held, 20)
        it.clock._wall -= 9
        await it.live(5)
        assert it.health("front/ncts/dr") == "down"


async def test_the_own_uplink_that_goes_as_the_clock_is_set_back_calls_nothing_down(tmp_path: Path) -> None:
    async with story(tmp_path, anchored()) as it:
        await it.live(20)
        it.clock._wall -= 9
        it.world.set(REFUSES, *(each for each in everything(it) if not each.startswith("anchor/")))
        it.world.set(Says(REFUSES.answer, "no answer", after_s=1.4), "anchor/gateway", "anchor/witness")
        await it.live(40)
        assert ISOLATED in it.alone()
        assert Health.DOWN not in {flip.new for flip in it.watch.flips(limit=1000)}


@pytest.mark.parametrize("back", [0, 9, 500])
async def test_a_cut_that_sensors_notice_first_calls_none_of_them_faulty(tmp_path: Path, back: float) -> None:
    """One answer of theirs was lost already; the second fails before anybody knows of the others that it is a cut."""
    sensors = [f"sensor/{key}" for key in estate().sensors]
    async with story(tmp_path, anchored()) as it:
        await it.live(20)
        it.world.set(REFUSES, *sensors)
        await it.until(lambda: it.watch.observation(sensors[0]).answer is REFUSES.answer, 5)
        it.world.set(Says(REFUSES.answer, "no answer", after_s=1.4), *(set(everything(it)) - set(sensors)))
        it.clock._wall -= back
        await it.live(60)
        assert {alarm.name for alarm in it.heard} == {"isolated"}
        it.world.set(None, *everything(it))
        await it.live(60)
        assert it.standing() == {}
        assert {alarm.name for alarm in it.heard} == {"isolated"}
        it.world.set(REFUSES, sensors[0])
        await it.until(lambda: f"sensor-fault {sensors[0]}" in it.standing(), 20)
