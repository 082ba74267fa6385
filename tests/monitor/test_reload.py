"""A reload below the daemon: what stays is untouched, late answers do no harm, channels take over what is owed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from watch_kit import HANGS, START, Says, ScriptedProbe, TimelineClock, estate, settled

from monitor.alarms.book import Book
from monitor.errors import Unreachable
from monitor.history import Notice
from monitor.inventory.dependencies import depends_on
from monitor.notify import Notifier
from monitor.poller import Poller
from monitor.probe import Answer, Observation, Target
from monitor.status.alarm import Alarm, alarm_id
from monitor.status.board import Board, Recorded
from monitor.status.state import Health

if TYPE_CHECKING:
    from collections.abc import Sequence

    from monitor.history import Event
    from monitor.inventory.model import Inventory

INVENTORY = estate()
SENSOR = "sensor/main-rack-1-temperature"
SOME = ("main-rack-1-temperature", "main-water", "dr-door")
CROSSINGS = ("blace", "dojran")
UNKNOWN_AFTER_S = 30.0


def smaller(sensors: Sequence[str], crossings: Sequence[str] = CROSSINGS) -> Inventory:
    """Return the inventory without the SOME and CROSSINGS that are not named."""
    out = {*SOME} - {*sensors}
    cut = {*CROSSINGS} - {*crossings}
    return INVENTORY.model_copy(
        update={
            "sensors": {key: each for key, each in INVENTORY.sensors.items() if key not in out},
            "crossings": {key: each for key, each in INVENTORY.crossings.items() if key not in cut},
            "links": {key: each for key, each in INVENTORY.links.items() if key not in cut},
        }
    )


# -- the board and the book ------------------------------------------------------------------------------------------

steps = st.lists(
    st.one_of(
        st.tuples(st.just("reload"), st.sets(st.sampled_from(SOME)), st.sets(st.sampled_from(CROSSINGS))),
        st.tuples(
            st.just("see"),
            st.sampled_from([*(f"sensor/{key}" for key in SOME), "link/blace/primary", "link/dojran/backup"]),
            st.sampled_from(list(Answer)),
        ),
    ),
    max_size=25,
)


@settings(deadline=None, max_examples=60)
@given(steps)
def test_whatever_is_reloaded_what_stays_is_untouched_and_what_is_new_is_unknown(steps: list[tuple]) -> None:
    now, inventory = START, INVENTORY
    board, book = Board(inventory, now), Book()
    for word, what, more in steps:
        now += 1
        before = dict(board.statuses())
        standing = {alarm.id: alarm for alarm in book.standing()}
        if word == "see":
            board.observe(Observation(what, "any", now, more, "so", {"value": 21.0, "rtt_seconds": 0.01}))
            board.tick(now)
            book.update(board.statuses(), board.alarming(), now, UNKNOWN_AFTER_S)
            continue
        inventory = smaller(sorted(what), sorted(more))
        gone = board.reload(inventory, now)
        after = board.statuses()
        listed = depends_on(inventory).keys()
        assert {*after} >= {*listed}
        assert {key: after[key] for key in before if key in listed} == {
            key: before[key] for key in before if key in listed
        }
        assert {after[key].health for key in listed - before.keys()} <= {Health.UNKNOWN}
        assert gone.isdisjoint(after)
        flips = board.tick(now)
        assert {flip.subject for flip in flips if flip.new is Health.UNKNOWN and flip.subject in gone} <= gone
        changes = book.update(board.statuses(), board.alarming(), now, UNKNOWN_AFTER_S)
        assert {alarm.subject for alarm in changes.cleared} <= gone | {"site/main", "site/dr"}
        assert {alarm.note for alarm in changes.cleared if alarm.subject in gone} <= {"no longer in the inventory"}
        for alarm in book.standing():
            assert standing.get(alarm.id, alarm).since == alarm.since
        assert not {alarm.subject for alarm in book.standing()} & gone


def test_leaving_is_written_down_once_and_coming_back_begins_unknown() -> None:
    board = Board(INVENTORY, START)
    for second in range(2):
        board.observe(Observation(SENSOR, "snmp", START + second, Answer.OK, "", {"value": 45.0}))
    assert (SENSOR, Health.DOWN) in [(flip.subject, flip.new) for flip in board.tick(START + 1)]
    board.reload(smaller(SOME[1:]), START + 2)
    left = [flip for flip in board.tick(START + 3) if flip.subject == SENSOR]
    assert [(flip.old, flip.new, flip.reason, flip.at) for flip in left] == [
        (Health.DOWN, Health.UNKNOWN, "no longer in the inventory", START + 3)
    ]
    assert [flip for flip in board.tick(START + 4) if flip.subject == SENSOR] == []
    board.reload(INVENTORY, START + 5)
    assert board.statuses()[SENSOR].health is Health.UNKNOWN
    assert [flip for flip in board.tick(START + 6) if flip.subject == SENSOR] == []


def test_what_left_while_no_daemon_ran_is_said_at_the_start() -> None:
    kept = Recorded(Health.DOWN, "above", START - 100)
    board = Board(smaller(SOME[1:]), START, {SENSOR: kept, "vm/vc-gone/old": kept, "vm/vc-main/unlisted": kept})
    left = [(flip.subject, flip.old, flip.new) for flip in board.tick(START + 1) if flip.old is not flip.new]
    assert left == [(SENSOR, Health.DOWN, Health.UNKNOWN), ("vm/vc-gone/old", Health.DOWN, Health.UNKNOWN)]


def test_a_vcenter_takes_its_unlisted_vms_along() -> None:
    board = Board(INVENTORY, START)
    stray = "vm/vc-dr/printer"
    board.observe(Observation(stray, "vsphere", START, Answer.OK, "", {"powered_on": 1.0}))
    vcenters = {key: each for key, each in INVENTORY.vcenters.items() if key != "vc-dr"}
    hosts = {key: each for key, each in INVENTORY.hosts.items() if each.vcenter != "vc-dr"}
    bare = INVENTORY.model_copy(update={"vcenters": vcenters, "hosts": hosts, "systems": {}})
    assert stray in board.reload(bare, START + 1)
    board.observe(Observation(stray, "vsphere", START + 2, Answer.OK))
    assert stray not in board.statuses()


def test_values_of_what_is_asked_something_else_now_are_not_shown() -> None:
    board = Board(INVENTORY, START)
    board.observe(Observation(SENSOR, "snmp", START, Answer.OK, "", {"value": 21.0}))
    before = board.statuses()[SENSOR]
    board.reload(INVENTORY, START + 1, [SENSOR])
    assert SENSOR not in board.good()
    assert board.newest(SENSOR) is None
    assert board.statuses()[SENSOR] == before


# -- the poller ------------------------------------------------------------------------------------------------------


def target(subject: str, params: object = None) -> Target:
    return Target(subject, "tcp", params, 2.0, 1.0)


class Polled:
    """A poller of one probe, and what it heard."""

    def __init__(self, *targets: Target) -> None:
        self.clock = TimelineClock()
        self.says: dict[str, Says] = {}
        self.heard: list[str] = []
        self.probe = self.made()
        self.poller = Poller(targets, {"tcp": self.probe}, self.sink, self.clock, lambda: 0.0)

    def made(self) -> ScriptedProbe:
        return ScriptedProbe(self.clock, lambda each: self.says.get(each.subject, Says()))

    def sink(self, found: Observation) -> None:
        self.heard.append(f"{found.subject} {found.answer}")


@pytest.mark.anyio
async def test_an_answer_under_way_of_what_is_gone_or_asked_otherwise_is_not_heard() -> None:
    it = Polled(target("link/a/primary"), target("link/b/primary", "old"), target("link/c/primary"))
    it.says = {key: Says(after_s=0.5) for key in ("link/a/primary", "link/b/primary", "link/c/primary")}
    await it.poller.start()
    await it.clock.advance(0.2)
    it.poller.retarget([target("link/b/primary", "new"), target("link/c/primary")])
    await it.clock.advance(0.5)
    assert it.heard == ["link/c/primary ok"]
    await it.clock.advance(2)
    assert it.heard[1:] == ["link/b/primary ok", "link/c/primary ok"]
    assert it.probe.times("link/b/primary") == [0, 2]
    await it.poller.stop()


@pytest.mark.anyio
async def test_what_hung_and_is_gone_is_not_called_unanswered() -> None:
    it = Polled(target("host/a"), target("host/b"))
    it.says = {"host/a": HANGS, "host/b": HANGS}
    await it.poller.start()
    await it.clock.advance(0.5)
    it.poller.retarget([target("host/b")])
    await it.clock.advance(2)
    assert set(it.heard) == {"host/b failed"} or set(it.heard) == {"host/b unknown"}
    assert "host/a" not in it.poller._busy
    await it.poller.stop()


@pytest.mark.anyio
async def test_a_replaced_probe_ends_what_it_began_and_is_closed_then() -> None:
    it = Polled(target("host/a"))
    it.says = {"host/a": Says(after_s=0.8)}
    await it.poller.start()
    await it.clock.advance(0.2)
    fresh = it.made()
    it.poller.retarget([target("host/a")], {"tcp": fresh})
    draining = asyncio.ensure_future(it.poller.drained(it.probe))
    await it.clock.advance(0.2)
    assert not draining.done()
    await it.clock.advance(0.6)
    assert draining.done()
    assert it.heard == ["host/a ok"]
    await it.clock.advance(3)
    assert (len(it.probe.times("host/a")), len(fresh.times("host/a"))) == (1, 2)
    assert it.poller._listening == {} or all(probe is fresh for probe in it.poller._listening.values())
    await it.poller.stop()


# -- telling people ----------------------------------------------------------------------------------------------------


class Bird:
    """A channel that counts."""

    def __init__(self, name: str = "bird") -> None:
        self.name = name
        self.fails = False
        self.told: list[tuple[str, Event, str]] = []
        self.closed = False

    async def send(self, alarm: Alarm, event: Event, reference: str) -> str:
        if self.fails:
            raise Unreachable("no wind")
        self.told.append((alarm.subject, event, reference))
        return f"ring of {self.name}"

    async def close(self) -> None:
        self.closed = True


class Paper:
    """An outbox on paper."""

    def __init__(self) -> None:
        self.notices: dict[tuple[str, str, str], Notice] = {}

    def owe(self, notices: Sequence[Notice]) -> None:
        for notice in notices:
            self.notices.setdefault((notice.alarm_id, notice.channel, notice.event), notice)

    def sent(self, notice: Notice) -> None:
        self.notices[notice.alarm_id, notice.channel, notice.event] = notice


def raised(subject: str) -> Alarm:
    return Alarm(alarm_id("system-down", subject, START), "system-down", subject, "critical", START, "so")


@pytest.mark.anyio
async def test_a_changed_channel_takes_over_at_once_and_nobody_is_told_twice() -> None:
    clock, paper, old, new = TimelineClock(), Paper(), Bird(), Bird()
    notifier = Notifier([old], clock, hold_s=0)
    await notifier.start(paper, [], {})
    told, owed = raised("system/told"), raised("system/owed")
    notifier.consider([told], [], START)
    await clock.advance(1)
    old.fails = True
    notifier.consider([told, owed], [], START + 1)
    await clock.advance(60)  # deep in the pauses between tries
    notifier.reload([new], paper.notices.values(), {alarm.id: alarm for alarm in (told, owed)})
    await settled()
    assert new.told == [("system/owed", "raised", "")]
    assert old.closed
    notifier.consider([], [told], START + 62)
    await clock.advance(1)
    assert new.told[1:] == [("system/told", "cleared", "ring of bird")]
    await notifier.stop()
    assert new.closed


@pytest.mark.anyio
async def test_a_channel_goes_and_comes_back_knowing_what_it_owes() -> None:
    clock, paper, bird, horse = TimelineClock(), Paper(), Bird(), Bird("horse")
    notifier = Notifier([bird], clock, hold_s=0)
    await notifier.start(paper, [], {})
    alarm, late = raised("system/a"), raised("system/b")
    notifier.consider([alarm], [], START)
    await clock.advance(1)
    bird.fails = True
    notifier.consider([alarm, late], [], START + 1)
    await clock.advance(1)
    notifier.reload([horse], paper.notices.values(), {each.id: each for each in (alarm, late)})
    await settled()
    assert bird.closed
    assert horse.told == []  # nobody is told anew what stood already
    again = Bird()
    notifier.reload([horse, again], paper.notices.values(), {each.id: each for each in (alarm, late)})
    await clock.advance(1)
    assert again.told == [("system/b", "raised", "")]
    assert [stats.channel for stats in notifier.stats()] == ["horse", "bird"]
    await notifier.stop()
