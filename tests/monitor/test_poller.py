"""The poller as a timeline."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest
from watch_kit import HANGS, REFUSES, START, Says, ScriptedProbe, TimelineClock, settled

from monitor.poller import Poller
from monitor.probe import Answer, Observation, Target, each

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

pytestmark = pytest.mark.anyio


def target(subject: str, probe: str = "tcp", interval_s: float = 2.0, deadline_s: float = 1.0) -> Target:
    return Target(subject, probe, None, interval_s, deadline_s)


class Stage:
    """A poller, its clock, and what it reported."""

    def __init__(self, targets: Iterable[Target], *, stubborn: bool = False, jitter: float = 0.0) -> None:
        self.clock = TimelineClock()
        self.says: dict[str, Says] = {}
        self.seen: list[tuple[float, str, Answer, str]] = []
        targets = list(targets)
        kinds = {each.probe for each in targets} | {"tcp"}
        self.probes = {
            kind: ScriptedProbe(self.clock, lambda t: self.says.get(t.subject, Says()), stubborn=stubborn)
            for kind in kinds
        }
        self.probe = self.probes["tcp"]
        self.poller = Poller(targets, self.probes, self.sink, self.clock, lambda: jitter)

    def sink(self, found: Observation) -> None:
        self.seen.append((round(found.at - START, 6), found.subject, found.answer, found.reason))

    def of(self, subject: str) -> list[tuple[float, str]]:
        return [(at, answer.value) for at, seen, answer, _ in self.seen if seen == subject]

    def stats(self, source: str = "tcp"):
        return next(stats for stats in self.poller.stats() if stats.source == source)


async def test_every_target_is_asked_once_an_interval() -> None:
    stage = Stage([target("a"), target("b"), target("slow", interval_s=5)])
    await stage.poller.start()
    await stage.clock.advance(6)
    assert stage.probe.times("a") == stage.probe.times("b") == [0, 2, 4, 6]
    assert stage.probe.times("slow") == [0, 5]
    await stage.poller.stop()
    await stage.clock.advance(10)
    assert len(stage.probe.times("a")) == 4


async def test_there_is_one_loop_for_each_probe_and_interval_however_many_targets() -> None:
    stage = Stage([target(f"t{number}") for number in range(500)] + [target("b", "http"), target("c", "http", 7)])
    await stage.poller.start()
    await settled()
    loops = [task for task in asyncio.all_tasks() if task.get_name().startswith("poll ")]
    assert sorted(task.get_name() for task in loops) == [
        "poll http every 2 s",
        "poll http every 7 s",
        "poll tcp every 2 s",
    ]
    await stage.poller.stop()


async def test_the_first_poll_is_put_off_a_little() -> None:
    stage = Stage([target("a", interval_s=10)], jitter=0.5)
    await stage.poller.start()
    await stage.clock.advance(12)
    assert stage.probe.times("a") == [1, 11]
    await stage.poller.stop()


async def test_a_target_that_hangs_delays_nobody_and_is_said_to_give_no_answer() -> None:
    stage = Stage([target("good"), target("hung")])
    stage.says["hung"] = HANGS
    await stage.poller.start()
    await stage.clock.advance(6.5)
    assert stage.of("good") == [(0, "ok"), (2, "ok"), (4, "ok"), (6, "ok")]
    assert stage.of("hung") == [(1.5, "failed"), (3.5, "failed"), (5.5, "failed")]
    assert {reason for _, subject, _, reason in stage.seen if subject == "hung"} == {"no answer within 1.5 s"}
    assert (stage.stats().attempts, stage.stats().failures, stage.stats().skipped) == (8, 3, 0)
    await stage.poller.stop()


async def test_a_target_whose_ask_still_runs_is_passed_over_and_counted() -> None:
    stage = Stage([target("good"), target("slow", deadline_s=4)])
    stage.says["slow"] = Says(after_s=3)
    await stage.poller.start()
    await stage.clock.advance(4.5)
    assert stage.probe.times("slow") == [0, 4]
    assert stage.probe.times("good") == [0, 2, 4]
    assert stage.of("slow") == [(3, "ok")]
    assert stage.stats().skipped == 1
    await stage.poller.stop()


async def test_a_probe_that_cannot_even_be_cancelled_keeps_its_target_and_nobody_else() -> None:
    stage = Stage([target("good"), target("stuck")], stubborn=True)
    stage.says["stuck"] = HANGS
    await stage.poller.start()
    await stage.clock.advance(6.5)
    assert stage.probe.times("stuck") == [0]
    assert stage.of("stuck") == [(1.5, "failed"), (2, "failed"), (4, "failed"), (6, "failed")]
    assert len(stage.of("good")) == 4
    assert stage.stats().skipped == 3
    stage.says["stuck"] = Says()
    await stage.poller.stop()


async def test_a_sensor_that_gives_no_answer_is_not_known_rather_than_failed() -> None:
    stage = Stage([target("sensor/a", "snmp")])
    stage.says["sensor/a"] = HANGS
    await stage.poller.start()
    await stage.clock.advance(1.6)
    assert stage.of("sensor/a") == [(1.5, "unknown")]
    await stage.poller.stop()


async def test_after_a_freeze_there_is_one_poll_and_then_the_usual_pace() -> None:
    stage = Stage([target("a")])
    await stage.poller.start()
    await stage.clock.advance(3)
    await stage.clock.freeze(3600)
    await stage.clock.advance(4)
    assert stage.probe.times("a") == [0, 2, 3603, 3605, 3607]
    await stage.poller.stop()


class Broken:
    """A probe with a mistake of its own."""

    async def observe(self, targets: Sequence[Target]) -> AsyncIterator[Observation]:
        yield Observation(targets[0].subject, "broken", START, Answer.OK)
        raise ZeroDivisionError

    async def close(self) -> None:
        """Nothing is kept."""


class Silent(Broken):
    """A probe that ends without a word."""

    async def observe(self, targets: Sequence[Target]) -> AsyncIterator[Observation]:
        if not targets:
            yield Observation("", "", 0, Answer.OK)


async def test_a_mistake_of_a_probe_is_unknown_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    clock, seen = TimelineClock(), []
    probes = {"broken": Broken(), "silent": Silent(), "tcp": ScriptedProbe(clock, lambda _: Says())}
    targets = [target("a", "broken"), target("b", "broken"), target("c", "silent"), target("d")]
    poller = Poller(targets, probes, seen.append, clock, lambda: 0.0)
    with caplog.at_level(logging.CRITICAL):
        await poller.start()
        await clock.advance(2)
    found = {(each.subject, each.answer.value, each.reason) for each in seen}
    assert found == {
        ("a", "ok", ""),
        ("b", "unknown", "the broken probe itself failed: ZeroDivisionError"),
        ("c", "unknown", "the probe gave no answer"),
        ("d", "ok", ""),
    }
    assert {stats.source: stats.errors for stats in poller.stats()} == {"broken": 2, "silent": 0, "tcp": 0}
    assert len(seen) == 8
    await poller.stop()


class Brittle:
    """A probe that asks each by itself (as most do), and breaks on what some answer."""

    def __init__(self, clock: TimelineClock) -> None:
        self.clock = clock

    async def observe(self, targets: Sequence[Target]) -> AsyncIterator[Observation]:
        alone = [one for one in targets if not one.subject.startswith("device")]
        devices = [[one for one in targets if one.subject.startswith("device")]]
        async for observation in each(alone, self.ask, 8, self.clock):
            yield observation
        async for observation in each(devices, self.ask_device, 8, self.clock):
            yield observation

    async def ask(self, one: Target) -> Observation:
        if one.subject == "hostile":
            raise UnicodeError("what a stranger sent")
        await self.clock.sleep(0.5)
        return Observation(one.subject, one.probe, self.clock.now(), Answer.OK)

    async def ask_device(self, several: Sequence[Target]) -> Sequence[Observation]:
        raise RecursionError(len(several))

    async def close(self) -> None:
        pass


async def test_what_one_answer_breaks_costs_no_neighbour_an_answer(caplog: pytest.LogCaptureFixture) -> None:
    clock, seen = TimelineClock(), []
    targets = [target(one, "brittle") for one in ("a", "hostile", "b", "device/1", "device/2")]
    poller = Poller(targets, {"brittle": Brittle(clock)}, seen.append, clock, lambda: 0.0)
    with caplog.at_level(logging.CRITICAL):
        await poller.start()
        await clock.advance(1.5)
    assert {(one.subject, one.answer.value, one.reason) for one in seen} == {
        ("a", "ok", ""),
        ("b", "ok", ""),
        ("hostile", "unknown", "the brittle probe itself failed: UnicodeError"),
        ("device/1", "unknown", "the brittle probe itself failed: RecursionError"),
        ("device/2", "unknown", "the brittle probe itself failed: RecursionError"),
    }
    assert (poller.stats()[0].errors, poller.stats()[0].failures) == (3, 3)
    await poller.stop()


async def test_what_the_sink_raises_for_one_subject_does_not_reach_the_others(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage([target("bad"), target("good")])
    taken = []

    def sink(found: Observation) -> None:
        if found.subject == "bad":
            raise ValueError
        taken.append(found.subject)

    poller = Poller([target("bad"), target("good")], stage.probes, sink, stage.clock, lambda: 0.0)
    with caplog.at_level(logging.CRITICAL):
        await poller.start()
        await stage.clock.advance(2)
    assert taken == ["good", "good"]
    await poller.stop()


async def test_counters_say_when_and_how_long() -> None:
    stage = Stage([target("a"), target("b")])
    stage.says["a"] = Says(after_s=0.25)
    stage.says["b"] = REFUSES
    await stage.poller.start()
    await stage.clock.advance(3)
    stats = stage.stats()
    assert (stats.targets, stats.attempts, stats.failures) == (2, 4, 2)
    assert (stats.last_attempt_at, stats.last_success_at, stats.duration_s) == (START + 2, START + 2.25, 0.25)
    await stage.poller.stop()


async def test_a_reload_changes_what_is_asked_without_a_pause_for_the_rest() -> None:
    stage = Stage([target("a"), target("b"), target("c", "http")])
    await stage.poller.start()
    await stage.clock.advance(3)
    stage.poller.retarget([target("a"), target("new"), target("fast", interval_s=1)])
    await stage.clock.advance(3)
    assert stage.probe.times("a") == [0, 2, 4, 6]
    assert stage.probe.times("b") == [0, 2]
    assert stage.probe.times("new") == [4, 6]
    assert stage.probe.times("fast") == [3, 4, 5, 6]
    assert stage.probes["http"].times("c") == [0, 2]
    assert stage.stats("http").targets == 0
    await stage.poller.stop()


async def test_an_unknown_probe_is_refused_before_anything_changes() -> None:
    stage = Stage([target("a")])
    with pytest.raises(KeyError, match="asks for probe 'gopher'"):
        stage.poller.retarget([target("b", "gopher")])
    with pytest.raises(KeyError):
        Poller([target("b", "gopher")], stage.probes, stage.sink, stage.clock)
    assert stage.stats().targets == 1
