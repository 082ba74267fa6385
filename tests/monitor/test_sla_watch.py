"""The watch keeps the ledger: restarts, crashes, clocks that are set, a disk that fails, an inventory that changes."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING

import pytest
from watch_kit import PATIENCE_S, REFUSES, START, Says, TimelineClock, World, estate, written

from monitor.history import History
from monitor.sla.measure import Quarter, Quarters
from monitor.sla.period import SECOND_US, Period, us
from monitor.sla.reckon import Kind, intervals, times
from monitor.sla.records import Archive
from monitor.sla.timeline import Span, timeline
from monitor.status.state import Health
from monitor.watch import TICK_S, Watch

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio
INVENTORY = estate()
LINK, OTHER = "link/blace/primary", "link/blace/backup"
MEASURED = Says(values={"rtt_seconds": 0.008, "loss_ratio": 0.2, "probes_sent": 5.0})


class Watched:
    """A watch on a folder, in a time that the test moves."""

    def __init__(self, folder: Path, clock: TimelineClock) -> None:
        self.folder, self.clock = folder, clock
        self.world = World(INVENTORY, clock)
        self.world.set(MEASURED, LINK, OTHER)
        self.watch = Watch(INVENTORY, self.world.targets, self.world.probes, folder, clock)
        self.watch._poller._jitter = lambda: 0.0

    async def live(self, seconds: int) -> None:
        """Let time pass, but never faster than the watch judges: it asks a thread, which lives in real time."""
        for _ in range(seconds):
            await self.clock.advance(1)
            async with asyncio.timeout(PATIENCE_S):
                while self.watch._evaluated_at <= self.clock.now() - TICK_S:  # noqa: ASYNC110 - a thread's end
                    await asyncio.sleep(0.001)
            await written(self.watch)


def spans(folder: Path, subject: str, until: float) -> list[Span]:
    """Read a copy, as after a crash."""
    copy = folder.with_name("copy")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    history = History(copy / "history.sqlite")
    try:
        period = Period(us(START), us(until))
        records = Archive(copy / "sla.sqlite", history).records(period)
        assert records is not None
        return timeline(records.chains, records.seen.get(subject, {}), records.flips.get(subject, ()), period)
    finally:
        history.close()


def seconds(found: list[Span], health: Health) -> float:
    return sum(span.length_us for span in found if span.health is health) / SECOND_US


async def test_down_time_is_kept_and_a_crash_leaves_a_minute_of_unknown_at_most(tmp_path: Path) -> None:
    clock = TimelineClock()
    first = Watched(tmp_path / "state", clock)
    (tmp_path / "state").mkdir()
    await first.watch.start()
    await first.live(100)
    first.world.set(REFUSES, LINK)
    await first.live(50)
    first.world.set(MEASURED, LINK)
    await first.live(85)
    found = spans(tmp_path / "state", LINK, clock.now())  # what a crash would leave
    assert 46 <= seconds(found, Health.DOWN) <= 54
    assert seconds(found, Health.UNKNOWN) <= 63
    assert sum(span.length_us for span in found) == 235 * SECOND_US
    await first.watch.stop()
    found = spans(tmp_path / "state", LINK, clock.now())
    assert seconds(found, Health.UNKNOWN) <= 3, "an orderly end leaves none"
    await clock.advance(500)
    second = Watched(tmp_path / "state", clock)
    second.world.set(REFUSES, LINK)
    await second.watch.start()
    await second.live(60)
    await second.watch.stop()
    found = spans(tmp_path / "state", LINK, clock.now())
    assert 500 <= seconds(found, Health.UNKNOWN) <= 512, "nobody watched, though history said OK before and DOWN after"
    assert 500 <= seconds(spans(tmp_path / "state", OTHER, clock.now()), Health.UNKNOWN) <= 508
    assert seconds(found, Health.DOWN) > 90


@pytest.mark.parametrize(("jump_s", "unknown_s"), [(3600, 3600), (-60, 0)])
async def test_a_clock_that_is_set_makes_no_time_and_loses_none(tmp_path: Path, jump_s: int, unknown_s: int) -> None:
    clock = TimelineClock()
    watched = Watched(tmp_path / "state", clock)
    (tmp_path / "state").mkdir()
    await watched.watch.start()
    await watched.live(120)
    clock._wall += jump_s
    await watched.live(120)
    await watched.watch.stop()
    found = spans(tmp_path / "state", LINK, clock.now())
    assert sum(span.length_us for span in found) == us(clock.now()) - us(START)
    assert unknown_s <= seconds(found, Health.UNKNOWN) <= unknown_s + 16  # what was seen before is stale for a moment
    assert seconds(found, Health.DOWN) == 0


async def test_a_watch_that_stood_still_did_not_watch(tmp_path: Path) -> None:
    clock = TimelineClock()
    watched = Watched(tmp_path / "state", clock)
    (tmp_path / "state").mkdir()
    await watched.watch.start()
    await watched.live(60)
    await clock.freeze(300)
    await watched.live(60)
    await watched.watch.stop()
    found = spans(tmp_path / "state", LINK, clock.now())
    assert 300 <= seconds(found, Health.UNKNOWN) <= 312
    assert any(span.reason == "the watch was standing still" for span in found)


async def test_loss_and_delay_are_summed_once_over_a_restart(tmp_path: Path) -> None:
    clock = TimelineClock()
    (tmp_path / "state").mkdir()
    for _ in range(2):
        watched = Watched(tmp_path / "state", clock)
        await watched.watch.start()
        await watched.live(100)
        await watched.watch.stop()
    history = History(tmp_path / "state" / "history.sqlite")
    try:
        whole = Period(us(START) - 10**10, us(START) + 10**10)
        records = Archive(tmp_path / "state" / "sla.sqlite", history).records(whole)
    finally:
        history.close()
    assert records is not None
    sums = records.sums[LINK]
    assert 2 * 48 * 5 <= sums.sent <= 2 * 51 * 5
    assert sums.loss_percent == 20.0
    assert sums.rtt_ms == 8.0
    assert (sums.rtt_min_us, sums.rtt_max_us, sums.rtt_at_most_ms(0.95)) == (8000, 8000, 10)


async def test_a_link_that_left_the_inventory_is_nobodys_from_then_on(tmp_path: Path) -> None:
    clock = TimelineClock()
    watched = Watched(tmp_path / "state", clock)
    (tmp_path / "state").mkdir()
    await watched.watch.start()
    await watched.live(60)
    less = INVENTORY.model_copy(
        update={
            "links": {key: pair for key, pair in INVENTORY.links.items() if key != "blace"},
            "crossings": {key: one for key, one in INVENTORY.crossings.items() if key != "blace"},
        }
    )
    left = [target for target in watched.world.targets if not target.subject.startswith("link/blace/")]
    watched.watch.reload(less, left)
    await watched.live(60)
    await watched.watch.stop()
    gone = spans(tmp_path / "state", LINK, clock.now())
    assert 55 <= seconds(gone, Health.DEGRADED) <= 61  # its first asks are put off by chance, and must be heard twice
    there = spans(tmp_path / "state", "link/pelince/primary", clock.now())
    assert seconds(there, Health.UNKNOWN) <= 3, "a reload costs the others nothing"
    assert times(intervals(there, [], degraded_is_down=False)).total == 120 * SECOND_US
    assert intervals(there, [], degraded_is_down=False)[-1].kind is Kind.UP


async def test_flips_given_up_by_a_failing_disk_make_unknown_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = TimelineClock()
    watched = Watched(tmp_path / "state", clock)
    (tmp_path / "state").mkdir()
    await watched.watch.start()
    await watched.live(60)
    monkeypatch.setattr("monitor.record.MOST_PENDING", 0)
    watched.world.set(REFUSES, LINK)
    await watched.live(30)
    monkeypatch.undo()
    await watched.live(70)
    await watched.watch.stop()
    found = spans(tmp_path / "state", LINK, clock.now())
    assert seconds(found, Health.UNKNOWN) >= 5
    assert found[-1].health is Health.DOWN, "though the flip itself was never written"


async def test_a_defect_of_the_keeper_stops_no_status_and_its_time_is_nobodys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = TimelineClock()
    watched = Watched(tmp_path / "state", clock)
    (tmp_path / "state").mkdir()
    await watched.watch.start()
    await watched.live(60)

    def broken(_self: Quarters, _now_us: int, _chain: int) -> list[Quarter]:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(Quarters, "over", broken)
        watched.world.set(REFUSES, LINK)
        await watched.live(30)
        status = watched.watch.status(LINK)
        assert status is not None
        assert status.health is Health.DOWN
        assert any("the ledger of service levels is not kept" in said for said in watched.watch.faults())
    await watched.live(30)
    assert watched.watch.faults() == []
    await watched.watch.stop()
    found = spans(tmp_path / "state", LINK, clock.now())
    assert 28 <= seconds(found, Health.UNKNOWN) <= 42
    assert found[-1].health is Health.DOWN
    assert "ZeroDivisionError" in caplog.text
