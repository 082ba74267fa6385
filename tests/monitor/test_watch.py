"""The watch as a whole, as timelines over the shipped inventory."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families
from watch_kit import HANGS, REFUSES, START, Says, TimelineClock, World, estate, live, settled, written

from monitor.errors import StateError, Unreachable
from monitor.metrics.catalog import METRICS
from monitor.metrics.export import render
from monitor.notify import Notifier
from monitor.probe import Answer
from monitor.status.state import Health
from monitor.watch import Watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from monitor.history import Event
    from monitor.status.alarm import Alarm

pytestmark = pytest.mark.anyio
INVENTORY = estate()  # polled every 2 s with a deadline of 1.5 s, two answers in a row, stale after 10 s
OPEN = {"front/ncts/main", "system/ncts"}


class Post:
    """A channel that keeps what it is given."""

    name = "post"

    def __init__(self) -> None:
        self.broken = False
        self.told: list[tuple[str, Event]] = []

    async def send(self, alarm: Alarm, event: Event, reference: str) -> str:
        if self.broken:
            raise Unreachable("the road is closed")
        self.told.append((alarm.key, event))
        return reference or alarm.id

    async def close(self) -> None:
        """Nothing is kept."""


class Story:
    """A running watch with its world, clock and what it announced."""

    def __init__(self, folder: Path, clock: TimelineClock | None = None, world: World | None = None) -> None:
        self.clock = clock or TimelineClock()
        self.world = world or World(INVENTORY, self.clock)
        self.post = Post()
        self.heard: list[Alarm] = []
        notifier = Notifier([self.post], self.clock, hold_s=10)
        self.watch = Watch(INVENTORY, self.world.targets, self.world.probes, folder, self.clock, notifier)
        self.watch._poller._jitter = lambda: 0.0
        self.watch.subscribe(self.heard.append)

    async def live(self, seconds: int) -> None:
        """Let time pass."""
        await live(self.watch, self.clock, seconds)

    def health(self, subject: str) -> str:
        status = self.watch.status(subject)
        assert status is not None
        return f"{status.health} {status.detail}".strip()

    def raised(self) -> set[str]:
        return {alarm.key for alarm in self.heard if alarm.active}

    def samples(self) -> dict[str, dict[tuple[str, ...], float]]:
        body, _ = render(self.watch.snapshot())
        return {
            sample.name: {
                tuple(each.labels.values()): each.value for each in family.samples if each.name == sample.name
            }
            for family in text_string_to_metric_families(body.decode())
            for sample in family.samples
        }


@contextlib.asynccontextmanager
async def story(folder: Path, clock: TimelineClock | None = None, world: World | None = None) -> AsyncIterator[Story]:
    made = Story(folder, clock, world)
    await made.watch.start()
    try:
        yield made
    finally:
        stopping = asyncio.create_task(made.watch.stop())
        while not stopping.done():
            await made.clock.advance(0)
            await asyncio.sleep(0.005)
        await stopping


async def test_on_a_good_day_everything_is_ok_within_two_polls(tmp_path: Path) -> None:
    async with story(tmp_path) as it:
        assert it.watch.not_ready() != []
        assert {status.health for status in it.watch.statuses().values()} == {Health.UNKNOWN}
        await it.live(3)
        assert it.watch.not_ready() == []
        assert {
            key: status.health for key, status in it.watch.statuses().items() if status.health is not Health.OK
        } == {}
        assert it.health("system/ncts") == "ok main"
        assert it.health("crossing/blace") == "ok primary"
        assert it.watch.alarms() == []
        assert it.watch.problems() == []


async def test_when_main_is_cut_the_right_alarms_rise_in_time_and_one_explains_the_rest(tmp_path: Path) -> None:
    async with story(tmp_path) as it:
        await it.live(5)
        it.world.cut("main")
        await it.live(6)
        systems = {f"system-down system/{key}" for key in INVENTORY.systems}
        assert it.raised() >= systems | {"site-down site/main", "vcenter-down vcenter/vc-main"}
        assert it.health("system/ncts") == "down"
        assert it.health("site/main") == "down"
        assert it.health("site/dr") == "ok"
        assert it.health("power/pdu-main") == "ok"
        alone = {alarm.key for alarm in it.watch.alarms() if not alarm.cause}
        assert alone == {"site-down site/main"}
        assert it.watch.evidence("ncts").service_ok_at == START + 4
        assert it.watch.observation("database/ncts/main").values == {}
        assert it.watch.last_good("database/ncts/main").values["epoch"] == 1
        await it.live(60)
        assert {key for key, _ in it.post.told} == alone
        it.world.mend()
        await it.live(6)
        assert it.watch.alarms() == []
        assert sorted(it.post.told) == sorted((key, event) for key in alone for event in ("raised", "cleared"))
        assert len([alarm for alarm in it.heard if alarm.active]) == len([a for a in it.heard if not a.active])


async def test_a_hung_vcenter_is_an_alarm_and_delays_nobody(tmp_path: Path) -> None:
    async with story(tmp_path) as it:
        await it.live(5)
        it.world.set(HANGS, "vcenter/vc-main")
        await it.live(10)
        assert it.raised() == {"vcenter-down vcenter/vc-main"}
        assert "no answer within 2.25 s" in it.heard[0].reason
        for subject, status in it.watch.statuses().items():
            if subject not in ("vcenter/vc-main", "site/main"):
                assert status.health is Health.OK, subject
        assert it.watch.observation("front/ncts/main").at >= START + 14


async def test_a_sensor_that_talks_garbage_and_a_host_with_another_key_are_named(tmp_path: Path) -> None:
    async with story(tmp_path) as it:
        await it.live(5)
        it.world.set(Says(Answer.FAILED, "what came is not SNMP"), "sensor/main-rack-1-temperature")
        strange = Says(Answer.FAILED, "the host key is another", facts={"error": "untrusted"})
        it.world.set(strange, "host/ncts-db-main", "database/ncts/main")
        await it.live(6)
        assert it.raised() == {
            "sensor-fault sensor/main-rack-1-temperature",
            "host-untrusted host/ncts-db-main",
        }
        assert it.health("database/ncts/main") == "unknown untrusted"
        await it.live(30)
        unknown = next(alarm for alarm in it.watch.alarms() if alarm.name == "unknown")
        assert (unknown.subject, unknown.cause) == ("database/ncts/main", "host-untrusted host/ncts-db-main")


async def test_a_planned_move_between_two_polls_is_never_called_split_brain(tmp_path: Path) -> None:
    async with story(tmp_path) as it:
        it.world.set(Says(facts={"role": "active"}, after_s=0.0), "front/ncts/main")
        await it.live(5)
        for step in range(20):  # dr is heard as active while main's last word is still "active", and the other way
            main, dr = ("standby", "active") if step % 2 == 0 else ("active", "standby")
            it.world.set(Says(facts={"role": dr}, after_s=0.5 * (step % 3)), "front/ncts/dr")
            it.world.set(Says(facts={"role": main}, after_s=1.4), "front/ncts/main")
            await it.live(2)
        assert it.raised() == {"flapping system/ncts"}  # twenty moves in forty seconds


async def test_two_active_sites_are(tmp_path: Path) -> None:
    async with story(tmp_path) as it:
        await it.live(5)
        it.world.set(Says(facts={"role": "active"}), "front/ncts/dr")
        await it.live(5)
        assert it.raised() == {"split-brain system/ncts"}
        assert it.samples()["karaula_system_state"]["split-brain", "ncts"] == 1


async def test_a_restart_raises_nothing_twice_and_clears_what_ended_meanwhile(tmp_path: Path) -> None:
    async with story(tmp_path) as it:
        await it.live(5)
        it.world.set(REFUSES, "power/pdu-main", "check/none", "host/vault-dr")
        await it.live(20)
        before = it.watch.alarms()
        assert {alarm.key for alarm in before} == {"power-controller-down power/pdu-main", "host-down host/vault-dr"}
        since = it.watch.status("power/pdu-main").since
    it.world.set(None, "host/vault-dr")
    clock, first = it.clock, it
    world = first.world
    async with story(tmp_path, clock, world) as it:
        assert it.watch.alarms() == before
        assert it.health("power/pdu-main") == "unknown"
        await it.live(6)
        assert [alarm.key for alarm in it.heard] == ["host-down host/vault-dr"]
        assert not it.heard[0].active
        assert it.watch.status("power/pdu-main").since == since
        await it.live(30)
        await written(it.watch)
        assert it.post.told == [("host-down host/vault-dr", "cleared")]
        flips = [(flip.old, flip.new) for flip in it.watch.flips("power/pdu-main")]
        assert flips == [("ok", "down"), ("unknown", "ok")]
        ended = {alarm.key: alarm.cleared_at for alarm in it.watch.alarms(active_only=False)}
        assert ended["power-controller-down power/pdu-main"] is None
        assert ended["host-down host/vault-dr"] is not None


async def test_with_a_full_disk_the_watch_goes_on_and_nothing_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with story(tmp_path) as it:
        await it.live(5)
        await written(it.watch)
        db = it.watch._record.history._writer
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count={pages}")
        it.world.cut("main")  # and every link, so that more changes than the last pages have room for
        it.world.set(REFUSES, *(f"link/{key}/{which}" for key in INVENTORY.links for which in ("primary", "backup")))
        await it.live(30)
        assert "history-failing karaula/history" in it.raised()
        assert "system-down system/ncts" in it.raised()
        assert "disk is full" in it.watch.problems()[0]
        assert it.watch.flips("system/ncts")[0].new is Health.DOWN
        samples = it.samples()
        assert samples["karaula_history_failing"][()] == 1
        assert samples["karaula_history_pending"][()] > 50
        assert ("site-down site/main", "raised") in it.post.told
        db.execute("PRAGMA max_page_count=1000000")
        await it.live(2)
        await written(it.watch)
        await it.live(2)
        await written(it.watch)
        assert it.watch.problems() == []
        assert not next(alarm for alarm in reversed(it.heard) if alarm.name == "history-failing").active
        kept = it.watch._record.history.flips("system/ncts")
        assert [flip.new for flip in kept] == [Health.DOWN, Health.OK]
        assert [flip.at for flip in kept] == sorted((flip.at for flip in kept), reverse=True)


async def test_stale_values_leave_the_metrics_and_their_age_stays(tmp_path: Path) -> None:
    async with story(tmp_path) as it:
        await it.live(5)
        link, sensor = ("blace", "primary", "operator-a"), ("main-rack-1-temperature", "main")
        good = it.samples()
        assert good["karaula_link_rtt_seconds"][link] == 0.005
        assert good["karaula_link_up"][link] == 1
        assert good["karaula_sensor_temperature_celsius"][sensor] == 21.5
        assert good["karaula_sensor_state"]["main-rack-1-temperature", "main", "ok"] == 1
        seen = good["karaula_subject_seen_timestamp_seconds"]
        it.world.set(Says(Answer.UNKNOWN, "no socket"), "link/blace/primary")
        it.world.set(HANGS, "sensor/main-rack-1-temperature")
        await it.live(15)
        later = it.samples()
        assert link not in later["karaula_link_rtt_seconds"]
        assert link not in later["karaula_link_up"]
        assert sensor not in later["karaula_sensor_temperature_celsius"]
        assert later["karaula_sensor_state"]["main-rack-1-temperature", "main", "fault"] == 1
        assert later["karaula_crossing_state"]["blace", "unknown"] == 1
        assert later["karaula_subject_seen_timestamp_seconds"]["link/blace/primary",] == seen["link/blace/primary",]
        assert later["karaula_alarm_active"]["sensor-fault", "warning", "sensor/main-rack-1-temperature"] == 1


async def test_every_metric_of_the_estate_shows_up_in_some_day(tmp_path: Path) -> None:
    async with story(tmp_path) as it:
        now = it.clock.now()
        tls = Says(facts={"role": "standby"}, values={"tls_not_after_seconds": now, "duration_seconds": 0.1})
        it.world.set(tls, "front/ite/dr")
        it.world.set(Says(values={"vms": 20, "hosts": 2}), "vcenter/vc-main")
        it.world.set(Says(facts={"outlets/ncts": "On"}, values={"outlets/ncts/watts": 410}), "power/pdu-main")
        it.world.set(REFUSES, "link/blace/primary")
        echoes = {"probes_sent": 5, "replies": 4, "reply_ttl": 61, "judged_each_way": 5, "forward_seconds": 0.01}
        times = {"rtt_seconds": 0.01, "jitter_seconds": 0, "loss_ratio": 0}
        it.world.set(Says(values=times | echoes), "link/dojran/backup")
        states = (("interface", 1), ("bgp", 6))
        router = {f"{name} {what}": state for name in ("primary", "backup") for what, state in states}
        it.world.set(Says(values=router), "router/tabanovce")
        await it.live(12)
        shown = set(it.samples())
        shown |= {name.removesuffix("_bucket") for name in shown}
        without = {metric.name for metric in METRICS} - shown
        elsewhere = {  # of checks that the shipped inventory does not have: test_status_checks.py
            "karaula_host_certificate_not_after_timestamp_seconds",
            "karaula_host_replication_lag_seconds",
        }
        elsewhere |= {metric.name for metric in METRICS if metric.name.startswith("karaula_postgresql_")}
        elsewhere |= {"karaula_sensor_temperature_rise_celsius_per_second"}  # of half an hour: test_metrics_sensors.py
        elsewhere |= {"karaula_target_skipped_total"}  # nothing hangs
        elsewhere |= {"karaula_subject_flapping", "karaula_subject_downtime"}  # in test_watch_stories.py
        elsewhere |= {metric.name for metric in METRICS if metric.name.startswith("karaula_page_")}  # of the press
        # of what only a vCenter's own answer names, see test_metrics_vcenters.py
        elsewhere |= {name for name in without if name.startswith(("karaula_esx_", "karaula_datastore_"))}
        assert without == elsewhere


async def test_a_listener_that_fails_and_a_channel_that_is_broken_stop_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with story(tmp_path) as it:

        def bad(_: Alarm) -> None:
            raise ValueError

        end = it.watch.subscribe(bad)
        later: list[Alarm] = []
        it.watch.subscribe(later.append)
        it.post.broken = True
        await it.live(5)
        with caplog.at_level(logging.CRITICAL):
            it.world.cut("main")
            await it.live(10)
            assert later == it.heard != []
            assert it.watch.problems() == ["1 message waits to be sent by post: the road is closed"]
            end()
            it.post.broken = False
            await it.live(10)
        assert it.watch.problems() == []
        assert it.post.told == [("site-down site/main", "raised")]


async def test_a_reload_keeps_what_stays_and_clears_the_alarms_of_what_is_gone(tmp_path: Path) -> None:
    async with story(tmp_path) as it:
        it.world.set(Says(values={"value": 40.0}), "sensor/main-rack-1-temperature")
        await it.live(5)
        assert it.raised() == {"sensor-alarm sensor/main-rack-1-temperature"}
        sensors = {key: each for key, each in INVENTORY.sensors.items() if key != "main-rack-1-temperature"}
        smaller = INVENTORY.model_copy(update={"sensors": sensors})
        it.watch.reload(smaller, World(smaller, it.clock).targets)
        await it.live(2)
        assert it.watch.alarms() == []
        assert it.heard[-1].note == "no longer in the inventory"
        assert it.watch.status("sensor/main-rack-1-temperature") is None
        assert it.health("system/ncts") == "ok main"


async def test_after_a_freeze_nothing_is_called_ok_on_old_answers_and_all_is_well_again_soon(tmp_path: Path) -> None:
    async with story(tmp_path) as it:
        await it.live(5)
        polls = len(it.world.probes["http"].times("front/ncts/main"))
        await it.clock.freeze(3600)
        await it.live(5)
        assert len(it.world.probes["http"].times("front/ncts/main")) <= polls + 4
        assert it.health("system/ncts") == "ok main"
        assert "system-down system/ncts" not in it.raised()


async def test_a_second_watch_on_the_same_state_is_refused_and_stops_cleanly(tmp_path: Path) -> None:
    async with story(tmp_path):
        second = Story(tmp_path)
        with pytest.raises(StateError, match="held by another daemon"):
            await second.watch.start()
        await second.watch.stop()
        assert second.watch.not_ready() == ["the watch has not started"]
        assert all(probe.closed for probe in second.world.probes.values())


async def test_a_history_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    async with story(tmp_path):
        await settled()
    db = sqlite3.connect(tmp_path / "history.sqlite")
    db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(StateError, match="schema version 99"):
        await Story(tmp_path).watch.start()
