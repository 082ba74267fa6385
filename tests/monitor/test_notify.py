"""Who is told what, when, and what happens when they cannot be told."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from watch_kit import START, TimelineClock, settled

from monitor.errors import DeadlineExceeded, Refused, Unreachable
from monitor.history import Notice
from monitor.notify import MOST_PENDING, Notifier
from monitor.status.alarm import Alarm, alarm_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from monitor.history import Event

pytestmark = pytest.mark.anyio


class Pigeons:
    """A channel; ``fails`` says what goes wrong from now on."""

    def __init__(self, clock: TimelineClock, name: str = "pigeons") -> None:
        self.name = name
        self.clock = clock
        self.fails: Exception | None = None
        self.chokes_on: dict[str, Exception] = {}
        self.delivered: list[tuple[float, str, Event, str]] = []
        self.tries = 0
        self.closed = False

    async def send(self, alarm: Alarm, event: Event, reference: str) -> str:
        self.tries += 1
        if self.fails is not None or alarm.key in self.chokes_on:
            raise self.fails or self.chokes_on[alarm.key]
        self.delivered.append((self.clock.now() - START, alarm.key, event, reference))
        return f"ring-{alarm.id[:4]}" if event == "raised" else reference

    async def close(self) -> None:
        self.closed = True

    def told(self) -> list[tuple[str, Event]]:
        return [(key, event) for _, key, event, _ in self.delivered]


class Paper:
    """An outbox on paper."""

    def __init__(self) -> None:
        self.notices: dict[tuple[str, str, str], Notice] = {}

    def owe(self, notices: Sequence[Notice]) -> None:
        for notice in notices:
            self.notices.setdefault((notice.alarm_id, notice.channel, notice.event), notice)

    def sent(self, notice: Notice) -> None:
        self.notices[notice.alarm_id, notice.channel, notice.event] = notice

    def owed(self) -> list[Notice]:
        return [notice for notice in self.notices.values() if notice.sent_at is None]


class Office:
    """A notifier that is asked once a second."""

    def __init__(self, clock: TimelineClock, *channels: Pigeons, paper: Paper | None = None) -> None:
        self.clock = clock
        self.paper = paper or Paper()
        self.notifier = Notifier(channels, clock, hold_s=10)

    async def start(self, alarms: Mapping[str, Alarm] | None = None) -> None:
        await self.notifier.start(self.paper, tuple(self.paper.notices.values()), alarms or {})

    async def pass_by(self, seconds: int, standing: Iterable[Alarm], cleared: Iterable[Alarm] = ()) -> None:
        standing = tuple(standing)
        for _ in range(seconds):
            self.notifier.consider(standing, cleared, self.clock.now())
            cleared = ()
            await self.clock.advance(1)


def alarm(name: str, subject: str, severity: str = "warning", **more: str) -> Alarm:
    return Alarm(alarm_id(name, subject, START), name, subject, severity, START, "because", **more)  # type: ignore[arg-type] # shortened


def cleared(given: Alarm, at: float) -> Alarm:
    return replace(given, cleared_at=START + at, note="now ok")


SYSTEM = alarm("system-down", "system/ncts", "critical")
SITE = alarm("site-down", "site/main", "critical")
HOST = alarm("host-down", "host/ncts-db-main")


@pytest.fixture
def clock() -> TimelineClock:
    return TimelineClock()


async def test_a_system_alarm_is_told_at_once_and_another_after_it_has_stood(
    clock: TimelineClock,
) -> None:
    pigeons = Pigeons(clock)
    office = Office(clock, pigeons)
    await office.start()
    await office.pass_by(13, [SYSTEM, HOST])
    assert [(at, key) for at, key, _, _ in pigeons.delivered] == [(0, SYSTEM.key), (10, HOST.key)]
    await office.pass_by(3, [], [cleared(SYSTEM, 13), cleared(HOST, 13)])
    assert [(event, reference[:5]) for _, _, event, reference in pigeons.delivered[2:]] == [("cleared", "ring-")] * 2
    assert office.paper.owed() == []
    await office.notifier.stop()
    assert pigeons.closed


async def test_an_alarm_that_did_not_stand_long_enough_is_never_told(clock: TimelineClock) -> None:
    pigeons = Pigeons(clock)
    office = Office(clock, pigeons)
    await office.start()
    await office.pass_by(9, [HOST])
    await office.pass_by(5, [], [cleared(HOST, 9)])
    assert pigeons.delivered == []
    await office.notifier.stop()


async def test_what_another_alarm_explains_is_not_told_and_gets_its_time_to_recover_with_it(
    clock: TimelineClock,
) -> None:
    pigeons = Pigeons(clock)
    office = Office(clock, pigeons)
    await office.start()
    await office.pass_by(60, [SITE, replace(HOST, cause=SITE.key)])
    await office.pass_by(5, [HOST], [cleared(SITE, 60)])
    assert pigeons.told() == [(SITE.key, "raised"), (SITE.key, "cleared")]
    await office.pass_by(6, [HOST])
    assert pigeons.told()[2:] == [(HOST.key, "raised")]
    await office.notifier.stop()


async def test_what_cannot_be_delivered_is_tried_again_with_growing_pauses_in_order(clock: TimelineClock) -> None:
    pigeons, second = Pigeons(clock), Pigeons(clock, "second")
    pigeons.fails = Unreachable("no pigeon flies")
    office = Office(clock, pigeons, second)
    await office.start()
    await office.pass_by(20, [SYSTEM])
    assert pigeons.tries == 4  # at 0, 2, 6 and 14 s
    await office.pass_by(9, [], [cleared(SYSTEM, 20)])
    assert second.told() == [(SYSTEM.key, "raised"), (SYSTEM.key, "cleared")]
    stats = office.notifier.stats()[0]
    assert (stats.sent, stats.failed, stats.dropped, stats.pending) == (0, 4, 0, 2)
    assert stats.last_error == "no pigeon flies"
    pigeons.fails = None
    await office.pass_by(30, [])
    assert pigeons.told() == second.told()
    stats = office.notifier.stats()[0]
    assert (stats.sent, stats.pending, stats.last_error) == (2, 0, "")
    await office.notifier.stop()


async def test_what_is_refused_for_good_is_counted_and_does_not_block_the_next(clock: TimelineClock) -> None:
    pigeons = Pigeons(clock)
    pigeons.fails = Refused("no such loft")
    office = Office(clock, pigeons)
    await office.start()
    await office.pass_by(1, [SYSTEM])
    pigeons.fails = None
    await office.pass_by(1, [SYSTEM, SITE])
    assert pigeons.told() == [(SITE.key, "raised")]
    stats = office.notifier.stats()[0]
    assert (stats.dropped, stats.sent) == (1, 1)
    assert "no such loft" in stats.last_error or stats.last_error == ""
    await office.notifier.stop()


async def test_a_mistake_of_a_channel_is_tried_again(clock: TimelineClock, caplog: pytest.LogCaptureFixture) -> None:
    pigeons = Pigeons(clock)
    pigeons.fails = ZeroDivisionError()
    office = Office(clock, pigeons)
    await office.start()
    with caplog.at_level("CRITICAL"):
        await office.pass_by(1, [SYSTEM])
    pigeons.fails = None
    await office.pass_by(3, [SYSTEM])
    assert pigeons.told() == [(SYSTEM.key, "raised")]
    await office.notifier.stop()


async def test_a_restart_tells_what_was_owed_once_and_clears_what_was_told_before(clock: TimelineClock) -> None:
    paper, lost = Paper(), Pigeons(clock)
    first = Office(clock, lost, paper=paper)
    await first.start()
    await first.pass_by(1, [SYSTEM])
    lost.fails = DeadlineExceeded("perhaps it flew")
    await first.pass_by(1, [SYSTEM, SITE])
    await first.notifier.stop()
    assert [notice.alarm_id for notice in paper.owed()] == [SITE.id]

    pigeons = Pigeons(clock)
    second = Office(clock, pigeons, paper=paper)
    gone = cleared(SYSTEM, 5)  # while nobody watched
    await second.start({SYSTEM.id: gone, SITE.id: SITE})
    await second.pass_by(20, [SITE])
    assert sorted(pigeons.told()) == [(SITE.key, "raised"), (SYSTEM.key, "cleared")]
    assert {reference for _, key, _, reference in pigeons.delivered if key == SYSTEM.key} == {f"ring-{SYSTEM.id[:4]}"}
    assert paper.owed() == []
    await second.notifier.stop()


async def test_the_queue_is_limited_and_what_does_not_fit_is_counted(
    clock: TimelineClock, caplog: pytest.LogCaptureFixture
) -> None:
    pigeons = Pigeons(clock)
    pigeons.fails = Unreachable("storm")
    office = Office(clock, pigeons)
    await office.start()
    flood = [alarm("system-down", f"system/s{number}", "critical") for number in range(MOST_PENDING + 5)]
    with caplog.at_level("CRITICAL"):
        office.notifier.consider(flood, [], START)
        await settled()
    stats = office.notifier.stats()[0]
    assert (stats.pending, stats.dropped) == (MOST_PENDING, 5)
    await office.notifier.stop()


async def test_what_a_channel_cannot_take_keeps_nothing_else_from_being_told(clock: TimelineClock) -> None:
    pigeons = Pigeons(clock)
    pigeons.chokes_on[SYSTEM.key] = Unreachable("the desk answered 500")
    office = Office(clock, pigeons)
    await office.start()
    await office.pass_by(3, [SYSTEM, SITE])
    assert pigeons.told() == [(SITE.key, "raised")]
    await office.pass_by(400, [SYSTEM, SITE])
    begun = clock.now() - START
    other = alarm("site-down", "site/dr", "critical")
    await office.pass_by(3, [SYSTEM, SITE, other])
    assert [(at - begun, key) for at, key, _, _ in pigeons.delivered[1:]] == [(0, other.key)]
    assert "500" in office.notifier.stats()[0].last_error, "what still waits is not forgotten"
    await office.pass_by(3, [other], [cleared(SYSTEM, 420), cleared(SITE, 420)])
    assert pigeons.told()[2:] == [(SITE.key, "cleared")]
    pigeons.chokes_on.clear()
    await office.pass_by(310, [other])
    assert pigeons.told()[3:] == [(SYSTEM.key, "raised"), (SYSTEM.key, "cleared")]
    assert office.paper.owed() == []
    await office.notifier.stop()


async def test_what_makes_a_channel_fail_by_its_own_mistake_is_given_up_after_three_tries(
    clock: TimelineClock, caplog: pytest.LogCaptureFixture
) -> None:
    pigeons = Pigeons(clock)
    pigeons.chokes_on[SYSTEM.key] = ValueError("a header with a line feed")
    office = Office(clock, pigeons)
    await office.start()
    with caplog.at_level("CRITICAL"):
        await office.pass_by(60, [SYSTEM, SITE])
    assert pigeons.told() == [(SITE.key, "raised")]
    assert pigeons.tries == 4
    stats = office.notifier.stats()[0]
    assert (stats.sent, stats.failed, stats.dropped, stats.pending) == (1, 3, 1, 0)
    await office.notifier.stop()


async def test_a_full_queue_drops_the_oldest_warning_and_no_alarm_of_a_site(
    clock: TimelineClock, caplog: pytest.LogCaptureFixture
) -> None:
    pigeons = Pigeons(clock)
    pigeons.fails = Unreachable("storm")
    office = Office(clock, pigeons)
    await office.start()
    flood = [alarm("host-down", f"host/h{number}") for number in range(MOST_PENDING)]
    with caplog.at_level("CRITICAL"):
        office.notifier.consider(flood, [], START)
        office.notifier.consider(flood, [], START + 20)
        await settled()
        office.notifier.consider([*flood, SITE, SYSTEM], [], START + 21)
        await settled()
        stats = office.notifier.stats()[0]
        assert (stats.pending, stats.dropped) == (MOST_PENDING, 2)
        pigeons.fails = None
        await office.pass_by(20, [*flood, SITE, SYSTEM])
    told = {key for key, _ in pigeons.told()}
    assert {SITE.key, SYSTEM.key} <= told
    missing = {each.key for each in flood} - told
    assert missing <= {each.key for each in flood[:3]}, "the oldest made room"
    assert len(missing) == 2
    await office.notifier.stop()


async def test_a_clock_set_back_makes_no_alarm_wait_for_it(clock: TimelineClock) -> None:
    pigeons = Pigeons(clock)
    office = Office(clock, pigeons)
    await office.start()
    await office.pass_by(2, [HOST])
    office.notifier.consider([HOST], [], clock.now() - 3600)
    await settled()
    assert pigeons.told() == [(HOST.key, "raised")]
    await office.notifier.stop()
